//! How a Redis is named: the options, and the URL that says them.
//!
//! `redis://USER:PASSWORD@HOST:PORT/DB?prefix=haulier&class=D2`, or `rediss://` for TLS. What is
//! not ours is the driver's.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use haulier_core::limits::{PAYLOAD_BYTES_DEFAULT, PAYLOAD_BYTES_MAX};
use haulier_core::{Clock, Durability, Entropy, Error, Result, SystemClock, span};
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

/// Longest prefix: it stands in every key.
const PREFIX_BYTES_MAX: usize = 64;
/// What is shown of a value that is wrong.
const SHOWN: usize = 40;

/// How to open the store in a Redis.
#[derive(Clone)]
pub struct Options {
    /// Where it is, and as whom to log in.
    pub(crate) info: ConnectionInfo,
    /// What every key begins with, in braces: stores with different ones share a Redis.
    pub prefix: String,
    /// What an acknowledgement must be worth at least.
    pub class: Durability,
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

impl Options {
    /// What a URL says, with the machine's clock and without a class that is demanded.
    ///
    /// # Errors
    /// What is wrong with the URL. The text never shows a password.
    pub fn parse(url: &str, entropy: Arc<dyn Entropy>) -> Result<Self> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut ours = Vec::new();
        let mut theirs = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some((key @ ("prefix" | "class" | "poll" | "recheck" | "timeout"), value)) => {
                    ours.push((key, value));
                }
                _ => theirs.push(pair),
            }
        }
        let rest = if theirs.is_empty() {
            base.to_owned()
        } else {
            format!("{base}?{}", theirs.join("&"))
        };
        let info = rest.into_connection_info().map_err(|error| {
            // The driver's text names what is wrong, never a value.
            Error::invalid("url", format!("not understood as redis://USER@HOST:6379/0: {error}"))
        })?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let mut options = Self {
            info,
            prefix: "haulier".to_owned(),
            class: Durability::D0,
            poll: None,
            recheck: Duration::from_mins(1),
            timeout: Duration::from_secs(10),
            payload_bytes_max: PAYLOAD_BYTES_DEFAULT,
            pace: Arc::clone(&clock),
            clock,
            time: None,
            entropy,
        };
        for (key, value) in ours {
            match key {
                "prefix" => options.prefix = prefix(value)?,
                "class" => options.class = class(value)?,
                "poll" => options.poll = Some(pause(key, value)?),
                "recheck" => options.recheck = pause(key, value)?,
                _ => options.timeout = pause(key, value)?,
            }
        }
        Ok(options)
    }

    /// Accepts payloads and results up to this size, at most [`PAYLOAD_BYTES_MAX`].
    #[must_use]
    pub fn with_payload_bytes_max(mut self, bytes: usize) -> Self {
        self.payload_bytes_max = bytes.min(PAYLOAD_BYTES_MAX);
        self
    }

    /// Host, port, database and prefix, for messages: nothing that is secret.
    pub fn place(&self) -> String {
        let db = self.info.redis_settings().db();
        format!("{}/{db} (prefix {})", self.info.addr(), self.prefix)
    }

    /// Whether it is this machine.
    pub fn is_local(&self) -> bool {
        match self.info.addr() {
            ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => {
                host == "localhost"
                    || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
            }
            ConnectionAddr::Unix(_) => true,
            _ => false,
        }
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

fn class(value: &str) -> Result<Durability> {
    Durability::parse(value)
        .filter(|class| *class < Durability::D3)
        .ok_or_else(|| wrong("class", value, "D0, D1 or D2: Redis keeps no D3"))
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
        ] {
            let error = parse(&format!("redis://localhost?{query}")).unwrap_err();
            assert!(error.to_string().contains(hint), "{query}: {error}");
        }
    }
}
