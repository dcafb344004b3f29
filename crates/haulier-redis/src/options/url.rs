//! The parts of a URL. It may name several hosts, so it is not read by anybody else's rules.

use std::path::PathBuf;

use haulier_core::{Error, Result};

use super::place::{Address, Login, PORT, SENTINEL_PORT, Topology};

/// Hosts that one URL may name.
const HOSTS_MAX: usize = 32;
/// How URLs look, for messages.
const SHAPES: &str = "redis://USER:PASSWORD@HOST:6379/0, redis+unix:///PATH, \
                      redis+sentinel://HOST:26379,HOST:26379/MASTER/0 or \
                      redis+cluster://HOST:6379,HOST:6379; rediss… is with TLS";

/// What a URL says, in pieces.
#[derive(Debug)]
pub(super) struct Url {
    pub topology: Topology,
    pub login: Login,
    pub db: i64,
    pub is_tls: bool,
    /// Parameters, unescaped.
    pub query: Vec<(String, String)>,
}

/// What belongs together, as the scheme says it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Single,
    Unix,
    Sentinel,
    Cluster,
}

impl Url {
    /// Takes a URL apart. No error shows a part of it that a password may stand in.
    pub fn parse(url: &str) -> Result<Self> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| not_understood("no scheme"))?;
        let (is_tls, kind) = scheme_of(scheme).ok_or_else(|| not_understood("its scheme"))?;
        if rest.contains('#') {
            return Err(not_understood("a # in it; write %23, or sslmode=require for #insecure"));
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (login_of(login)?, hosts),
            None => (Login::default(), authority),
        };
        let query = pairs(query)?;
        let topology = match kind {
            Kind::Unix if hosts.is_empty() && path.len() > 1 => {
                Topology::Single(Address::Unix(PathBuf::from(unescape(path)?)))
            }
            Kind::Unix => return Err(not_understood("redis+unix:// wants an absolute path")),
            Kind::Single => Topology::Single(only(&hosts_of(hosts, PORT)?)?),
            Kind::Cluster => Topology::Cluster(hosts_of(hosts, PORT)?),
            Kind::Sentinel => Topology::Sentinel {
                sentinels: hosts_of(hosts, SENTINEL_PORT)?,
                master: String::new(),
                login: Login::default(),
            },
        };
        let mut read = Self { topology, login, db: 0, is_tls, query };
        if kind != Kind::Unix {
            read.take_path(path.trim_matches('/'))?;
        }
        Ok(read)
    }

    /// What stands behind the hosts: the number of a database, before it the name of a master.
    fn take_path(&mut self, path: &str) -> Result<()> {
        let mut db = path;
        if let Topology::Sentinel { master, .. } = &mut self.topology {
            let (name, behind) = path.split_once('/').unwrap_or((path, ""));
            if name.is_empty() {
                let why = "no master; as in redis+sentinel://HOST:26379/mymaster, the name in \
                           `sentinel monitor`";
                return Err(not_understood(why));
            }
            *master = unescape(name)?;
            db = behind;
        }
        if !db.is_empty() {
            let read = db.parse::<u16>();
            self.db = read.map_err(|_| not_understood("the database is no number"))?.into();
        }
        if self.db != 0 && matches!(self.topology, Topology::Cluster(_)) {
            return Err(not_understood("a cluster has no other database than 0"));
        }
        Ok(())
    }
}

fn not_understood(why: &str) -> Error {
    Error::invalid("url", format!("not understood ({why}); as in {SHAPES}"))
}

fn scheme_of(scheme: &str) -> Option<(bool, Kind)> {
    let (base, kind) = match scheme.split_once('+') {
        None => (scheme, Kind::Single),
        Some((base, "unix")) => (base, Kind::Unix),
        Some((base, "sentinel")) => (base, Kind::Sentinel),
        Some((base, "cluster")) => (base, Kind::Cluster),
        Some(_) => return None,
    };
    match base {
        "redis" | "valkey" => Some((false, kind)),
        "rediss" | "valkeys" if kind != Kind::Unix => Some((true, kind)),
        _ => None,
    }
}

fn login_of(text: &str) -> Result<Login> {
    let (user, password) = match text.split_once(':') {
        Some((user, password)) => (user, Some(unescape(password)?)),
        None => (text, None),
    };
    let user = if user.is_empty() { None } else { Some(unescape(user)?) };
    if user.is_some() && password.is_none() {
        return Err(not_understood("a user without a password"));
    }
    Ok(Login { user, password })
}

fn hosts_of(text: &str, port: u16) -> Result<Vec<Address>> {
    let read = |host: &str| {
        let host = unescape(host)?;
        Address::parse(&host, port).ok_or_else(|| {
            not_understood("a host, or its port; in passwords, write %2F for / and %3F for ?")
        })
    };
    let hosts: Vec<Address> = text.split(',').map(read).collect::<Result<_>>()?;
    if hosts.len() > HOSTS_MAX {
        return Err(not_understood(&format!("more than {HOSTS_MAX} hosts")));
    }
    Ok(hosts)
}

fn only(hosts: &[Address]) -> Result<Address> {
    match hosts {
        [host] => Ok(host.clone()),
        _ => Err(not_understood("several hosts, but neither +sentinel nor +cluster")),
    }
}

fn pairs(query: &str) -> Result<Vec<(String, String)>> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let read = pairs.map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((unescape(key)?, unescape(value)?))
    });
    read.collect()
}

/// `%41` is `A`.
fn unescape(text: &str) -> Result<String> {
    let bad = || Error::invalid("url", "a % that no two hexadecimal digits follow");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (high, low) = digit().zip(digit()).ok_or_else(bad)?;
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| bad())?);
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_one_redis_sentinels_or_a_cluster() {
        let tcp = Address::tcp;
        let one = Url::parse("redis://db.example/2").unwrap();
        assert_eq!((one.db, one.is_tls), (2, false));
        assert_eq!(one.topology, Topology::Single(tcp("db.example", PORT)));
        let socket = Url::parse("redis+unix://:pw@/run/redis.sock").unwrap();
        assert_eq!(socket.topology, Topology::Single(Address::Unix("/run/redis.sock".into())));
        assert_eq!(socket.login.password.as_deref(), Some("pw"));
        let trio = Url::parse("rediss+sentinel://me:p%40w@a,b:26380,[::1]/main/3?x=%26").unwrap();
        assert!(trio.is_tls);
        assert_eq!(trio.db, 3);
        assert_eq!(trio.login.password.as_deref(), Some("p@w"));
        assert_eq!(trio.query, [("x".to_owned(), "&".to_owned())]);
        let sentinels = vec![tcp("a", SENTINEL_PORT), tcp("b", 26380), tcp("::1", SENTINEL_PORT)];
        let (master, login) = ("main".to_owned(), Login::default());
        assert_eq!(trio.topology, Topology::Sentinel { sentinels, master, login });
        let cluster = Url::parse("valkey+cluster://a:7000,b/").unwrap();
        assert_eq!(cluster.topology, Topology::Cluster(vec![tcp("a", 7000), tcp("b", PORT)]));
    }

    #[test]
    fn what_is_not_understood_is_said_without_a_secret() {
        for (url, part) in [
            ("redis:me:secret@host", "no scheme"),
            ("redis+ring://me:secret@host", "its scheme"),
            ("rediss+unix:///run/secret.sock", "its scheme"),
            ("redis://me:secret@host/x", "no number"),
            ("redis://me:sec/secret@host", "%2F"),
            ("redis://me:secret@", "a host"),
            ("redis://me:secret@a,b", "+sentinel"),
            ("redis://secret@a", "without a password"),
            ("rediss://me:secret@a/#insecure", "sslmode=require"),
            ("redis+sentinel://me:secret@a", "mymaster"),
            ("redis+cluster://me:secret@a/1", "no other database"),
            ("redis://me:secret%@a", "hexadecimal"),
        ] {
            let error = Url::parse(url).unwrap_err();
            assert!(error.message().contains(part), "{url}: {error}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }
}
