//! The life of a server: open its store, bind its port, serve, drain, close.
//!
//! What keeps a server from starting, or makes it stop by itself, is a [`StartError`]; each has an
//! exit code. Nothing here knows a call.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;

use axum_server::Handle;
use haulier::store::{self, Fatal, OpenError, OpenStore, StoreOptions};
use haulier::{janitor, system_entropy};
use haulier_core::{Clock, Durability, Entropy, Store};

use crate::config::{Config, ConfigError};
use crate::listen::{CONNECTIONS_MAX, listen};
use crate::rates::Readings;
use crate::shared::Shared;
use crate::{grpc, http, summary};

/// Why a server did not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address is not loopback.
    #[error(
        "`listen` is {0}, which other machines can reach; TLS and authentication come with a later \
         release: listen on a loopback address such as 127.0.0.1:7420"
    )]
    NotLoopback(SocketAddr),
    /// The store is weaker than the settings demand.
    #[error(
        "store {store} has durability class {class} ({}), below `min_durability` = {demanded}; \
         choose another store or lower `min_durability`",
        class.explain()
    )]
    BelowClass {
        /// The store.
        store: String,
        /// What it keeps.
        class: Durability,
        /// What was demanded.
        demanded: Durability,
    },
    /// The port cannot be had.
    #[error("cannot listen on {address}: {source}; {}", listen_hint(source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The store had to stop: nothing is acknowledged any more.
    #[error("the store had to stop: {0}; {hint}", hint = fatal_hint(.0))]
    Failed(Fatal),
    /// Something that a server cannot do without is missing.
    #[error(transparent)]
    Core(#[from] haulier_core::Error),
    /// The store did not close cleanly; what it acknowledged is safe even so.
    #[error("the store did not close cleanly: {0:#}")]
    Closing(haulier_core::Error),
    /// Serving ended by itself.
    #[error("serving failed: {0}")]
    Serving(io::Error),
}

fn fatal_hint(fatal: &Fatal) -> &'static str {
    match fatal {
        Fatal::Write(_) | Fatal::Damaged(_) => {
            "check the disk, then start again: what was acknowledged is safe"
        }
        Fatal::Refused(_) => "mend that, then start again",
    }
}

fn listen_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program uses it: stop that one, or set `listen`",
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need rights: set `listen` to a higher one"
        }
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address: set `listen`",
        _ => "set `listen` to another address",
    }
}

/// The exit code of a process whose server ended with this error.
pub const fn exit_code(error: &StartError) -> u8 {
    match error {
        StartError::Config(_)
        | StartError::NotLoopback(_)
        | StartError::BelowClass { .. }
        | StartError::Listen { .. }
        | StartError::Failed(Fatal::Refused(_)) => 78,
        StartError::Store(error) => store_exit_code(error),
        StartError::Failed(Fatal::Damaged(_)) => 65,
        StartError::Failed(Fatal::Write(_)) | StartError::Closing(_) | StartError::Serving(_) => 74,
        StartError::Core(_) => 70,
    }
}

/// The exit code of a process whose store could not be opened.
pub const fn store_exit_code(error: &OpenError) -> u8 {
    match error {
        OpenError::Url(_) | OpenError::Refused(_) => 78,
        OpenError::Damaged(_) => 65,
        OpenError::Io(_) => 74,
        OpenError::Away(_) => 69,
    }
}

/// A server that is not bound yet.
#[derive(Debug)]
pub struct Server {
    shared: Shared,
    config: Config,
    /// The store, if the server opened it: it is watched, and closed in the end.
    own: Option<OpenStore>,
}

impl Server {
    /// A server over the store that the settings name, with the machine's clock and dice.
    ///
    /// # Errors
    /// If the settings do not allow it, or the store cannot be opened.
    pub async fn open(config: Config, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        check_address(&config)?;
        let options = StoreOptions {
            clock: Arc::clone(&clock),
            payload_bytes_max: config.payload_bytes_max,
            min_durability: config.min_durability,
            migrate: config.migrate,
            allow_plaintext: config.allow_plaintext_store,
            ..StoreOptions::default()
        };
        let own = store::open(config.store.as_str(), options).await?;
        let mut server = Self::with(Arc::clone(&own.store), config, clock, system_entropy()?);
        server.shared.own = Some(own.clone());
        Ok(Self { own: Some(own), ..server })
    }

    /// A server over anyone's store, with the machine's clock and dice. The store is not closed.
    ///
    /// # Errors
    /// If the operating system has no random numbers.
    pub fn over(store: Arc<dyn Store>, config: Config) -> Result<Self, StartError> {
        let clock = Arc::new(haulier_core::SystemClock::new());
        Ok(Self::with(store, config, clock, system_entropy()?))
    }

    /// The same, with another clock and other dice.
    pub fn with(
        store: Arc<dyn Store>,
        config: Config,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { shared: Shared::new(store, clock, entropy), config, own: None }
    }

    /// What its calls share.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Checks the settings and takes the port.
    ///
    /// # Errors
    /// If the address is not loopback or not free, or the store is weaker than demanded.
    pub fn bind(self) -> Result<Bound, StartError> {
        check_address(&self.config)?;
        let Config { listen, min_durability, .. } = self.config;
        let capabilities = self.shared.capabilities();
        if capabilities.durability < min_durability {
            return Err(StartError::BelowClass {
                store: capabilities.store,
                class: capabilities.durability,
                demanded: min_durability,
            });
        }
        let refused = |source| StartError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Bound { server: self, listener, address })
    }
}

fn check_address(config: &Config) -> Result<(), StartError> {
    if config.listen.ip().is_loopback() {
        return Ok(());
    }
    Err(StartError::NotLoopback(config.listen))
}

/// A server that has its port: connections wait until it serves.
#[derive(Debug)]
pub struct Bound {
    server: Server,
    listener: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What its calls share.
    pub fn shared(&self) -> &Shared {
        &self.server.shared
    }

    /// Serves until `shutdown` is ready, then drains: no new connection, no new lease; what runs
    /// may end within the drain timeout. Then the store is closed, if the server opened it.
    ///
    /// # Errors
    /// If the listener or the store fails.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), StartError> {
        let Self { server: Server { shared, config, own }, listener, .. } = self;
        let handle = Handle::new();
        let readings = Arc::new(Readings::default());
        let app = http::around(
            http::router(&shared, Arc::clone(&readings)).merge(grpc::router(&shared)?),
            &shared,
        );
        let serving = listen(listener, app, handle.clone(), CONNECTIONS_MAX, &shared.clock)
            .map_err(StartError::Serving)?;
        let _connections = Connections(handle.clone());
        let sweeping = Background(janitor::spawn(&shared.store, Arc::clone(&shared.clock)));
        let summing = Background(tokio::spawn(summary::log(shared.clone(), readings)));
        let failed: Pin<Box<dyn Future<Output = Fatal> + Send>> = match &own {
            Some(own) => own.failed(),
            None => Box::pin(std::future::pending()),
        };
        let served = async {
            tokio::pin!(serving);
            tokio::select! {
                ended = &mut serving => return ended,
                () = shutdown => {}
            }
            tracing::info!(timeout_s = config.drain_timeout.as_secs_f64(), "draining");
            shared.draining.cancel();
            handle.graceful_shutdown(Some(config.drain_timeout));
            serving.await
        };
        tokio::select! {
            served = served => served.map_err(StartError::Serving)?,
            // Nothing can be acknowledged any more: connections are dropped, not drained.
            fatal = failed => return Err(StartError::Failed(fatal)),
        }
        drop((sweeping, summing));
        if let Some(own) = own {
            own.close().await.map_err(StartError::Closing)?;
        }
        tracing::info!("stopped");
        Ok(())
    }
}

/// The connections of a server: each has a task of its own, and none outlives [`Bound::serve`].
struct Connections(Handle<SocketAddr>);

impl Drop for Connections {
    fn drop(&mut self) {
        self.0.shutdown();
    }
}

/// Something that goes on beside a server's calls, and ends with the server.
struct Background(tokio::task::JoinHandle<()>);

impl Drop for Background {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.address)
    }
}
