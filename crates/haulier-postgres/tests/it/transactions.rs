//! Tasks and an application's own rows in one transaction: both or neither, whatever is killed or
//! cut in between.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use haulier_conformance::prelude::{kind, new_id, only, queue, worker};
use haulier_core::{
    Backoff, Cause, Code, Enqueued, Failure, Include, Inspect as _, Lease, Maintain as _, NewTask,
    OnConflict, Outcome, Payload, Priority, Queue as _, Settled, Settlement, Start, State, TaskId,
    Timestamp, Unique, Want,
};
use haulier_postgres::{Options, PgStore};
use haulier_sim::nemesis::{Break, PgServer, Proxy};
use tokio_postgres::{Client, NoTls};

use crate::server;

const TTL: Duration = Duration::from_secs(30);
/// Real time after which a wait that should end is given up.
const PATIENCE: Duration = Duration::from_mins(1);

/// A store, and an application on the same database with tables of its own.
struct World {
    store: PgStore,
    schema: String,
    url: String,
}

impl World {
    async fn new() -> Self {
        let options = server::options("").await;
        Self::open(options, server::shared().await.url()).await
    }

    async fn open(options: Options, url: String) -> Self {
        let schema = options.schema.clone();
        let store = PgStore::migrate_and_open(options).await.unwrap();
        let world = Self { store, schema, url };
        let tables = "CREATE TABLE effect (task uuid); CREATE TABLE orders (task uuid)";
        world.connect().await.batch_execute(tables).await.unwrap();
        world
    }

    async fn connect(&self) -> Client {
        self.connect_by(&self.url).await
    }

    /// A connection of the application, by another way.
    async fn connect_by(&self, url: &str) -> Client {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let path = format!("SET search_path = {}, public", self.schema);
        client.batch_execute(&path).await.unwrap();
        client
    }

    async fn put(&self) -> TaskId {
        let answers = self.store.enqueue(vec![work()]).await.unwrap();
        only(answers).accepted().unwrap()
    }

    async fn lease(&self) -> Lease {
        let mut want = Want::new(worker("w1"), queue("q"), 1);
        want.ttl = TTL;
        let leases = self.store.lease(vec![want], PATIENCE).await.unwrap();
        only(only(leases))
    }

    async fn settle(&self, lease: &Lease, outcome: Outcome) -> Settled {
        let end = || vec![Settlement { key: lease.key, outcome: outcome.clone() }];
        loop {
            match self.store.settle(end()).await {
                Ok(answers) => return only(answers),
                Err(error) => assert!(error.is_retryable(), "{error:?}"),
            }
        }
    }

    async fn state(&self, task: TaskId) -> Option<State> {
        loop {
            match self.store.get(vec![task], Include::default(), Duration::ZERO).await {
                Ok(views) => return only(views).map(|view| view.standing.state),
                Err(error) => assert!(error.is_retryable(), "{error:?}"),
            }
        }
    }

    /// How many rows of a table tell of a task.
    async fn rows(&self, table: &str, task: TaskId) -> i64 {
        let ask = format!("SELECT count(*) FROM {table} WHERE task = '{task}'");
        self.connect().await.query_one(&ask, &[]).await.unwrap().get(0)
    }
}

fn work() -> NewTask {
    let mut task = NewTask::new(new_id(), kind("k"), Payload::json("{}"));
    task.queue = queue("q");
    task.policy.max_attempts = 1_000;
    task
}

fn failed() -> Outcome {
    let failure = Failure::new(Cause::Error, "the handler returned an error");
    Outcome::Fail { failure, retry_in: Some(Duration::ZERO) }
}

fn insert(table: &str, task: TaskId) -> String {
    format!("INSERT INTO {table} VALUES ('{task}')")
}

/// One task with nothing, and one with everything.
fn sorts() -> Vec<NewTask> {
    let mut full = work();
    full.payload = Payload::new(vec![0, 1, 255], "a/b");
    full.priority = Priority::new(9).unwrap();
    full.policy.max_attempts = 7;
    full.policy.timeout = Duration::from_secs(90);
    full.policy.retain = Some(Duration::from_secs(9));
    full.policy.backoff = Backoff { jitter_permille: 0, ..Backoff::default() };
    full.expires_in = Some(Duration::from_secs(5_000));
    full.headers = [("z", "1\0"), ("a", "\u{10ffff}\"\\{}")].into_iter().collect();
    full.labels = [("tenant", "acme, inc")].into_iter().collect();
    full.unique = Some(Unique::new("a key\0"));
    let mut later = work();
    later.start = Start::After(Duration::from_hours(1));
    let mut past = work();
    past.start = Start::At(Timestamp(1));
    let mut never = work();
    never.start = Start::At(Timestamp(u64::MAX / 4));
    vec![work(), full, later, past, never]
}

#[tokio::test]
async fn a_task_of_a_transaction_is_like_any_other_once_it_is_committed() {
    let world = World::new().await;
    let mut client = world.connect().await;
    let (ours, theirs) = (sorts(), sorts());
    let ours: Vec<NewTask> = ours
        .into_iter()
        .map(|mut task| {
            task.unique = task.unique.map(|_| Unique::new("another key"));
            task
        })
        .collect();
    let known = world.store.enqueue(ours.clone()).await.unwrap();
    let tx = client.transaction().await.unwrap();
    let answers = world.store.enqueue_in(&tx, theirs.clone()).await.unwrap();
    let words = |answers: &[Enqueued]| -> Vec<State> {
        let state = |answer: &Enqueued| match answer {
            Enqueued::Inserted { state, .. } => *state,
            other => panic!("{other:?}"),
        };
        answers.iter().map(state).collect()
    };
    assert_eq!(words(&answers), words(&known));
    let ids = |tasks: &[NewTask]| tasks.iter().map(|task| task.id).collect::<Vec<_>>();
    let get = async |tasks: &[NewTask]| {
        world.store.get(ids(tasks), Include::ALL, Duration::ZERO).await.unwrap()
    };
    assert!(get(&theirs).await.iter().all(Option::is_none), "not before the commit");
    tx.commit().await.unwrap();
    let (known, found) = (get(&ours).await, get(&theirs).await);
    for ((known, found), given) in known.into_iter().zip(found).zip(&theirs) {
        let (known, found) = (known.unwrap(), found.unwrap());
        assert_eq!(*found.task, given.task);
        assert_eq!(found.unique, given.unique);
        assert_eq!(known.standing, found.standing);
        let pause = |view: &haulier_core::TaskView| view.due_at.since(view.enqueued_at).as_secs();
        assert_eq!(pause(&known), pause(&found));
    }
}

#[tokio::test]
async fn a_task_that_was_committed_is_leased_after_a_sweep_or_a_wake() {
    let world = World::new().await;
    let mut client = world.connect().await;
    for wake in [true, false] {
        let tx = client.transaction().await.unwrap();
        let task = work();
        world.store.enqueue_in(&tx, vec![task.clone()]).await.unwrap();
        let poll = async || {
            let want = Want::new(worker("w1"), queue("q"), 8);
            only(world.store.lease(vec![want], Duration::ZERO).await.unwrap())
        };
        world.store.wake().await.unwrap();
        assert!(poll().await.is_empty(), "not before the commit");
        tx.commit().await.unwrap();
        if wake {
            world.store.wake().await.unwrap();
        } else {
            while world.store.sweep(100).await.unwrap().next.is_zero() {}
        }
        let lease = only(poll().await);
        assert_eq!(*lease.task, task.task);
        world.settle(&lease, Outcome::Complete { result: None }).await;
    }
}

#[tokio::test]
async fn a_worker_that_waits_gets_a_task_that_was_enqueued_in_sql() {
    let world = World::new().await;
    let client = world.connect().await;
    let waiting = async { world.lease().await };
    let enqueuing = async {
        client.batch_execute("SELECT enqueue('k', '{\"a\": 1}', queue => 'q')").await.unwrap();
        client.batch_execute("SELECT wake()").await.unwrap();
    };
    let (lease, ()) = tokio::join!(waiting, enqueuing);
    assert_eq!(&*lease.task.payload.bytes, br#"{"a": 1}"#);
}

#[tokio::test]
async fn a_refusal_leaves_the_transaction_as_it_was() {
    let world = World::new().await;
    let mut client = world.connect().await;
    let mut holder = work();
    holder.unique = Some(Unique::new("key"));
    world.store.enqueue(vec![holder.clone()]).await.unwrap();
    let other = |on_conflict| {
        let mut task = work();
        task.unique = Some(Unique { on_conflict, ..Unique::new("key") });
        task
    };
    let mut changed = holder.clone();
    changed.payload = Payload::json("[]");
    let mut large = work();
    large.payload = Payload::json(vec![b' '; 2 << 20]);
    let twice = work();
    let tasks = vec![
        changed,
        other(OnConflict::Reject),
        other(OnConflict::Return),
        other(OnConflict::Replace),
        large,
        twice.clone(),
        twice.clone(),
    ];
    let tx = client.transaction().await.unwrap();
    let answers = world.store.enqueue_in(&tx, tasks).await.unwrap();
    let code = |at: usize| match &answers[at] {
        Enqueued::Refused(refusal) => refusal.code,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        [code(0), code(1), code(3), code(4)],
        [Code::IdConflict, Code::UniqueConflict, Code::NotSupported, Code::TooLarge]
    );
    assert!(matches!(answers[2], Enqueued::Existing { id, .. } if id == holder.id));
    assert!(matches!(answers[5], Enqueued::Inserted { .. }));
    assert!(matches!(answers[6], Enqueued::Existing { id, .. } if id == twice.id));
    tx.batch_execute(&insert("orders", twice.id)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(world.rows("orders", twice.id).await, 1);
    assert_eq!(world.state(twice.id).await, Some(State::Available));
}

#[tokio::test]
async fn a_completion_in_a_transaction_is_answered_again_whatever_is_asked_afterwards() {
    let world = World::new().await;
    let mut client = world.connect().await;
    let task = world.put().await;
    let lease = world.lease().await;
    let tx = client.transaction().await.unwrap();
    let result = Payload::new("done", "text/plain");
    world.store.complete_in(&tx, lease.key, Some(result.clone())).await.unwrap();
    assert_eq!(world.state(task).await, Some(State::Running), "not before the commit");
    tx.commit().await.unwrap();
    let done = Settled::Applied { state: State::Completed, late: false };
    for outcome in [Outcome::Complete { result: None }, failed(), Outcome::Release] {
        assert_eq!(world.settle(&lease, outcome).await, done);
    }
    let tx = client.transaction().await.unwrap();
    world.store.complete_in(&tx, lease.key, None).await.unwrap();
    let again = Settlement { key: lease.key, outcome: failed() };
    assert_eq!(only(world.store.settle_in(&tx, vec![again]).await.unwrap()), done);
    tx.commit().await.unwrap();
    let view = only(world.store.get(vec![task], Include::RESULT, Duration::ZERO).await.unwrap());
    let view = view.unwrap();
    assert_eq!((view.standing.state, view.result), (State::Completed, Some(result)));
    let counts = only(world.store.queues().await.unwrap()).counts;
    assert_eq!((counts.get(State::Completed), counts.total()), (1, 1));
}

#[tokio::test]
async fn a_lease_that_is_over_takes_the_effect_with_it() {
    let world = World::new().await;
    let mut client = world.connect().await;
    let task = world.put().await;
    let first = world.lease().await;
    world.settle(&first, failed()).await;
    while world.store.sweep(100).await.unwrap().next.is_zero() {}
    let second = world.lease().await;
    let tx = client.transaction().await.unwrap();
    tx.batch_execute(&insert("effect", task)).await.unwrap();
    let error = world.store.complete_in(&tx, first.key, None).await.unwrap_err();
    assert_eq!(error.code(), Code::Final);
    assert!(error.message().contains("its lease is over"), "{error}");
    // Who commits nevertheless commits nothing.
    tx.commit().await.unwrap();
    assert_eq!(world.rows("effect", task).await, 0);
    assert_eq!(world.state(task).await, Some(State::Running));
    let done = world.settle(&second, Outcome::Complete { result: None }).await;
    assert_eq!(done, Settled::Applied { state: State::Completed, late: false });
}

#[tokio::test]
async fn a_task_that_was_cancelled_is_not_completed_in_a_transaction() {
    use haulier_core::Control as _;
    let world = World::new().await;
    let mut client = world.connect().await;
    let task = world.put().await;
    let lease = world.lease().await;
    world.store.cancel(vec![task]).await.unwrap();
    let tx = client.transaction().await.unwrap();
    let error = world.store.complete_in(&tx, lease.key, None).await.unwrap_err();
    assert!(error.message().contains("it was cancelled"), "{error}");
    tx.rollback().await.unwrap();
    let settled = world.settle(&lease, Outcome::Complete { result: None }).await;
    assert_eq!(settled, Settled::Cancelled);
    assert_eq!(world.state(task).await, Some(State::Cancelled));
}

#[tokio::test]
async fn every_outcome_can_be_settled_in_a_transaction_and_counts_when_it_commits() {
    let world = World::new().await;
    let mut client = world.connect().await;
    let failure = || Failure::new(Cause::Error, "no");
    for (outcome, after) in [
        (Outcome::Complete { result: Some(Payload::json("1")) }, State::Completed),
        (Outcome::Fail { failure: failure(), retry_in: Some(TTL) }, State::Retryable),
        (Outcome::Fail { failure: failure(), retry_in: None }, State::Dead),
        (Outcome::Reject { failure: failure() }, State::Dead),
        (Outcome::Snooze { delay: TTL }, State::Scheduled),
        (Outcome::Release, State::Available),
        (Outcome::Cancelled, State::Cancelled),
    ] {
        let task = world.put().await;
        let lease = world.lease().await;
        assert_eq!(lease.key.task, task, "{outcome:?}");
        let end = || vec![Settlement { key: lease.key, outcome: outcome.clone() }];
        let applied = Settled::Applied { state: after, late: false };
        let tx = client.transaction().await.unwrap();
        assert_eq!(only(world.store.settle_in(&tx, end()).await.unwrap()), applied);
        tx.rollback().await.unwrap();
        assert_eq!(world.state(task).await, Some(State::Running), "{outcome:?}");
        let tx = client.transaction().await.unwrap();
        assert_eq!(only(world.store.settle_in(&tx, end()).await.unwrap()), applied);
        tx.commit().await.unwrap();
        assert_eq!(world.state(task).await, Some(after), "{outcome:?}");
        if after == State::Available {
            // It comes into line like what was handed over in a transaction.
            world.store.wake().await.unwrap();
            let again = world.lease().await;
            assert_eq!((again.key.task, again.attempt), (task, 1));
            world.settle(&again, Outcome::Complete { result: None }).await;
        }
    }
}

/// What happens to an application between its last statement and the answer to its COMMIT.
#[derive(Debug, Clone, Copy)]
enum Strike {
    None,
    /// The connection breaks there.
    Cut(Break),
    /// Every process of the server is killed before, or while, the COMMIT is on its way.
    KillBefore,
    KillDuring,
}

fn strikes() -> Vec<Strike> {
    // `COMMIT` and its zero; the answer: done, and ready.
    let questions = (0..=7).map(|bytes| Strike::Cut(Break::Question(bytes)));
    let answers = (0..=18).step_by(3).map(|bytes| Strike::Cut(Break::Answer(bytes)));
    let kills = [Strike::KillBefore, Strike::KillDuring, Strike::None, Strike::KillDuring];
    questions.chain(answers).chain(kills).collect()
}

/// A server that can be killed, and a way to it that can be cut.
struct Harm {
    server: PgServer,
    proxy: Proxy,
    _dir: tempfile::TempDir,
}

impl Harm {
    async fn new() -> (Self, World) {
        let dir = tempfile::tempdir().unwrap();
        let server = PgServer::create(&dir.path().join("pg")).await.unwrap();
        let world = World::open(server::on(&server, ""), server.url()).await;
        let proxy = Proxy::to(SocketAddr::from((Ipv4Addr::LOCALHOST, server.port()))).await;
        (Self { server, proxy: proxy.unwrap(), _dir: dir }, world)
    }

    /// A connection that is about to be struck.
    async fn connect(&self, world: &World) -> Client {
        world.connect_by(&self.server.url_at(self.proxy.address.port())).await
    }

    /// Ends a transaction while something happens to it. Whether the application learns that it
    /// was committed.
    async fn commit(&mut self, tx: tokio_postgres::Transaction<'_>, strike: Strike) -> bool {
        if let Strike::Cut(at) = strike {
            self.proxy.trap(b"COMMIT", at);
        }
        if let Strike::KillBefore = strike {
            self.server.kill();
        }
        let committing = tokio::time::timeout(PATIENCE, tx.commit());
        let told = if let Strike::KillDuring = strike {
            let mut committing = std::pin::pin!(committing);
            // It is sent, and nobody knows how far it gets.
            let early = begin(committing.as_mut()).await;
            self.server.kill();
            match early {
                Poll::Ready(told) => told,
                Poll::Pending => committing.await,
            }
        } else {
            committing.await
        };
        if self.server.processes().is_empty() {
            self.server.start().await.unwrap();
        }
        matches!(told, Ok(Ok(())))
    }
}

/// Polls something once: it is on its way then.
async fn begin<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_effect_and_its_completion_commit_or_vanish_together_whatever_is_killed_or_cut() {
    let (mut harm, world) = Harm::new().await;
    let (mut kept, mut vanished) = (0, 0);
    for strike in strikes() {
        let task = world.put().await;
        let lease = world.lease().await;
        assert_eq!(lease.key.task, task);
        let mut client = harm.connect(&world).await;
        let tx = client.transaction().await.unwrap();
        tx.batch_execute(&insert("effect", task)).await.unwrap();
        world.store.complete_in(&tx, lease.key, None).await.unwrap();
        let told = harm.commit(tx, strike).await;
        // As a worker would: it settles whatever its handler returned.
        let outcome = if told { Outcome::Complete { result: None } } else { failed() };
        let answer = world.settle(&lease, outcome).await;
        let done = answer == Settled::Applied { state: State::Completed, late: false };
        assert!(done || !told, "{strike:?}: committed, and answered {answer:?}");
        assert_eq!(world.rows("effect", task).await, i64::from(done), "{strike:?}: {answer:?}");
        if done {
            kept += 1;
            assert_eq!(world.state(task).await, Some(State::Completed));
            continue;
        }
        vanished += 1;
        assert_eq!(answer, Settled::Applied { state: State::Retryable, late: false }, "{strike:?}");
        // The next attempt has the effect, once.
        while world.store.sweep(100).await.is_ok_and(|swept| swept.next.is_zero()) {}
        let lease = world.lease().await;
        let mut client = world.connect().await;
        let tx = client.transaction().await.unwrap();
        tx.batch_execute(&insert("effect", task)).await.unwrap();
        world.store.complete_in(&tx, lease.key, None).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(world.rows("effect", task).await, 1);
    }
    assert!(kept > 3 && vanished > 3, "{kept} kept, {vanished} vanished");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_and_its_task_commit_or_vanish_together_whatever_is_killed_or_cut() {
    let (mut harm, world) = Harm::new().await;
    let (mut kept, mut vanished) = (0, 0);
    for strike in strikes() {
        let task = work();
        let mut client = harm.connect(&world).await;
        let tx = client.transaction().await.unwrap();
        tx.batch_execute(&insert("orders", task.id)).await.unwrap();
        let answers = world.store.enqueue_in(&tx, vec![task.clone()]).await.unwrap();
        only(answers).accepted().unwrap();
        let told = harm.commit(tx, strike).await;
        let there = world.state(task.id).await.is_some();
        assert!(there || !told, "{strike:?}: committed, and not there");
        assert_eq!(world.rows("orders", task.id).await, i64::from(there), "{strike:?}");
        if there {
            kept += 1;
        } else {
            vanished += 1;
        }
    }
    assert!(kept > 3 && vanished > 3, "{kept} kept, {vanished} vanished");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_completes_and_does_not_commit_holds_up_no_other_task() {
    use haulier_core::{Beat, Control as _, Held, LeaseBeat};
    let world = World::new().await;
    let mut client = world.connect().await;
    let slow = world.put().await;
    let lease = world.lease().await;
    let tx = client.transaction().await.unwrap();
    world.store.complete_in(&tx, lease.key, None).await.unwrap();
    // All that others do goes on: handing over, leasing, beating, settling, sweeping.
    let others = async {
        let task = world.put().await;
        let other = world.lease().await;
        assert_eq!(other.key.task, task);
        let beat = |name: &str, lease: &Lease| Beat {
            worker: worker(name),
            about: None,
            ttl: TTL,
            leases: vec![LeaseBeat::renew(lease.key)],
        };
        // The worker of the one that waits may wait; that of the other one must not.
        let stuck = world.store.beat(vec![beat("w1", &lease)]);
        let free = world.store.beat(vec![beat("w2", &other)]);
        let mut stuck = std::pin::pin!(stuck);
        drop(begin(stuck.as_mut()).await);
        assert_eq!(only(free.await.unwrap()).held, [Held::Yes]);
        world.store.sweep(100).await.unwrap();
        let settled = world.settle(&other, Outcome::Complete { result: None }).await;
        assert_eq!(settled, Settled::Applied { state: State::Completed, late: false });
    };
    tokio::time::timeout(PATIENCE, others).await.expect("somebody is held up");
    // Whoever wants that task waits.
    let store = world.store.clone();
    let cancelling = tokio::spawn(async move { store.cancel(vec![slow]).await });
    tx.commit().await.unwrap();
    // It may be told to try again, if it was tired of waiting.
    if let Ok(answers) = cancelling.await.unwrap() {
        assert_eq!(answers.len(), 1);
    }
    assert_eq!(world.state(slow).await, Some(State::Completed));
}
