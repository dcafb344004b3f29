//! Opening a store in this process, by URL. Clients use it for `memory:` and `file:`, servers for
//! every store that they serve.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use haulier_core::limits::PAYLOAD_BYTES_DEFAULT;
use haulier_core::{Clock, Code, Durability, Error, Store, SystemClock};

#[cfg(feature = "embedded")]
pub use haulier_embedded::Backup;

/// How to open a store.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The store's only source of time.
    pub clock: Arc<dyn Clock>,
    /// Largest payload or result to accept, in bytes.
    pub payload_bytes_max: usize,
    /// Size of one file of the embedded store's log; `None` takes the store's default.
    pub segment_bytes: Option<usize>,
    /// The weakest durability class that is opened. Asked of stores that others have set up; what a
    /// weaker one would have to change is said in their words.
    pub min_durability: Durability,
    /// Whether a database without our tables, or with older ones, is given them.
    pub migrate: bool,
    /// Whether a database on another machine may be talked to without encryption.
    pub allow_plaintext: bool,
}

impl Default for StoreOptions {
    /// The machine's clock and the default limits.
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock::new()),
            payload_bytes_max: PAYLOAD_BYTES_DEFAULT,
            segment_bytes: None,
            min_durability: Durability::D0,
            migrate: false,
            allow_plaintext: false,
        }
    }
}

/// A store of this process.
#[derive(Debug, Clone)]
pub struct OpenStore {
    /// The store.
    pub store: Arc<dyn Store>,
    engine: Engine,
}

/// What stands behind the store, for its end.
#[derive(Debug, Clone)]
enum Engine {
    #[cfg(feature = "memory")]
    Memory,
    #[cfg(feature = "embedded")]
    Embedded(haulier_embedded::EmbeddedStore),
    #[cfg(feature = "postgres")]
    Postgres(haulier_postgres::PgStore),
    #[cfg(feature = "redis")]
    Redis(haulier_redis::RedisStore),
}

/// Why an open store had to stop: nothing is acknowledged any more, and the process should end. The
/// next start finds out what is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fatal {
    /// Writing or syncing failed.
    Write(String),
    /// Something that was durable is not there any more.
    Damaged(String),
    /// What the store stands on does not keep any more what acknowledgements promise.
    Refused(String),
}

/// Why a store could not be opened. Each keeps what is wrong and what to do next, for people.
#[derive(Debug)]
pub enum OpenError {
    /// The URL is wrong, or names a store that this program was built without.
    Url(Error),
    /// The store cannot be used so: another process has it open, a newer version wrote it, or an
    /// option makes no sense.
    Refused(Error),
    /// Something that was durable is not there any more.
    Damaged(Error),
    /// The file system refused.
    Io(Error),
    /// What the store stands on cannot be reached, or not now.
    Away(Error),
}

/// Opens the store that a URL names: `memory:`, `file:DIR`, `postgres://HOST/DATABASE` or
/// `redis://HOST`, also as `rediss`, `redis+sentinel` or `redis+cluster`.
///
/// # Errors
/// [`OpenError`], which keeps apart what a program may want to tell apart.
pub async fn open(url: &str, options: StoreOptions) -> Result<OpenStore, OpenError> {
    match url.split_once(':') {
        #[cfg(feature = "memory")]
        Some(("memory", "")) => Ok(open_memory(options)),
        #[cfg(not(feature = "memory"))]
        Some(("memory", "")) => Err(left_out("memory")),
        Some(("file", path)) if !path.is_empty() => open_file(path.to_owned(), options).await,
        Some(("postgres" | "postgresql", _)) => open_postgres(url, options).await,
        Some((scheme, _)) if is_redis(scheme) => open_redis(url, options).await,
        Some((scheme, _)) => Err(unknown(scheme)),
        None => Err(unknown(url)),
    }
}

#[cfg(feature = "memory")]
fn open_memory(options: StoreOptions) -> OpenStore {
    let store = haulier_memory::MemoryStore::new(options.clock)
        .with_payload_bytes_max(options.payload_bytes_max);
    OpenStore { store: Arc::new(store), engine: Engine::Memory }
}

/// Recovering a large log takes seconds: it must not hold up the runtime.
#[cfg(feature = "embedded")]
async fn open_file(path: String, options: StoreOptions) -> Result<OpenStore, OpenError> {
    let mut embedded = haulier_embedded::Options::new(options.clock);
    embedded.payload_bytes_max = options.payload_bytes_max;
    embedded.segment_bytes = options.segment_bytes.unwrap_or(embedded.segment_bytes);
    let open = move || haulier_embedded::EmbeddedStore::open(path.as_ref(), embedded);
    let opened = tokio::task::spawn_blocking(open).await.map_err(|error| {
        OpenError::Io(Error::internal("opening the store was interrupted").caused_by(error))
    })?;
    let store = opened.map_err(OpenError::from)?;
    Ok(OpenStore { store: Arc::new(store.clone()), engine: Engine::Embedded(store) })
}

#[cfg(not(feature = "embedded"))]
#[expect(clippy::unused_async, reason = "opening takes its time with the feature `embedded`")]
async fn open_file(_: String, _: StoreOptions) -> Result<OpenStore, OpenError> {
    Err(left_out("embedded"))
}

#[cfg(feature = "postgres")]
async fn open_postgres(url: &str, options: StoreOptions) -> Result<OpenStore, OpenError> {
    use haulier_postgres::{Options, PgStore};
    let entropy = crate::system_entropy().map_err(OpenError::Url)?;
    let mut database = Options::parse(url, entropy)
        .map_err(OpenError::Url)?
        .with_payload_bytes_max(options.payload_bytes_max);
    database.clock = options.clock;
    database.tls.allow_plaintext |= options.allow_plaintext;
    database.class = database.class.max(options.min_durability);
    let opened = if options.migrate {
        PgStore::migrate_and_open(database).await
    } else {
        PgStore::open(database).await
    };
    let store = opened?;
    Ok(OpenStore { store: Arc::new(store.clone()), engine: Engine::Postgres(store) })
}

#[cfg(not(feature = "postgres"))]
#[expect(clippy::unused_async, reason = "opening takes its time with the feature `postgres`")]
async fn open_postgres(_: &str, _: StoreOptions) -> Result<OpenStore, OpenError> {
    Err(left_out("postgres"))
}

/// Whether a store is in a Redis: also one with TLS, behind sentinels, in a cluster.
fn is_redis(scheme: &str) -> bool {
    let base = scheme.split_once('+').map_or(scheme, |(base, _)| base);
    matches!(base, "redis" | "rediss" | "valkey" | "valkeys")
}

#[cfg(feature = "redis")]
async fn open_redis(url: &str, options: StoreOptions) -> Result<OpenStore, OpenError> {
    use haulier_redis::{Options, RedisStore};
    let entropy = crate::system_entropy().map_err(OpenError::Url)?;
    let mut redis = Options::parse(url, entropy)
        .map_err(OpenError::Url)?
        .with_payload_bytes_max(options.payload_bytes_max);
    redis.clock = options.clock;
    redis.tls.allow_plaintext |= options.allow_plaintext;
    redis.class = redis.class.max(options.min_durability);
    let store = RedisStore::open(redis).await?;
    Ok(OpenStore { store: Arc::new(store.clone()), engine: Engine::Redis(store) })
}

#[cfg(not(feature = "redis"))]
#[expect(clippy::unused_async, reason = "opening takes its time with the feature `redis`")]
async fn open_redis(_: &str, _: StoreOptions) -> Result<OpenStore, OpenError> {
    Err(left_out("redis"))
}

impl OpenStore {
    /// The store in PostgreSQL behind it, for what only a database can do: see
    /// [`crate::postgres`]. `None` if it is another one.
    #[cfg(feature = "postgres")]
    pub fn postgres(&self) -> Option<&haulier_postgres::PgStore> {
        match &self.engine {
            Engine::Postgres(store) => Some(store),
            #[cfg(any(feature = "memory", feature = "embedded", feature = "redis"))]
            _ => None,
        }
    }

    /// Is ready when the store can go on no longer; never for a store that cannot fail so.
    pub fn failed(&self) -> Pin<Box<dyn Future<Output = Fatal> + Send>> {
        match self.engine {
            #[cfg(feature = "memory")]
            Engine::Memory => Box::pin(std::future::pending()),
            #[cfg(feature = "embedded")]
            Engine::Embedded(ref store) => {
                let failed = store.failed();
                Box::pin(async move { Fatal::from(failed.await) })
            }
            #[cfg(feature = "postgres")]
            Engine::Postgres(ref store) => {
                let failed = store.failed();
                Box::pin(async move { Fatal::from(failed.await) })
            }
            #[cfg(feature = "redis")]
            Engine::Redis(ref store) => {
                let failed = store.failed();
                Box::pin(async move { Fatal::from(failed.await) })
            }
        }
    }

    /// Begins a backup of everything that is durable now; see [`Backup`].
    ///
    /// # Errors
    /// [`haulier_core::Code::NotSupported`] if the store keeps nothing, or that it has stopped.
    #[cfg(feature = "embedded")]
    pub async fn backup(&self) -> haulier_core::Result<Backup> {
        match self.engine {
            #[cfg(feature = "memory")]
            Engine::Memory => Err(Error::new(
                Code::NotSupported,
                "a store in memory has no backup; export its tasks instead: haulier export",
            )),
            Engine::Embedded(ref store) => store.backup().await,
            #[cfg(feature = "postgres")]
            Engine::Postgres(_) => Err(Error::new(
                Code::NotSupported,
                "a store in PostgreSQL is backed up with its database: pg_dump or pg_basebackup",
            )),
            #[cfg(feature = "redis")]
            Engine::Redis(_) => Err(Error::new(
                Code::NotSupported,
                "a store in Redis is backed up with its Redis: BGSAVE, or its append-only files",
            )),
        }
    }

    /// Stops the store cleanly. Calls that come later fail as unavailable.
    ///
    /// # Errors
    /// What the store says; what it acknowledged is safe even so.
    #[cfg_attr(
        not(any(feature = "embedded", feature = "postgres", feature = "redis")),
        expect(clippy::unused_async, reason = "memory has nothing to wait for")
    )]
    pub async fn close(&self) -> haulier_core::Result<()> {
        match self.engine {
            #[cfg(feature = "memory")]
            Engine::Memory => Ok(()),
            #[cfg(feature = "embedded")]
            Engine::Embedded(ref store) => store.close().await,
            #[cfg(feature = "postgres")]
            Engine::Postgres(ref store) => store.close().await,
            #[cfg(feature = "redis")]
            Engine::Redis(ref store) => store.close().await,
        }
    }
}

#[cfg(not(all(
    feature = "memory",
    feature = "embedded",
    feature = "postgres",
    feature = "redis"
)))]
fn left_out(feature: &str) -> OpenError {
    OpenError::Url(Error::new(
        Code::NotSupported,
        format!("this program was built without the feature `{feature}` of the crate haulier"),
    ))
}

fn unknown(scheme: &str) -> OpenError {
    let shown: String = scheme.chars().take(40).collect();
    OpenError::Url(Error::invalid(
        "url",
        format!(
            "{shown:?} names no store; known are memory:, file:DIR as in file:/var/lib/haulier, \
             postgres://USER@HOST/DATABASE, redis://HOST and, for clients, http://HOST:7420 and https://HOST:7420"
        ),
    ))
}

impl OpenError {
    fn error(&self) -> &Error {
        match self {
            Self::Url(error)
            | Self::Refused(error)
            | Self::Damaged(error)
            | Self::Io(error)
            | Self::Away(error) => error,
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error().fmt(f)
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(self.error())
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        error.error().clone()
    }
}

#[cfg(feature = "embedded")]
impl From<haulier_embedded::OpenError> for OpenError {
    fn from(error: haulier_embedded::OpenError) -> Self {
        use haulier_embedded::OpenError as Embedded;
        let kind = match &error {
            Embedded::Damaged { .. } => Self::Damaged,
            Embedded::Io { .. } => Self::Io,
            Embedded::Locked { .. }
            | Embedded::NewerFormat { .. }
            | Embedded::Unfinished { .. }
            | Embedded::Options(_) => Self::Refused,
        };
        kind(error.into())
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Write(why) | Self::Damaged(why) | Self::Refused(why)) = self;
        f.write_str(why)
    }
}

impl std::error::Error for Fatal {}

#[cfg(feature = "embedded")]
impl From<haulier_embedded::Fatal> for Fatal {
    fn from(fatal: haulier_embedded::Fatal) -> Self {
        let text = fatal.to_string();
        match fatal {
            haulier_embedded::Fatal::Write(_) => Self::Write(text),
            haulier_embedded::Fatal::Damaged(_) => Self::Damaged(text),
        }
    }
}

#[cfg(feature = "postgres")]
impl From<haulier_postgres::OpenError> for OpenError {
    fn from(error: haulier_postgres::OpenError) -> Self {
        use haulier_postgres::OpenError as Postgres;
        match error {
            Postgres::Options(error) => Self::Url(error),
            Postgres::Refused(error) => Self::Refused(error),
            Postgres::Away(error) => Self::Away(error),
        }
    }
}

#[cfg(feature = "redis")]
impl From<haulier_redis::OpenError> for OpenError {
    fn from(error: haulier_redis::OpenError) -> Self {
        use haulier_redis::OpenError as Redis;
        match error {
            Redis::Options(error) => Self::Url(error),
            Redis::Refused(error) => Self::Refused(error),
            Redis::Away(error) => Self::Away(error),
        }
    }
}

#[cfg(feature = "redis")]
impl From<haulier_redis::Fatal> for Fatal {
    fn from(fatal: haulier_redis::Fatal) -> Self {
        match fatal {
            haulier_redis::Fatal::Damaged(why) => Self::Damaged(why),
            haulier_redis::Fatal::Refused(why) => Self::Refused(why),
        }
    }
}

#[cfg(feature = "postgres")]
impl From<haulier_postgres::Fatal> for Fatal {
    fn from(fatal: haulier_postgres::Fatal) -> Self {
        match fatal {
            haulier_postgres::Fatal::Damaged(why) => Self::Damaged(why),
            haulier_postgres::Fatal::Refused(why) => Self::Refused(why),
        }
    }
}
