//! The contract over a real gRPC connection: every case of the suite, with a server and a client
//! between it and the store, in memory and on disk.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use haulier_conformance::Rig;
use haulier_conformance::model::Plan;
use haulier_core::{Control, Inspect, ManualClock, Queue, SeededEntropy, Store};
use haulier_embedded::{EmbeddedStore, Options};
use haulier_memory::MemoryStore;
use haulier_remote::{RemoteOptions, RemoteStore};
use haulier_server::{Server, StartError};
use tempfile::TempDir;
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

/// What stands behind the server.
trait Backing: Sized + 'static {
    fn fresh(clock: &ManualClock) -> Self;
    fn store(&self) -> Arc<dyn Store>;
    async fn reopen(&mut self, clock: &ManualClock);
}

struct Memory(MemoryStore);

impl Backing for Memory {
    fn fresh(clock: &ManualClock) -> Self {
        Self(MemoryStore::new(Arc::new(clock.clone())))
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.0.clone())
    }

    async fn reopen(&mut self, _: &ManualClock) {
        self.0.restart();
    }
}

struct Embedded {
    directory: TempDir,
    store: EmbeddedStore,
}

impl Backing for Embedded {
    fn fresh(clock: &ManualClock) -> Self {
        let directory = TempDir::new().unwrap();
        let store = open(&directory, clock);
        Self { directory, store }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.store.clone())
    }

    async fn reopen(&mut self, clock: &ManualClock) {
        self.store.close().await.unwrap();
        self.store = open(&self.directory, clock);
    }
}

fn open(directory: &TempDir, clock: &ManualClock) -> EmbeddedStore {
    let mut options = Options::new(Arc::new(clock.clone()));
    options.segment_bytes = 256 * 1024;
    EmbeddedStore::open(directory.path(), options).unwrap()
}

/// A store behind a server and a connection. Reopening ends the server, and starts another one.
struct RemoteRig<B> {
    clock: ManualClock,
    backing: B,
    link: Option<Link>,
}

impl<B: Backing> RemoteRig<B> {
    fn remote(&self) -> Arc<RemoteStore> {
        Arc::new(self.link.as_ref().unwrap().remote.clone())
    }
}

impl<B: Backing> Rig for RemoteRig<B> {
    async fn fresh() -> Self {
        let clock = ManualClock::new();
        let backing = B::fresh(&clock);
        let link = Link::over(backing.store(), &clock).await;
        Self { clock, backing, link: Some(link) }
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
        haulier::janitor::sweep_all(&*self.backing.store()).await.unwrap();
    }

    async fn reopen(&mut self) {
        if let Some(link) = self.link.take() {
            link.end().await;
        }
        self.backing.reopen(&self.clock).await;
        self.link = Some(Link::over(self.backing.store(), &self.clock).await);
    }
}

/// Every step is a call over a connection: fewer histories than a store is played by itself.
fn histories<B: Backing>() {
    let plan = Plan::from_env();
    let histories = (plan.histories / 8).max(1);
    haulier_conformance::model::check::<RemoteRig<B>>(Plan { histories, ..plan });
}

mod over_memory {
    use super::{Memory, RemoteRig};

    haulier_conformance::suite!(RemoteRig<Memory>);

    #[test]
    fn random_histories_agree_with_the_specification() {
        super::histories::<Memory>();
    }
}

mod over_embedded {
    use super::{Embedded, RemoteRig};

    haulier_conformance::suite!(RemoteRig<Embedded>);

    #[test]
    fn random_histories_agree_with_the_specification() {
        super::histories::<Embedded>();
    }
}
