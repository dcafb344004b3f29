//! The contract over a real gRPC connection to a server on Redis, which these tests start
//! themselves.

use std::sync::Arc;
use std::time::Duration;

use haulier_conformance::Rig;
use haulier_conformance::model::{self, Plan};
use haulier_core::{Control, Inspect, ManualClock, Queue};

use crate::redis_rig::RedisRig;
use crate::remote::Link;

/// A store in Redis behind a server and a connection. Reopening ends the server, and starts another
/// one.
struct ServedRig {
    direct: RedisRig,
    link: Option<Link>,
}

impl ServedRig {
    fn link(&self) -> &Link {
        self.link.as_ref().unwrap()
    }
}

impl Rig for ServedRig {
    async fn fresh() -> Self {
        let direct = RedisRig::fresh().await;
        let link = Link::over(Arc::new(direct.store()), &direct.clock()).await;
        Self { direct, link: Some(link) }
    }

    fn queue(&self) -> Arc<dyn Queue> {
        Arc::new(self.link().remote.clone())
    }

    fn inspect(&self) -> Arc<dyn Inspect> {
        Arc::new(self.link().remote.clone())
    }

    fn control(&self) -> Arc<dyn Control> {
        Arc::new(self.link().remote.clone())
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
        self.link = Some(Link::over(Arc::new(self.direct.store()), &self.direct.clock()).await);
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
