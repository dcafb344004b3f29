//! The contract over a real gRPC connection to a server on PostgreSQL, which these tests start
//! themselves.

use std::sync::Arc;
use std::time::Duration;

use haulier_conformance::Rig;
use haulier_conformance::model::{self, Plan};
use haulier_core::{Control, Inspect, ManualClock, Queue};
use haulier_remote::RemoteStore;

use crate::remote::Link;
use crate::rig::PgRig;

/// A store in PostgreSQL behind a server and a connection. Reopening ends the server, and starts
/// another one.
struct ServedRig {
    direct: PgRig,
    link: Option<Link>,
}

impl ServedRig {
    fn remote(&self) -> RemoteStore {
        self.link.as_ref().unwrap().remote.clone()
    }
}

impl Rig for ServedRig {
    async fn fresh() -> Self {
        let direct = PgRig::fresh().await;
        let link = Link::over(direct.synced(direct.store()), &direct.clock()).await;
        Self { direct, link: Some(link) }
    }

    fn queue(&self) -> Arc<dyn Queue> {
        self.direct.synced(self.remote())
    }

    fn inspect(&self) -> Arc<dyn Inspect> {
        self.direct.synced(self.remote())
    }

    fn control(&self) -> Arc<dyn Control> {
        self.direct.synced(self.remote())
    }

    fn clock(&self) -> ManualClock {
        self.direct.clock()
    }

    async fn elapse(&mut self, by: Duration) {
        self.direct.elapse(by).await;
    }

    async fn reopen(&mut self) {
        if let Some(link) = self.link.take() {
            link.end().await;
        }
        self.direct.reopen().await;
        let store = self.direct.synced(self.direct.store());
        self.link = Some(Link::over(store, &self.direct.clock()).await);
    }
}

haulier_conformance::suite!(ServedRig);

#[test]
fn random_histories_agree_with_the_specification() {
    // Every step is a call over two connections: fewer histories than a store is played by itself.
    let plan = Plan::from_env();
    let histories = (plan.histories / 16).max(1);
    model::check::<ServedRig>(Plan { histories, ..plan });
}
