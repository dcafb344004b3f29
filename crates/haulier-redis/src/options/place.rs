//! Where a Redis is: addresses, and how several of them belong together.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

/// Unless the URL says otherwise.
pub(crate) const PORT: u16 = 6379;
/// The same of a sentinel.
pub(crate) const SENTINEL_PORT: u16 = 26379;

/// Where one process listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl Address {
    pub fn tcp(host: &str, port: u16) -> Self {
        Self::Tcp { host: host.to_owned(), port }
    }

    /// Reads `HOST`, `HOST:PORT`, `[V6]` or `[V6]:PORT`. Of what a cluster says, which writes
    /// addresses of IPv6 without brackets, the last colon is the one before the port.
    pub fn parse(text: &str, port: u16) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, port),
            Some((host, after)) => (host, after.strip_prefix(':')?.parse().ok()?),
            None => match text.rsplit_once(':') {
                Some((host, port)) => (host, port.parse().ok()?),
                None => (text, port),
            },
        };
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        (!host.is_empty() && host.chars().all(plain) && port > 0).then(|| Self::tcp(host, port))
    }

    /// Whether it is this machine. A name may be anybody's, except for `localhost`.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp { host, .. } => {
                host == "localhost"
                    || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            }
            Self::Unix(_) => true,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Which of several processes is the one to talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Topology {
    /// There is one.
    Single(Address),
    /// The one that sentinels call the master of this name.
    Sentinel { sentinels: Vec<Address>, master: String, login: Login },
    /// The master of the slot that the store's keys are in; some of the cluster's nodes.
    Cluster(Vec<Address>),
}

impl Topology {
    /// What is known before anybody is asked.
    pub fn seeds(&self) -> &[Address] {
        match self {
            Self::Single(address) => std::slice::from_ref(address),
            Self::Sentinel { sentinels, .. } => sentinels,
            Self::Cluster(seeds) => seeds,
        }
    }
}

/// As whom to log in. Never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Login {
    pub user: Option<String>,
    pub password: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_ports() {
        for (text, host, port) in [
            ("db.example", "db.example", PORT),
            ("db.example:7000", "db.example", 7000),
            ("[::1]", "::1", PORT),
            ("[::1]:7000", "::1", 7000),
            // As nodes of a cluster say it.
            ("fe80::1:7000", "fe80::1", 7000),
        ] {
            assert_eq!(Address::parse(text, PORT), Some(Address::tcp(host, port)), "{text}");
        }
        for text in ["", ":7000", "host:port", "host:0", "host:70000", "a b", "[::1", "[::1]x"] {
            assert_eq!(Address::parse(text, PORT), None, "{text}");
        }
        assert_eq!(Address::tcp("::1", 7000).to_string(), "[::1]:7000");
    }
}
