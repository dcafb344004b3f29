//! How a Redis is named: the options, and the URL that says them.
//!
//! | URL | |
//! |---|---|
//! | `redis://USER:PASSWORD@HOST:PORT/DB` | one Redis |
//! | `redis+unix://USER:PASSWORD@/PATH` | the same by a socket |
//! | `redis+sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT/MASTER/DB` | the master of this name |
//! | `redis+cluster://USER:PASSWORD@HOST:PORT,HOST:PORT` | a cluster, by some of its nodes |
//!
//! `rediss` instead of `redis` is with TLS, `valkey` and `valkeys` are the same as both. Behind a
//! `?` come parameters:
//!
//! | parameter | default | |
//! |---|---|---|
//! | `prefix` | `haulier` | what every key begins with: several stores share a Redis |
//! | `class` | D0 | what an acknowledgement must be worth at least |
//! | `keeps` | | what it is worth where `CONFIG GET` is refused: D0, D1 or D2 |
//! | `timeout` | 10s | how long an answer may take |
//! | `poll` | | how often to look for work that nobody told of |
//! | `recheck` | 1m | how often everything is checked again |
//! | `allow_plaintext` | off | whether another machine may be talked to without TLS |
//! | `sslmode` | verify-full | `require`, `verify-ca`, `verify-full` |
//! | `sslrootcert` | Mozilla's | whom to trust, a PEM file |
//! | `sslcert`, `sslkey` | | who we are, PEM files |
//! | `sentinel_user`, `sentinel_password` | | as whom to log in at sentinels |
//!
//! # Rights
//!
//! A user that may do nothing else is made by
//!
//! ```text
//! ACL SETUSER haulier on >PASSWORD resetkeys ~{haulier:* resetchannels &{haulier:* -@all
//!   +evalsha +script|load +info +config|get +publish +subscribe +select +cluster|slots
//!   +time +exists +del +hget +hset +hdel +hlen +hkeys +hvals +hmget +hgetall +hexists
//!   +hscan +hincrby +zscan +zadd +zrem +zcard +zrange +zscore +zmscore +zrangebylex
//!   +zrevrangebylex +zrangebyscore +zremrangebyscore +zremrangebyrank
//! ```
//!
//! with the prefix in place of `haulier` behind the braces. `config|get` may be left out: then
//! `keeps` says what Redis keeps. `select` is for another database than 0, `cluster|slots` for a
//! cluster. At sentinels `sentinel|get-master-addr-by-name`, `sentinel|master` and `subscribe` to
//! the channel `+switch-master` do.

mod place;
mod url;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use haulier_core::limits::{PAYLOAD_BYTES_DEFAULT, PAYLOAD_BYTES_MAX};
use haulier_core::{Clock, Durability, Entropy, Error, Result, SystemClock, span};

pub(crate) use place::{Address, Login, PORT, Topology};
use url::Url;

/// Longest prefix: it stands in every key.
const PREFIX_BYTES_MAX: usize = 64;
/// What is shown of a value that is wrong.
const SHOWN: usize = 40;

/// How to open the store in a Redis.
#[derive(Clone)]
pub struct Options {
    /// Where it is.
    pub(crate) topology: Topology,
    /// As whom to log in there.
    pub(crate) login: Login,
    /// The number of the database.
    pub(crate) db: i64,
    /// How connections are encrypted.
    pub tls: Tls,
    /// What every key begins with, in braces: stores with different ones share a Redis.
    pub prefix: String,
    /// What an acknowledgement must be worth at least.
    pub class: Durability,
    /// What an acknowledgement is worth, where Redis does not let its settings be read.
    pub keeps: Option<Durability>,
    /// How often a server looks for work that nobody told it of; `None` leaves it to the store.
    pub poll: Option<Duration>,
    /// How often everything is checked again while the store is open.
    pub recheck: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Largest payload or result to accept, in bytes.
    pub payload_bytes_max: usize,
    /// What users' waits count on. Nothing that is stored: Redis has a clock of its own.
    pub clock: Arc<dyn Clock>,
    /// What pauses between two looks count on: real also in tests.
    pub pace: Arc<dyn Clock>,
    /// The time by which the store lives, instead of Redis's own. For tests.
    pub time: Option<Arc<dyn Clock>>,
    /// Jitter, and names of nodes.
    pub entropy: Arc<dyn Entropy>,
}

/// How connections are encrypted, in the words that are known from databases.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// What is demanded.
    pub mode: TlsMode,
    /// Whether a Redis on another machine may be talked to without encryption.
    pub allow_plaintext: bool,
    /// Certificates to trust, a PEM file; Mozilla's if there is none.
    pub root: Option<PathBuf>,
    /// Our own certificate, a PEM file.
    pub certificate: Option<PathBuf>,
    /// Its key, a PEM file.
    pub key: Option<PathBuf>,
}

/// What is demanded of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsMode {
    /// No TLS: `redis://`.
    #[default]
    Disable,
    /// TLS; nothing is verified.
    Require,
    /// TLS, and somebody whom we trust has signed the certificate.
    VerifyCa,
    /// The same, and the certificate is of the host that was asked for: `rediss://`.
    VerifyFull,
}

impl Options {
    /// What a URL says, with the machine's clock and without a class that is demanded.
    ///
    /// # Errors
    /// What is wrong with the URL. The text never shows a password.
    pub fn parse(url: &str, entropy: Arc<dyn Entropy>) -> Result<Self> {
        let url = Url::parse(url)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let mode = if url.is_tls { TlsMode::VerifyFull } else { TlsMode::Disable };
        let mut options = Self {
            topology: url.topology,
            login: url.login,
            db: url.db,
            tls: Tls { mode, ..Tls::default() },
            prefix: "haulier".to_owned(),
            class: Durability::D0,
            keeps: None,
            poll: None,
            recheck: Duration::from_mins(1),
            timeout: Duration::from_secs(10),
            payload_bytes_max: PAYLOAD_BYTES_DEFAULT,
            pace: Arc::clone(&clock),
            clock,
            time: None,
            entropy,
        };
        for (key, value) in url.query {
            options.take(&key, value)?;
        }
        Ok(options)
    }

    /// Takes a parameter.
    fn take(&mut self, key: &str, value: String) -> Result<()> {
        match (key, &mut self.topology) {
            ("prefix", _) => self.prefix = prefix(&value)?,
            ("class", _) => self.class = class(key, &value)?,
            ("keeps", _) => self.keeps = Some(class(key, &value)?),
            ("poll", _) => self.poll = Some(pause(key, &value)?),
            ("recheck", _) => self.recheck = pause(key, &value)?,
            ("timeout", _) => self.timeout = pause(key, &value)?,
            ("allow_plaintext", _) => self.tls.allow_plaintext = switch(key, &value)?,
            ("sslmode" | "sslrootcert" | "sslcert" | "sslkey", _)
                if self.tls.mode == TlsMode::Disable =>
            {
                return Err(wrong(key, &value, "for TLS the URL begins with rediss, not redis"));
            }
            ("sslmode", _) => self.tls.mode = TlsMode::parse(&value)?,
            ("sslrootcert", _) => self.tls.root = Some(PathBuf::from(value)),
            ("sslcert", _) => self.tls.certificate = Some(PathBuf::from(value)),
            ("sslkey", _) => self.tls.key = Some(PathBuf::from(value)),
            ("sentinel_user", Topology::Sentinel { login, .. }) => login.user = Some(value),
            ("sentinel_password", Topology::Sentinel { login, .. }) => login.password = Some(value),
            ("sentinel_user" | "sentinel_password", _) => {
                return Err(Error::invalid(format!("url.{key}"), "only for redis+sentinel://"));
            }
            // Its value may be a secret.
            _ => {
                let known = "prefix, class, keeps, poll, recheck, timeout, allow_plaintext, \
                             sslmode, sslrootcert, sslcert, sslkey, sentinel_user and \
                             sentinel_password";
                return Err(wrong("parameter", key, &format!("known are {known}")));
            }
        }
        Ok(())
    }

    /// Accepts payloads and results up to this size, at most [`PAYLOAD_BYTES_MAX`].
    #[must_use]
    pub fn with_payload_bytes_max(mut self, bytes: usize) -> Self {
        self.payload_bytes_max = bytes.min(PAYLOAD_BYTES_MAX);
        self
    }

    /// Hosts, ports, database and prefix, for messages: nothing that is secret.
    pub fn place(&self) -> String {
        let seeds: Vec<String> = self.topology.seeds().iter().map(Address::to_string).collect();
        let (seeds, db, prefix) = (seeds.join(","), self.db, &self.prefix);
        match &self.topology {
            Topology::Single(_) => format!("{seeds}/{db} (prefix {prefix})"),
            Topology::Sentinel { master, .. } => {
                format!("{master}/{db} of the sentinels {seeds} (prefix {prefix})")
            }
            Topology::Cluster(_) => format!("the cluster of {seeds} (prefix {prefix})"),
        }
    }

    /// Whether everything that is named is this machine.
    pub fn is_local(&self) -> bool {
        self.topology.seeds().iter().all(Address::is_local)
    }
}

impl TlsMode {
    fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => {
                let known = "known are require, verify-ca and verify-full; redis:// is without TLS";
                return Err(wrong("sslmode", text, known));
            }
        })
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("place", &self.place()).finish_non_exhaustive()
    }
}

fn wrong(key: &str, value: &str, allowed: &str) -> Error {
    let shown: String = value.chars().take(SHOWN).collect();
    Error::invalid(format!("url.{key}"), format!("{shown:?}; {allowed}"))
}

fn prefix(value: &str) -> Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':');
    if (1..=PREFIX_BYTES_MAX).contains(&value.len()) && value.chars().all(plain) {
        return Ok(value.to_owned());
    }
    Err(wrong("prefix", value, "1 to 64 letters, digits, `.`, `_`, `-` and `:`"))
}

fn class(key: &str, value: &str) -> Result<Durability> {
    Durability::parse(value)
        .filter(|class| *class < Durability::D3)
        .ok_or_else(|| wrong(key, value, "D0, D1 or D2: Redis keeps no D3"))
}

fn switch(key: &str, value: &str) -> Result<bool> {
    match value {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => Err(wrong(key, value, "on or off")),
    }
}

fn pause(key: &str, value: &str) -> Result<Duration> {
    let read = span::parse(value).map_err(|refusal| wrong(key, value, &refusal.message))?;
    let shortest = Duration::from_millis(10);
    if read < shortest { Err(wrong(key, value, "at least 10ms")) } else { Ok(read) }
}

#[cfg(test)]
mod tests {
    use haulier_core::SeededEntropy;

    use super::*;

    fn parse(url: &str) -> Result<Options> {
        Options::parse(url, Arc::new(SeededEntropy::from_u64(1)))
    }

    #[test]
    fn a_url_says_where_the_store_is_and_how_to_get_there() {
        let options =
            parse("redis://me:secret@db.example:6380/2?prefix=jobs&class=D2&poll=2s").unwrap();
        assert_eq!((options.prefix.as_str(), options.class), ("jobs", Durability::D2));
        assert_eq!(options.poll, Some(Duration::from_secs(2)));
        assert_eq!(options.place(), "db.example:6380/2 (prefix jobs)");
        assert!(!options.is_local());
        assert!(parse("redis://127.0.0.1").unwrap().is_local());
        assert!(parse("redis+cluster://localhost:7000,[::1]:7001").unwrap().is_local());
        assert!(!parse("redis+cluster://localhost,localhost.evil").unwrap().is_local());
    }

    #[test]
    fn a_url_with_tls_says_what_is_verified_and_by_what() {
        let mode = |url: &str| parse(url).unwrap().tls.mode;
        assert_eq!(mode("redis://localhost"), TlsMode::Disable);
        assert_eq!(mode("rediss://localhost"), TlsMode::VerifyFull);
        assert_eq!(mode("valkeys+cluster://localhost?sslmode=verify-ca"), TlsMode::VerifyCa);
        let url = "rediss+sentinel://a/main?sslrootcert=/etc/ca%2epem&sentinel_user=s\
                   &sentinel_password=secret";
        let options = parse(url).unwrap();
        assert_eq!(options.tls.root, Some(PathBuf::from("/etc/ca.pem")));
        let Topology::Sentinel { login, .. } = &options.topology else { panic!("{options:?}") };
        assert_eq!(login.password.as_deref(), Some("secret"));
        assert!(!format!("{options:?} {:?}", options.topology).contains("secret"));
    }

    #[test]
    fn a_password_is_never_shown() {
        let options = parse("redis://me:secret@localhost").unwrap();
        assert!(!format!("{options:?}").contains("secret"));
        let error = parse("redis://me:secret@localhost/x").unwrap_err();
        assert!(!format!("{error:#}").contains("secret"), "{error:#}");
    }

    #[test]
    fn a_value_that_cannot_be_is_refused_with_what_it_could_be() {
        for (query, hint) in [
            ("prefix=a{b}", "letters"),
            ("class=D3", "D0, D1 or D2"),
            ("poll=1ms", "at least 10ms"),
            ("timeout=soon", "duration"),
            ("keeps=D3", "D0, D1 or D2"),
            ("allow_plaintext=maybe", "on or off"),
            ("sslmode=verify-ca", "rediss"),
            ("sslrootcert=ca.pem", "rediss"),
            ("sentinel_user=me", "redis+sentinel"),
            ("protocol=resp3", "known are prefix"),
        ] {
            let error = parse(&format!("redis://localhost?{query}")).unwrap_err();
            assert!(error.to_string().contains(hint), "{query}: {error}");
        }
    }
}
