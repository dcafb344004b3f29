//! Opening a store in this process, by URL. Clients use it for `memory:` and `file:`, servers for every
//! store that they serve.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use haulier_core::limits::PAYLOAD_BYTES_DEFAULT;
use haulier_core::{Clock, Code, Error, Store, SystemClock};

/// How to open a store.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The store's only source of time.
    pub clock: Arc<dyn Clock>,
    /// Largest payload or result to accept, in bytes.
    pub payload_bytes_max: usize,
    /// Size of one file of the embedded store's log; `None` takes the store's default.
    pub segment_bytes: Option<u64>,
}

impl Default for StoreOptions {
    /// The machine's clock and the default limits.
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock::new()),
            payload_bytes_max: PAYLOAD_BYTES_DEFAULT,
            segment_bytes: None,
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
    #[cfg_attr(not(feature = "memory"), expect(dead_code, reason = "the store is left out"))]
    Memory,
}

/// Why a store had to stop: nothing is acknowledged any more, and the process should end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fatal(pub String);

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fatal {}

/// Why a store could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The URL is wrong, or names a store that this program was built without.
    Url(Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Url(error) => error,
        }
    }
}

/// Opens the store that a URL names: `memory:` or `file:DIR`.
///
/// # Errors
/// [`OpenError`], which keeps apart what a program may want to tell apart.
#[expect(clippy::unused_async, reason = "opening a directory takes its time; so will others")]
pub async fn open(url: &str, options: StoreOptions) -> Result<OpenStore, OpenError> {
    match url.split_once(':') {
        Some(("memory", "")) => open_memory(options),
        Some((scheme, _)) => Err(unknown(scheme)),
        None => Err(unknown(url)),
    }
}

#[cfg(feature = "memory")]
fn open_memory(options: StoreOptions) -> Result<OpenStore, OpenError> {
    let store = haulier_memory::MemoryStore::new(options.clock)
        .with_payload_bytes_max(options.payload_bytes_max);
    Ok(OpenStore { store: Arc::new(store), engine: Engine::Memory })
}

#[cfg(not(feature = "memory"))]
fn open_memory(_: StoreOptions) -> Result<OpenStore, OpenError> {
    Err(left_out("memory"))
}

impl OpenStore {
    /// Is ready when the store can go on no longer; never for a store that cannot fail so.
    pub fn failed(&self) -> Pin<Box<dyn Future<Output = Fatal> + Send>> {
        match &self.engine {
            Engine::Memory => Box::pin(std::future::pending()),
        }
    }

    /// Stops the store cleanly. Calls that come later fail as unavailable.
    ///
    /// # Errors
    /// What the store says; what it acknowledged is safe even so.
    #[expect(clippy::unused_async, reason = "memory has nothing to wait for")]
    pub async fn close(&self) -> haulier_core::Result<()> {
        match &self.engine {
            Engine::Memory => Ok(()),
        }
    }
}

#[cfg_attr(feature = "memory", expect(dead_code, reason = "nothing is left out"))]
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
            "{shown:?} names no store; known are memory: and file:DIR, as in file:/var/lib/haulier"
        ),
    ))
}
