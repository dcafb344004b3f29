//! From a URL to a client: which store, which layers, which secrets.

use std::fmt;
use std::sync::Arc;

use haulier_core::{Clock, Error, Queue, Result, SystemClock};
use haulier_layers::{Coalesce, Validate};

use crate::client::{Client, ClientParts};
use crate::entropy::system_entropy;
use crate::janitor;
use crate::store::{self, StoreOptions};

/// Where a client connects unless told otherwise.
pub const URL_DEFAULT: &str = "http://127.0.0.1:7420";

/// Connects to `memory:`, `file:DIR`, or one or several servers: `http://a:7420,http://b:7420`.
///
/// # Errors
/// [`haulier_core::Code::Invalid`] for a URL that names no store; what the store says, if it cannot
/// be opened or reached.
pub async fn connect(url: impl Into<String>) -> Result<Client> {
    Builder::new(url).open().await
}

type Wrap = Box<dyn FnOnce(Arc<dyn Queue>) -> Arc<dyn Queue> + Send>;

/// A connection that is about to be made.
pub struct Builder {
    url: String,
    token: Option<String>,
    ca_pem: Option<Vec<u8>>,
    identity: Option<Identity>,
    connections: Option<usize>,
    clock: Arc<dyn Clock>,
    layers: Vec<Wrap>,
}

/// A client's own certificate, for servers that ask for one.
#[derive(Clone)]
pub struct Identity {
    /// The certificate and those above it, PEM.
    pub certificate_pem: Vec<u8>,
    /// Its private key, PEM.
    pub key_pem: Vec<u8>,
}

impl Builder {
    /// A connection to `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            token: None,
            ca_pem: None,
            identity: None,
            connections: None,
            clock: Arc::new(SystemClock::new()),
            layers: Vec::new(),
        }
    }

    /// A connection as the environment says: `HAULIER_URL` (default `http://127.0.0.1:7420`),
    /// `HAULIER_TOKEN`, and the files `HAULIER_CA`, `HAULIER_CERT`, `HAULIER_KEY`.
    ///
    /// # Errors
    /// If a file cannot be read, or only one of certificate and key is given.
    pub fn from_env() -> Result<Self> {
        let get = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let mut builder = Self::new(get("HAULIER_URL").unwrap_or_else(|| URL_DEFAULT.to_owned()));
        builder.token = get("HAULIER_TOKEN");
        let ca = get("HAULIER_CA").map(|path| read("HAULIER_CA", &path)).transpose()?;
        let identity = match (get("HAULIER_CERT"), get("HAULIER_KEY")) {
            (Some(cert), Some(key)) => Some(Identity {
                certificate_pem: read("HAULIER_CERT", &cert)?,
                key_pem: read("HAULIER_KEY", &key)?,
            }),
            (None, None) => None,
            _ => {
                return Err(Error::invalid(
                    "HAULIER_CERT",
                    "HAULIER_CERT and HAULIER_KEY belong together; set both or neither",
                ));
            }
        };
        Ok(builder.tls(ca, identity))
    }

    /// Connects elsewhere than the environment says.
    #[must_use]
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = url.into();
        self
    }

    /// Proves who is calling.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Whom to trust (PEM; `None`: whom the system trusts), and the client's own certificate.
    #[must_use]
    pub fn tls(mut self, ca_pem: Option<Vec<u8>>, identity: Option<Identity>) -> Self {
        self.ca_pem = ca_pem;
        self.identity = identity;
        self
    }

    /// How many connections to hold to a server.
    #[must_use]
    pub fn connections(mut self, count: usize) -> Self {
        self.connections = Some(count);
        self
    }

    /// The source of time, for this client and, with `memory:` and `file:`, the store.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Puts a layer around the queue; the last one added is outermost.
    #[must_use]
    pub fn layer<Q: Queue>(
        mut self,
        layer: impl FnOnce(Arc<dyn Queue>) -> Q + Send + 'static,
    ) -> Self {
        self.layers.push(Box::new(|queue| Arc::new(layer(queue))));
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// As [`connect`].
    pub async fn open(self) -> Result<Client> {
        match self.url.split_once(':') {
            Some(("http" | "https", _)) => self.open_remote().await,
            _ => self.open_store().await,
        }
    }

    async fn open_store(self) -> Result<Client> {
        let options = StoreOptions { clock: Arc::clone(&self.clock), ..StoreOptions::default() };
        let open = store::open(&self.url, options).await?;
        drop(janitor::spawn(&open.store, Arc::clone(&self.clock)));
        let queue: Arc<dyn Queue> = open.store.clone();
        Ok(Client::from_parts(ClientParts {
            queue: wrap(queue, self.layers),
            inspect: Some(open.store.clone()),
            control: Some(open.store.clone()),
            clock: self.clock,
            entropy: system_entropy()?,
            store: Some(open),
        }))
    }

    #[cfg(feature = "remote")]
    async fn open_remote(self) -> Result<Client> {
        use haulier_remote::{RemoteOptions, RemoteStore, Tls};
        let entropy = system_entropy()?;
        let clock = Arc::clone(&self.clock);
        let mut options = RemoteOptions::new(&self.url, clock, Arc::clone(&entropy));
        options.token = self.token;
        options.connections = self.connections.unwrap_or(options.connections);
        let identity = self.identity.map(|own| haulier_remote::Identity {
            certificate_pem: own.certificate_pem,
            key_pem: own.key_pem,
        });
        options.tls = (self.ca_pem.is_some() || identity.is_some())
            .then_some(Tls { ca_pem: self.ca_pem, identity });
        let store = Arc::new(RemoteStore::connect(options).await?);
        Ok(Client::from_parts(ClientParts {
            queue: wrap(store.clone(), self.layers),
            inspect: Some(store.clone()),
            control: Some(store),
            clock: self.clock,
            entropy,
            store: None,
        }))
    }

    #[cfg(not(feature = "remote"))]
    #[expect(clippy::unused_async, reason = "a connection with the feature `remote`")]
    async fn open_remote(self) -> Result<Client> {
        Err(Error::new(
            haulier_core::Code::NotSupported,
            "this program was built without the feature `remote` of the crate haulier",
        ))
    }
}

/// Puts the layers on: calls are merged last, just before the store, and checked before that; the
/// user's layers are outside of both.
fn wrap(store: Arc<dyn Queue>, layers: Vec<Wrap>) -> Arc<dyn Queue> {
    let queue: Arc<dyn Queue> = Arc::new(Validate::new(Arc::new(Coalesce::new(store))));
    layers.into_iter().fold(queue, |queue, layer| layer(queue))
}

fn read(name: &str, path: &str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Error::invalid(name, format!("the file {path:?} cannot be read: {error}")).caused_by(error)
    })
}

impl fmt::Debug for Builder {
    /// Never the token or the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("url", &self.url).finish_non_exhaustive()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}
