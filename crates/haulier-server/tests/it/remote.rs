//! The contract over a real gRPC connection: every case of the suite, with a server and a client between
//! it and the store.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use haulier_conformance::Rig;
use haulier_core::{Control, Inspect, ManualClock, Queue, SeededEntropy, Store};
use haulier_memory::MemoryStore;
use haulier_remote::{RemoteOptions, RemoteStore};
use haulier_server::{Server, StartError};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::site::{config, within};

/// A server on a free port, and a client of it.
pub struct Link {
    pub remote: RemoteStore,
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), StartError>>,
}

impl Link {
    /// Serves a store, and connects.
    pub async fn over(store: Arc<dyn Store>, clock: &ManualClock) -> Self {
        let entropy = Arc::new(SeededEntropy::from_u64(7));
        let time = Arc::new(clock.clone());
        let bound = Server::with(store, config(), time, entropy).bind().unwrap();
        let address = bound.address();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(bound.serve(async { stopped.await.unwrap_or_default() }));
        let remote = connect(&format!("http://{address}"), clock).await.unwrap();
        Self { remote, address, stop, serving }
    }

    /// Drains the server and waits for its end.
    pub async fn end(self) {
        drop(self.remote);
        drop(self.stop);
        within(self.serving).await.unwrap().unwrap();
    }
}

/// A client of one or several servers.
pub async fn connect(urls: &str, clock: &ManualClock) -> haulier_core::Result<RemoteStore> {
    let entropy = Arc::new(SeededEntropy::from_u64(3));
    RemoteStore::connect(RemoteOptions::new(urls, Arc::new(clock.clone()), entropy)).await
}

/// A store in memory behind a server. Reopening ends the server and starts another one.
struct RemoteRig {
    clock: ManualClock,
    store: MemoryStore,
    link: Option<Link>,
}

impl RemoteRig {
    fn remote(&self) -> Arc<RemoteStore> {
        Arc::new(self.link.as_ref().unwrap().remote.clone())
    }
}

impl Rig for RemoteRig {
    async fn fresh() -> Self {
        let clock = ManualClock::new();
        let store = MemoryStore::new(Arc::new(clock.clone()));
        let link = Link::over(Arc::new(store.clone()), &clock).await;
        Self { clock, store, link: Some(link) }
    }

    fn queue(&self) -> Arc<dyn Queue> {
        self.remote()
    }

    fn inspect(&self) -> Arc<dyn Inspect> {
        self.remote()
    }

    fn control(&self) -> Arc<dyn Control> {
        self.remote()
    }

    fn clock(&self) -> ManualClock {
        self.clock.clone()
    }

    async fn elapse(&mut self, by: Duration) {
        self.clock.advance(by);
        haulier::janitor::sweep_all(&self.store).await.unwrap();
    }

    async fn reopen(&mut self) {
        if let Some(link) = self.link.take() {
            link.end().await;
        }
        self.store.restart();
        self.link = Some(Link::over(Arc::new(self.store.clone()), &self.clock).await);
    }
}

haulier_conformance::suite!(RemoteRig);
haulier_conformance::histories!(RemoteRig);
