//! Calls that wait while something is in the way: another server, a database that is silent.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::future::Future as _;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use haulier_conformance::prelude::{
    COMPLETE, answer, eventually, ids, only, task, want_of, worker,
};
use haulier_core::{
    Beat, Code, Control as _, Held, Include, Inspect as _, Lease, LeaseBeat, ManualClock,
    Queue as _, Result, SeededEntropy, SettingsPatch, Settled, Settlement, State, limits,
};
use haulier_postgres::{Options, PgStore};
use haulier_sim::nemesis::{Break, Proxy};
use tokio::task::JoinHandle;

use crate::server;

/// The message that commits a transaction.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// Two servers on one schema, of which the far one reaches it through a proxy, looks by itself as
/// good as never, and whose clocks stand still.
struct Two {
    near: PgStore,
    far: PgStore,
    clock: Arc<ManualClock>,
    proxy: Proxy,
    schema: String,
}

async fn two() -> Two {
    let options = server::options("&poll=600s").await;
    let schema = options.schema.clone();
    let near = PgStore::migrate_and_open(options).await.unwrap();
    let server = server::shared().await;
    let proxy = Proxy::to(([127, 0, 0, 1], server.port()).into()).await.unwrap();
    let url = server.url_at(proxy.address.port());
    let url = format!("{url}?schema={schema}&sslmode=disable&throwaway=on&poll=600s");
    let mut options = Options::parse(&url, Arc::new(SeededEntropy::from_u64(8))).unwrap();
    let clock = Arc::new(ManualClock::new());
    (options.clock, options.pace) = (clock.clone(), clock.clone());
    let far = PgStore::open(options).await.unwrap();
    Two { near, far, clock, proxy, schema }
}

fn wait_at(store: &PgStore, name: &str, wait: Duration) -> JoinHandle<Result<Vec<Vec<Lease>>>> {
    let (store, want) = (store.clone(), want_of(name, 1));
    tokio::spawn(async move { store.lease(vec![want], wait).await })
}

async fn until_known(store: &PgStore, name: &str) {
    let wanted = worker(name);
    let is_known = async || {
        let workers = store.workers().await.unwrap();
        workers.iter().any(|view| view.worker == wanted)
    };
    eventually("the worker is known", is_known).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_at_a_store_that_is_closed_is_told_so_although_the_database_is_silent() {
    let two = two().await;
    let waiting = wait_at(&two.far, "waiting", limits::WAIT_MAX);
    until_known(&two.near, "waiting").await;
    two.proxy.swallow_answers(true);
    let asking = wait_at(&two.far, "asking", Duration::ZERO);
    eventually("its claim is out", async || two.proxy.swallowed() > 0).await;
    let far = two.far.clone();
    let mut closing = Box::pin(async move { far.close().await });
    // From its first step on it counts the time that it gives whatever runs beside it.
    assert!(closing.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let closing = tokio::spawn(closing);
    // Well before the wait would have ended with nothing.
    two.clock.advance(limits::WAIT_MAX / 3);
    for call in [waiting, asking] {
        assert_eq!(answer(call).await.unwrap_err().code(), Code::Unavailable);
    }
    eventually("it is closed", async || {
        two.clock.advance(Duration::from_secs(1));
        closing.is_finished()
    })
    .await;
    assert!(closing.await.unwrap().is_err(), "the others are not told that it is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_wait_for_a_queue_that_another_server_is_busy_with_brings_what_is_there() {
    let two = two().await;
    let id = only(two.near.enqueue(vec![task()]).await.unwrap()).accepted().unwrap();
    let server = server::shared().await;
    // Another server that stands still in the middle of a claim.
    let mutex = format!(
        "BEGIN; SELECT pg_advisory_xact_lock(hashtext('\"{0}\"'), no) FROM \"{0}\".queue;",
        two.schema
    );
    let mut other = server.session(&mutex).unwrap();
    let is_held = format!(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted \
         AND classid = hashtext('\"{}\"')::oid",
        two.schema
    );
    eventually("it has the mutex", async || server.sql(&is_held).unwrap() == "1").await;
    let waiting = wait_at(&two.far, "w", Duration::from_secs(1));
    until_known(&two.near, "w").await;
    two.clock.advance(Duration::from_secs(2));
    other.kill().unwrap();
    other.wait().unwrap();
    let leases = only(answer(waiting).await.unwrap());
    assert_eq!(ids(&leases), [id], "L1: it was busy, not empty");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_whose_end_is_not_known_takes_nothing_from_whoever_got_the_task_since() {
    let two = two().await;
    // It is known from now on: only a claim commits anything.
    assert!(only(two.far.lease(vec![want_of("w", 1)], Duration::ZERO).await.unwrap()).is_empty());
    let id = only(two.near.enqueue(vec![task()]).await.unwrap()).accepted().unwrap();
    two.proxy.trap(COMMIT, Break::Question(0));
    let failed = two.far.lease(vec![want_of("w", 1)], Duration::ZERO).await.unwrap_err();
    assert!(failed.may_have_applied(), "{failed:?}");
    // The same worker turns to the other server.
    let got = only(two.near.lease(vec![want_of("w", 1)], Duration::ZERO).await.unwrap());
    assert_eq!(ids(&got), [id]);
    let none = two.far.lease(vec![want_of("x", 1)], Duration::ZERO).await.unwrap();
    assert!(only(none).is_empty());
    let key = only(got).key;
    let leases = vec![LeaseBeat::renew(key)];
    let beat = Beat { worker: worker("w"), about: None, ttl: Duration::from_mins(1), leases };
    assert_eq!(only(two.near.beat(vec![beat]).await.unwrap()).held, [Held::Yes], "I11");
    let end = Settlement { key, outcome: COMPLETE };
    let settled = only(two.near.settle(vec![end]).await.unwrap());
    assert_eq!(settled, Settled::Applied { state: State::Completed, late: false });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_end_was_not_answered_is_told_as_one_that_may_have_happened() {
    let two = two().await;
    let new = task();
    let (id, queue) = (new.id, new.queue.clone());
    two.near.enqueue(vec![new]).await.unwrap();
    // It is carried out, and the answer is lost.
    two.proxy.trap(COMMIT, Break::Answer(0));
    let patch = SettingsPatch { paused: Some(true), ..SettingsPatch::default() };
    let failed = two.far.configure(queue, patch).await.unwrap_err();
    assert_eq!(two.proxy.sprung(), 1);
    assert!(failed.may_have_applied(), "I10: it is refused, and happened: {failed}");
    let queues = two.near.queues().await.unwrap();
    assert!(only(queues).settings.paused, "it happened");
    assert!(
        only(two.near.get(vec![id], Include::default(), Duration::ZERO).await.unwrap()).is_some()
    );
}
