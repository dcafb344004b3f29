//! Settings of a server: one table of keys ([`KEYS`]), one struct ([`Config`]), four sources.
//!
//! A flag wins over a `HAULIER_*` variable, that over the file, that over the default. A key has
//! the same name everywhere: `drain_timeout` in the file, `--drain-timeout` as a flag,
//! `HAULIER_DRAIN_TIMEOUT` in the environment. Values are text everywhere, read by one function a
//! key, so that every source obeys the same rules. This module opens no socket and no store.

mod error;
mod keys;
mod sources;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use haulier_core::{Durability, limits};

pub use error::ConfigError;
pub use keys::{KEYS, Key, template};
pub use sources::{Loaded, Setting, Source, Sources};

/// The port of Haulier.
pub const PORT: u16 = 7420;

/// A server's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where to listen; port 0 takes any free one. Loopback only in this release.
    pub listen: SocketAddr,
    /// Where tasks are kept.
    pub store: StoreUrl,
    /// The weakest durability class that the store may have; below it the server does not start.
    pub min_durability: Durability,
    /// Whether a database that has no tables of ours, or older ones, is given them at the start.
    pub migrate: bool,
    /// Whether a database on another machine may be talked to without encryption.
    pub allow_plaintext_store: bool,
    /// Largest payload or result accepted, in bytes.
    pub payload_bytes_max: usize,
    /// How long running calls and streams may take to end once the server was told to stop.
    pub drain_timeout: Duration,
    /// The shape of log lines.
    pub log_format: LogFormat,
    /// What is logged: a level, or directives as in `info,haulier_server=debug`.
    pub log_level: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT),
            store: StoreUrl("file:./haulier-data".to_owned()),
            min_durability: Durability::D0,
            migrate: false,
            allow_plaintext_store: false,
            payload_bytes_max: limits::PAYLOAD_BYTES_DEFAULT,
            drain_timeout: Duration::from_secs(25),
            log_format: LogFormat::Auto,
            log_level: "info".to_owned(),
        }
    }
}

/// Where a store is, as in `file:./haulier-data`. It may hold a password: shown without it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl(String);

impl StoreUrl {
    /// A store's URL; whether such a store is known is seen when it is opened.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The URL with everything in it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://") else { return f.write_str(&self.0) };
        write!(f, "{scheme}://")?;
        let shown = match rest.rsplit_once('@') {
            Some((user, host)) => {
                let name = user.split([':', '?']).next().unwrap_or_default();
                write!(f, "{name}:***@")?;
                host
            }
            None => rest,
        };
        let (place, query) = shown.split_once('?').unwrap_or((shown, ""));
        f.write_str(place)?;
        for (number, pair) in query.split('&').filter(|pair| !pair.is_empty()).enumerate() {
            f.write_str(if number == 0 { "?" } else { "&" })?;
            match pair.split_once('=') {
                Some((key, _)) if key.contains("password") => write!(f, "{key}=***")?,
                _ => f.write_str(pair)?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), f)
    }
}

/// The shape of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Lines for people on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// Lines for people.
    Pretty,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// Every format with its name.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Auto, "auto"), (Self::Pretty, "pretty"), (Self::Json, "json")];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_store_url_is_never_shown() {
        let url = StoreUrl::new("postgres://anna:s3cr@t@db/haulier");
        assert_eq!(url.to_string(), "postgres://anna:***@db/haulier");
        assert!(!format!("{url:?}").contains("s3cr"));
        let url = "redis+sentinel://:s3cr@t@a,b/main?sentinel_password=s3cret&class=D2";
        let shown = "redis+sentinel://:***@a,b/main?sentinel_password=***&class=D2";
        assert_eq!(StoreUrl::new(url).to_string(), shown);
        let url = "redis+sentinel://a/main?sentinel_password=s3cr@t";
        assert!(!StoreUrl::new(url).to_string().contains("s3cr"));
        assert_eq!(StoreUrl::new("file:./data").to_string(), "file:./data");
    }
}
