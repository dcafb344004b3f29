//! Proxies before the database: through one that hands a connection to somebody else after each
//! transaction the store keeps the contract, told of nothing, and says so if it was not asked to.

use std::sync::Arc;
use std::time::Duration;

use haulier_conformance::model::{self, Plan};
use haulier_conformance::prelude::{
    COMPLETE, Must, answer, applied, eventually, ids, only, task, want_of,
};
use haulier_conformance::{Rig, cases};
use haulier_core::{
    Control, Inspect, ManualClock, Queue, SeededEntropy, Settlement, State, limits,
};
use haulier_postgres::migrate::{self, ALL, Fit};
use haulier_postgres::{OpenError, Options, PgStore};
use haulier_sim::nemesis::PgBouncer;
use tokio::sync::OnceCell;

use crate::rig::{PgRig, ROOMY};
use crate::server;

/// What the guide says to add.
const OPTIONS: &str = "&notify=off&prepare=off";

static PROXY: OnceCell<PgBouncer> = OnceCell::const_new();

/// A proxy that pools transactions, for all tests of this process.
async fn proxy() -> &'static PgBouncer {
    let started =
        PROXY.get_or_init(|| async { PgBouncer::before(server::shared().await, "").await.must() });
    started.await
}

async fn options(more: &str) -> Options {
    through(proxy().await, more).await
}

/// Options for a schema that nobody else has, through a proxy.
async fn through(proxy: &PgBouncer, more: &str) -> Options {
    server::at(&server::shared().await.url_at(proxy.port()), more)
}

/// A store behind the proxy. Only the test's clock takes another way.
struct PooledRig(PgRig);

impl Rig for PooledRig {
    async fn fresh() -> Self {
        Self(PgRig::over(options(&[OPTIONS, ROOMY].concat()).await).await)
    }
    fn queue(&self) -> Arc<dyn Queue> {
        self.0.queue()
    }
    fn inspect(&self) -> Arc<dyn Inspect> {
        self.0.inspect()
    }
    fn control(&self) -> Arc<dyn Control> {
        self.0.control()
    }
    fn clock(&self) -> ManualClock {
        self.0.clock()
    }
    async fn elapse(&mut self, by: Duration) {
        self.0.elapse(by).await;
    }
    async fn reopen(&mut self) {
        self.0.reopen().await;
    }
}

/// A part of the contract; random histories take the rest.
macro_rules! part {
    ($($file:ident::$case:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                cases::$file::$case(&mut PooledRig::fresh().await).await;
            }
        )*
    };
}

part! {
    beat::a_beat_with_an_old_and_a_new_key_saves_for_the_new_one,
    cancel::a_cancellation_and_a_lease_that_meet_agree,
    enqueue::callers_with_one_id_store_one_task,
    enqueue::acknowledged_tasks_are_there_after_reopening,
    fence::a_superseded_key_can_neither_beat_nor_settle,
    fence::callers_who_settle_one_lease_get_one_answer,
}

#[test]
fn random_histories_agree_behind_a_proxy_that_hands_connections_around() {
    model::check::<PooledRig>(Plan { histories: 3, ..Plan::from_env() });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_enqueued_at_one_server_wakes_a_worker_at_another_by_polling_alone() {
    let mut options = options(OPTIONS).await;
    let one = PgStore::migrate_and_open(options.clone()).await.must();
    options.entropy = Arc::new(SeededEntropy::from_u64(8));
    let other = PgStore::open(options).await.must();
    let waiting = {
        let other = other.clone();
        tokio::spawn(async move {
            only(other.lease(vec![want_of("w", 1)], limits::WAIT_MAX).await.must())
        })
    };
    eventually("it waits", async || !one.workers().await.must().is_empty()).await;
    let id = only(one.enqueue(vec![task()]).await.must()).accepted().must();
    let leases = answer(waiting).await;
    assert_eq!(ids(&leases), [id]);
    let end = Settlement { key: leases[0].key, outcome: COMPLETE };
    let settled = only(other.settle(vec![end]).await.must());
    assert_eq!(settled, applied(State::Completed));
}

#[tokio::test]
async fn whoever_forgets_the_options_is_told_them_at_the_start() {
    for forgotten in ["", "&notify=off", "&prepare=off"] {
        let options = options(forgotten).await;
        migrate::up(&options).await.must();
        let opened = PgStore::open(options).await;
        let Err(OpenError::Refused(error)) = opened else { panic!("{forgotten}: {opened:?}") };
        let said = error.message();
        assert!(said.contains("hands its connections to others"), "{said}");
        assert!(said.contains("add notify=off&prepare=off to the URL"), "{said}");
    }
}

#[tokio::test]
async fn tables_are_brought_in_through_a_proxy_without_any_option() {
    let options = options("").await;
    for applied in [ALL.len(), 0] {
        assert_eq!(migrate::up(&options).await.must().len(), applied);
        assert_eq!(migrate::status(&options).await.must().fit(), Fit::Current);
    }
    migrate::down(&options, 0).await.must();
    assert_eq!(migrate::status(&options).await.must().fit(), Fit::Missing);
}

#[tokio::test]
async fn a_proxy_that_pools_sessions_needs_no_option() {
    let sessions = PgBouncer::before(server::shared().await, "pool_mode = session").await.must();
    let options = through(&sessions, "&pool=2").await;
    let store = PgStore::migrate_and_open(options).await.must();
    only(store.enqueue(vec![task()]).await.must()).accepted().must();
    let leases = store.lease(vec![want_of("w", 1)], limits::WAIT_MAX).await.must();
    assert_eq!(only(leases).len(), 1);
    store.close().await.must();
}
