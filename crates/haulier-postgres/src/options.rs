//! How a database is named: the options, and the URL that says them.
//!
//! `postgres://USER:PASSWORD@HOST:PORT/DATABASE?schema=haulier&pool=16&sslmode=verify-full`. What
//! is not ours is the driver's: several hosts, `target_session_attrs`, `connect_timeout`, …

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use haulier_core::limits::{PAYLOAD_BYTES_DEFAULT, PAYLOAD_BYTES_MAX};
use haulier_core::{Clock, Durability, Entropy, Error, Result, SystemClock, span};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// Connections of one server at most.
pub const POOL_MAX: usize = 256;
/// Unless the URL says otherwise.
const POOL_DEFAULT: usize = 16;
/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Unless the URL says otherwise.
const RECHECK: Duration = Duration::from_mins(1);
/// A dead peer is found out within about this time, also where the network swallows everything.
const DEAD_PEER: Duration = Duration::from_secs(20);

/// How to open the store in a database.
#[derive(Clone)]
pub struct Options {
    /// Where it is, and as whom to log in.
    pub(crate) config: Config,
    /// The schema that the tables stand in.
    pub schema: String,
    /// Connections at most, the two for notifications not counted.
    pub pool: usize,
    /// Whether servers wake each other by `NOTIFY`; without it they poll. Off for proxies that hand
    /// a connection to somebody else after each transaction.
    pub notify: bool,
    /// Whether statements are prepared once a connection. Off for the same proxies.
    pub prepare: bool,
    /// How connections are encrypted.
    pub tls: Tls,
    /// What an acknowledgement must be worth at least.
    pub class: Durability,
    /// Settings of the server that lose everything in a crash are let through. For tests on a
    /// database that is thrown away.
    pub throwaway: bool,
    /// How often a server looks for work that no notification told it of; `None` leaves it to the
    /// store.
    pub poll: Option<Duration>,
    /// How often it is checked again that the database is what it was at the start.
    pub recheck: Duration,
    /// Largest payload or result to accept, in bytes.
    pub payload_bytes_max: usize,
    /// What users' waits count on. Nothing that is stored: the database has a clock of its own.
    pub clock: Arc<dyn Clock>,
    /// What pauses between two attempts to reach the database count on: real also in tests.
    pub pace: Arc<dyn Clock>,
    /// Jitter, and names of nodes.
    pub entropy: Arc<dyn Entropy>,
}

/// How connections to the database are encrypted, in libpq's words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// What is demanded.
    pub mode: TlsMode,
    /// Whether a database on another machine may be talked to without encryption.
    pub allow_plaintext: bool,
    /// Certificates to trust, a PEM file.
    pub root: Option<PathBuf>,
    /// Our own certificate, a PEM file.
    pub certificate: Option<PathBuf>,
    /// Its key, a PEM file.
    pub key: Option<PathBuf>,
}

/// What is demanded of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsMode {
    /// No TLS.
    Disable,
    /// TLS if the server has it; nothing is verified. To another machine: TLS, see
    /// [`Tls::allow_plaintext`].
    #[default]
    Prefer,
    /// TLS; nothing is verified unless `sslrootcert` is given.
    Require,
    /// TLS, and somebody whom we trust has signed the certificate.
    VerifyCa,
    /// The same, and the certificate is of the host that was asked for.
    VerifyFull,
}

impl Options {
    /// What a URL says, with the machine's clock and without a class that is demanded.
    ///
    /// # Errors
    /// What is wrong with the URL. The text never shows a password.
    pub fn parse(url: &str, entropy: Arc<dyn Entropy>) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let mut options = Self {
            config: Config::new(),
            schema: "haulier".to_owned(),
            pool: POOL_DEFAULT,
            notify: true,
            prepare: true,
            tls: Tls::default(),
            class: Durability::D1,
            throwaway: false,
            poll: None,
            recheck: RECHECK,
            payload_bytes_max: PAYLOAD_BYTES_DEFAULT,
            pace: Arc::clone(&clock),
            clock,
            entropy,
        };
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut theirs = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !options.take(key, &unescape(value)?)? {
                theirs.push(pair);
            }
        }
        let rest = if theirs.is_empty() {
            base.to_owned()
        } else {
            format!("{base}?{}", theirs.join("&"))
        };
        options.config = driver(&rest)?;
        Ok(options)
    }

    /// What the driver is told. Passwords, payloads and results go to another machine encrypted, or
    /// not at all: there `prefer` is `require`, so that whoever stands in between cannot say that
    /// the database has no TLS.
    ///
    /// # Errors
    /// Encryption is switched off, and that is not allowed.
    pub(crate) fn driver(&self) -> Result<Config> {
        let may_be_plain = self.tls.allow_plaintext || self.is_local();
        let mut config = self.config.clone();
        config.ssl_mode(match self.tls.mode {
            TlsMode::Disable if !may_be_plain => {
                return Err(wrong(
                    "sslmode",
                    "disable",
                    "whatever is stored, and passwords, would go to another machine unencrypted; \
                     use verify-full, or allow it: --allow-plaintext-store true for a server, or \
                     allow_plaintext=on in the URL",
                ));
            }
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer if may_be_plain => SslMode::Prefer,
            TlsMode::Prefer | TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => {
                SslMode::Require
            }
        });
        Ok(config)
    }

    /// Takes a parameter that is ours; `false` if it is the driver's.
    fn take(&mut self, key: &str, value: &str) -> Result<bool> {
        match key {
            "schema" => self.schema = schema(value)?,
            "pool" => self.pool = pool(value)?,
            "notify" => self.notify = switch(key, value)?,
            "prepare" => self.prepare = switch(key, value)?,
            "throwaway" => self.throwaway = switch(key, value)?,
            "poll" => self.poll = Some(pause(key, value)?),
            "recheck" => self.recheck = pause(key, value)?,
            "class" => self.class = class(value)?,
            "allow_plaintext" => self.tls.allow_plaintext = switch(key, value)?,
            "sslmode" => self.tls.mode = TlsMode::parse(value)?,
            "sslrootcert" => self.tls.root = Some(PathBuf::from(value)),
            "sslcert" => self.tls.certificate = Some(PathBuf::from(value)),
            "sslkey" => self.tls.key = Some(PathBuf::from(value)),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Accepts payloads and results up to this size, at most [`PAYLOAD_BYTES_MAX`].
    #[must_use]
    pub fn with_payload_bytes_max(mut self, bytes: usize) -> Self {
        self.payload_bytes_max = bytes.min(PAYLOAD_BYTES_MAX);
        self
    }

    /// How long one attempt to connect may take, and a call waits for a free connection.
    pub(crate) fn connect_timeout(&self) -> Duration {
        self.config.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT)
    }

    /// Host, port and database, for messages: nothing that is secret.
    pub fn place(&self) -> String {
        let hosts = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(path) => path.display().to_string(),
        });
        let ports = self.config.get_ports();
        let port = |at: usize| ports.get(at).or(ports.first()).copied().unwrap_or(5432);
        let hosts: Vec<String> =
            hosts.enumerate().map(|(at, host)| format!("{host}:{}", port(at))).collect();
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or("?");
        format!("{}/{database} (schema {})", hosts.join(","), self.schema)
    }

    /// Whether every host is this machine. A name may be anybody's, except for `localhost`; where
    /// addresses are given beside the names, they are what is connected to.
    pub fn is_local(&self) -> bool {
        let addresses = self.config.get_hostaddrs();
        if !addresses.is_empty() {
            return addresses.iter().all(IpAddr::is_loopback);
        }
        self.config.get_hosts().iter().all(|host| match host {
            Host::Tcp(name) => {
                name == "localhost"
                    || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            }
            #[cfg(unix)]
            Host::Unix(_) => true,
        })
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("place", &self.place()).finish_non_exhaustive()
    }
}

impl TlsMode {
    fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "disable" => Self::Disable,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => {
                let known = "disable, prefer, require, verify-ca and verify-full";
                return Err(wrong("sslmode", text, &format!("known are {known}")));
            }
        })
    }
}

/// The driver's own parameters, with limits where it has none.
fn driver(url: &str) -> Result<Config> {
    let mut config = Config::from_str(url).map_err(|error| {
        // The driver's text names the parameter, never its value.
        let why = std::error::Error::source(&error).map_or(String::new(), |why| format!(": {why}"));
        Error::invalid("url", format!("not understood as postgres://USER@HOST/DATABASE{why}"))
    })?;
    if config.get_hosts().is_empty() {
        return Err(Error::invalid("url", "no host; as in postgres://USER@HOST:5432/DATABASE"));
    }
    if config.get_application_name().is_none() {
        config.application_name("haulier");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(DEAD_PEER);
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_idle(DEAD_PEER / 2).keepalives_interval(DEAD_PEER / 8);
        config.keepalives_retries(4);
    }
    Ok(config)
}

fn wrong(key: &str, value: &str, allowed: &str) -> Error {
    let shown: String = value.chars().take(40).collect();
    Error::invalid(format!("url.{key}"), format!("{shown:?}; {allowed}"))
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

fn pool(value: &str) -> Result<usize> {
    let count = value.parse().ok().filter(|count| (2..=POOL_MAX).contains(count));
    count.ok_or_else(|| wrong("pool", value, &format!("2 to {POOL_MAX} connections")))
}

fn class(value: &str) -> Result<Durability> {
    Durability::parse(value)
        .filter(|class| *class > Durability::D0)
        .ok_or_else(|| wrong("class", value, "D1, D2 or D3"))
}

/// A name that needs no quoting to be read, though it is quoted.
fn schema(value: &str) -> Result<String> {
    let plain = value.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let starts = value.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    // Indexes and constraints of a longer schema would still fit; its name itself must.
    if plain && starts && value.len() <= 63 && !value.starts_with("pg_") {
        return Ok(value.to_owned());
    }
    Err(wrong("schema", value, "up to 63 of a-z, 0-9 and _, beginning with a letter, not with pg_"))
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
    use haulier_core::SeededEntropy;

    use super::*;

    fn parse(url: &str) -> Result<Options> {
        Options::parse(url, Arc::new(SeededEntropy::from_u64(1)))
    }

    #[test]
    fn a_url_says_where_the_tables_are_and_how_to_get_there() {
        let url = "postgres://me:secret@db.example:6432/app?schema=jobs&pool=4&notify=off\
                   &connect_timeout=2&sslmode=verify-full&sslrootcert=/etc/ca%2epem";
        let options = parse(url).unwrap();
        assert_eq!((options.schema.as_str(), options.pool, options.notify), ("jobs", 4, false));
        assert_eq!(options.connect_timeout(), Duration::from_secs(2));
        assert_eq!(options.tls.mode, TlsMode::VerifyFull);
        assert_eq!(options.tls.root, Some(PathBuf::from("/etc/ca.pem")));
        assert_eq!(options.place(), "db.example:6432/app (schema jobs)");
        assert!(!options.is_local());
    }

    #[test]
    fn a_password_is_never_shown() {
        let options = parse("postgres://me:secret@localhost/app").unwrap();
        assert!(!format!("{options:?}").contains("secret"));
        let error = parse("postgres://me:secret@localhost:notaport/app").unwrap_err();
        assert!(!format!("{error:#}").contains("secret"), "{error:#}");
    }

    #[test]
    fn nothing_goes_to_another_machine_unencrypted_unless_that_is_allowed() {
        let mode = |url: &str| parse(url).unwrap().driver().map(|config| config.get_ssl_mode());
        for (place, more, expected) in [
            ("localhost", "", SslMode::Prefer),
            ("127.0.0.1", "?sslmode=disable", SslMode::Disable),
            ("[::1]", "?sslmode=disable", SslMode::Disable),
            ("%2Frun%2Fpostgresql", "?sslmode=disable", SslMode::Disable),
            ("db.example", "", SslMode::Require),
            ("db.example", "?sslmode=verify-full", SslMode::Require),
            ("db.example", "?allow_plaintext=on", SslMode::Prefer),
            ("db.example", "?allow_plaintext=on&sslmode=disable", SslMode::Disable),
            ("localhost", "?hostaddr=192.0.2.1", SslMode::Require),
            ("localhost,192.0.2.1", "", SslMode::Require),
        ] {
            let url = format!("postgres://{place}/app{more}");
            assert_eq!(mode(&url).unwrap(), expected, "{url}");
        }
        for place in ["db.example", "192.0.2.1", "localhost,db.example", "localhost.evil"] {
            let error = mode(&format!("postgres://{place}/app?sslmode=disable")).unwrap_err();
            for way in ["verify-full", "--allow-plaintext-store true", "allow_plaintext=on"] {
                assert!(error.message().contains(way), "{error}");
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_would() {
        for (url, part) in [
            ("postgres://localhost/app?schema=Jobs", "schema"),
            ("postgres://localhost/app?schema=pg_jobs", "schema"),
            ("postgres://localhost/app?pool=1", "pool"),
            ("postgres://localhost/app?notify=maybe", "notify"),
            ("postgres://localhost/app?sslmode=allow", "sslmode"),
            ("postgres://localhost/app?class=D0", "class"),
            ("postgres://localhost/app?shema=jobs", "shema"),
            ("postgres:///app", "no host"),
        ] {
            let error = parse(url).unwrap_err();
            assert!(error.message().contains(part), "{url}: {error}");
        }
    }
}
