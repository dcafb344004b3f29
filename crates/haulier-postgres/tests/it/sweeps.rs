//! What time alone does, when several servers see to it, when the calendar jumps, and when nobody
//! was there.

use std::sync::Arc;
use std::time::Duration;

use haulier_conformance::prelude::*;
use haulier_core::{
    Beat, Clock, Control, Held, Include, Inspect, Lease, LeaseBeat, Maintain, ManualClock, NewTask,
    Queue, QueueName, SettingsPatch, Settlement, Start, State, Swept, TaskView, Want,
};
use haulier_postgres::{Options, PgStore, migrate};
use haulier_sim::nemesis::PgServer;
use tokio_postgres::{Client, NoTls};

use crate::rig::Hand;
use crate::server;

/// Two servers on one database, and the only clock that there is.
struct Two {
    clock: ManualClock,
    hand: Arc<Hand>,
    options: Options,
    one: PgStore,
    other: PgStore,
}

impl Two {
    async fn fresh() -> Self {
        let clock = ManualClock::new();
        let mut options = server::options("&pool=4&notify=off").await;
        options.clock = Arc::new(clock.clone());
        migrate::up(&options).await.must();
        let hand = Hand::take(&options, &clock).await;
        let one = PgStore::open(options.clone()).await.must();
        let other = PgStore::open(options.clone()).await.must();
        Self { clock, hand, options, one, other }
    }

    /// Lets time pass; these two do not sweep, but somebody does.
    async fn pass(&self, by: Duration) {
        self.hand.pass(by).await;
        self.clock.advance(by);
    }

    /// Lets time pass, and nobody sweeps.
    async fn stand(&self, by: Duration) {
        self.hand.set(by).await;
        self.clock.advance(by);
    }

    /// Makes the calendar jump by so many seconds.
    async fn jump(&self, seconds: i64) {
        let wall = self.clock.wall().0.saturating_add_signed(seconds * 1_000);
        self.clock.set_wall(haulier_core::Timestamp(wall));
        self.hand.set(Duration::ZERO).await;
    }

    async fn elapse(&self, by: Duration) {
        self.pass(by).await;
        sweep_all(&self.one).await;
        sweep_all(&self.other).await;
    }
}

/// Sweeps until nothing is left; what it did in all.
async fn sweep_all(store: &PgStore) -> Swept {
    let mut all = Swept::default();
    loop {
        let swept = store.sweep(100).await.must();
        all.promoted += swept.promoted;
        all.lost += swept.lost;
        all.expired += swept.expired;
        all.pruned += swept.pruned;
        if !swept.next.is_zero() {
            return all;
        }
    }
}

async fn put(store: &PgStore, tasks: Vec<NewTask>) -> Vec<haulier_core::TaskId> {
    let answers = store.enqueue(tasks).await.must();
    answers.into_iter().map(|answer| answer.accepted().must()).collect()
}

async fn take(store: &PgStore, max: u32) -> Vec<Lease> {
    only(store.lease(vec![want(max)], Duration::ZERO).await.must())
}

async fn see(store: &PgStore, id: haulier_core::TaskId) -> TaskView {
    only(store.get(vec![id], Include::default(), Duration::ZERO).await.must()).must()
}

async fn beat(store: &PgStore, lease: &Lease) -> Held {
    let leases = vec![LeaseBeat::renew(lease.key)];
    let beat = Beat { worker: worker("w"), about: None, ttl: TTL, leases };
    only(only(store.beat(vec![beat]).await.must()).held)
}

async fn complete(store: &PgStore, leases: &[Lease]) {
    let end = |lease: &Lease| Settlement { key: lease.key, outcome: COMPLETE };
    let answers = store.settle(leases.iter().map(end).collect()).await.must();
    assert!(answers.iter().all(|answer| *answer == applied(State::Completed)));
}

/// A connection of somebody else.
async fn stranger(options: &Options) -> Client {
    let url = server::shared().await.url();
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.must();
    tokio::spawn(connection);
    client.batch_execute(&format!("SET search_path = {}", options.schema)).await.must();
    client
}

fn later(span: Duration) -> NewTask {
    task_with(|task| task.start = Start::After(span))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_that_sweep_at_once_bring_nothing_about_twice() {
    let two = Two::fresh().await;
    put(&two.one, (0..150).map(|_| task()).collect()).await;
    let held = take(&two.one, 150).await;
    let expiring = || task_with(|task| task.expires_in = Some(SECOND));
    put(&two.one, (0..150).map(|_| expiring()).collect()).await;
    put(&two.one, (0..250).map(|_| later(SECOND)).collect()).await;
    complete(&two.other, &held[..50]).await;
    let retain_completed = Some(Duration::ZERO);
    let patch = SettingsPatch { retain_completed, ..SettingsPatch::default() };
    two.one.configure(QueueName::default(), patch).await.must();
    two.pass(2 * TTL).await;
    let (mut left, mut right) = (Swept::default(), Swept::default());
    eventually("both have nothing left", async || {
        let (one, other) = tokio::join!(sweep_all(&two.one), sweep_all(&two.other));
        for (all, swept) in [(&mut left, one), (&mut right, other)] {
            all.promoted += swept.promoted;
            all.lost += swept.lost;
            all.expired += swept.expired;
            all.pruned += swept.pruned;
        }
        left.promoted + right.promoted >= 250
            && left.lost + right.lost >= 100
            && left.expired + right.expired >= 150
            && left.pruned + right.pruned >= 50
    })
    .await;
    let sums = [
        left.promoted + right.promoted,
        left.lost + right.lost,
        left.expired + right.expired,
        left.pruned + right.pruned,
    ];
    assert_eq!(sums, [250, 100, 150, 50]);
    let stats = only(two.other.queues().await.must());
    assert_eq!(stats.counts.get(State::Available), 350);
    assert_eq!(stats.counts.get(State::Dead), 150);
    assert_eq!((stats.counts.total(), stats.accepted, stats.removed), (500, 550, 50), "I14");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_holds_keeps_no_other_task_waiting() {
    let two = Two::fresh().await;
    let put_in = put(&two.one, (0..3).map(|_| later(SECOND)).collect()).await;
    let mut stranger = stranger(&two.options).await;
    let holding = stranger.transaction().await.must();
    let statement = format!("SELECT FROM task WHERE id = '{}' FOR UPDATE", put_in[0]);
    holding.execute(&statement, &[]).await.must();
    two.elapse(SECOND).await;
    assert_eq!(ids(&take(&two.one, 9).await), put_in[1..]);
    assert_eq!(see(&two.one, put_in[0]).await.state(), State::Scheduled);
    holding.rollback().await.must();
    two.elapse(SECOND).await;
    assert_eq!(ids(&take(&two.one, 9).await), put_in[..1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lease_follows_a_calendar_that_jumps_whichever_server_sees_it_first() {
    for (jump, first) in [(3_600, true), (-3_600, true), (3_600, false), (-3_600, false)] {
        let two = Two::fresh().await;
        let id = only(put(&two.one, vec![task()]).await);
        let held = only(take(&two.one, 1).await);
        let scheduled = only(put(&two.one, vec![later(Duration::from_mins(30))]).await);
        two.elapse(10 * SECOND).await;
        two.jump(jump).await;
        let (one, other) = (&two.one, &two.other);
        for store in if first { [one, other] } else { [other, one] } {
            sweep_all(store).await;
            assert_eq!(see(store, id).await.state(), State::Running, "I11: {jump} s");
        }
        let lease = see(one, id).await.lease.must();
        assert_eq!(lease.expires_in, TTL.saturating_sub(10 * SECOND), "I11: a jump of {jump} s");
        let due = see(one, scheduled).await.state() == State::Available;
        assert_eq!(due, jump > 0, "the calendar is followed forward, and never back");
        two.elapse(15 * SECOND).await;
        assert_eq!(beat(other, &held).await, Held::Yes);
        two.elapse(TTL.saturating_sub(ms(1))).await;
        assert_eq!(see(other, id).await.state(), State::Running, "I11: after a jump of {jump} s");
        two.elapse(ms(1)).await;
        assert_eq!(see(other, id).await.state(), State::Available, "L2: after a jump of {jump} s");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jump_does_no_harm_before_a_sweep_has_seen_it() {
    let two = Two::fresh().await;
    let timeout = Duration::from_mins(1);
    put(&two.one, vec![task_with(|task| task.policy.timeout = timeout)]).await;
    let held = only(take(&two.one, 1).await);
    two.jump(3_600).await;
    assert_eq!(beat(&two.one, &held).await, Held::Yes, "its timeout has not passed");
    sweep_all(&two.other).await;
    let left = see(&two.one, held.key.task).await.lease.must().expires_in;
    assert!((TTL..=TTL + 2 * SECOND).contains(&left), "I11: {left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_without_any_server_takes_no_lease_away() {
    let two = Two::fresh().await;
    let id = only(put(&two.one, vec![task()]).await);
    let held = only(take(&two.one, 1).await);
    two.elapse(TTL.saturating_sub(SECOND)).await;
    two.one.close().await.must();
    two.other.close().await.must();
    two.stand(Duration::from_mins(2)).await;
    let store = PgStore::open(two.options.clone()).await.must();
    sweep_all(&store).await;
    let view = see(&store, id).await;
    assert_eq!((view.state(), view.standing.losses), (State::Running, 0), "I6, I11");
    assert_eq!(view.lease.must().expires_in, TTL);
    assert_eq!(beat(&store, &held).await, Held::Yes);
    two.pass(TTL).await;
    assert_eq!(sweep_all(&store).await.lost, 1, "L2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_were_frozen_take_no_lease_away_however_they_wake() {
    for (frozen, left) in [(4 * SECOND, TTL.saturating_sub(3 * SECOND)), (10 * TTL, TTL)] {
        let two = Two::fresh().await;
        let early = only(put(&two.one, vec![task()]).await);
        take(&two.one, 1).await;
        two.elapse(SECOND).await;
        two.stand(frozen).await;
        // It leases before it sweeps.
        let late = only(put(&two.one, vec![task()]).await);
        take(&two.one, 1).await;
        for store in [&two.one, &two.other, &two.one] {
            assert_eq!(sweep_all(store).await.lost, 0, "I11: frozen for {frozen:?}");
            for (id, left) in [(early, left), (late, TTL)] {
                let expires_in = see(store, id).await.lease.must().expires_in;
                assert!(expires_in >= left, "I11: {expires_in:?} of {left:?} after {frozen:?}");
            }
        }
        two.elapse(TTL.saturating_sub(ms(1))).await;
        assert_eq!(see(&two.other, late).await.state(), State::Running, "I11");
        two.elapse(ms(1)).await;
        for id in [early, late] {
            assert_eq!(see(&two.other, id).await.state(), State::Available, "L2");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_to_others_gives_no_lease_more_time() {
    let two = Two::fresh().await;
    let id = only(put(&two.one, vec![task()]).await);
    take(&two.one, 1).await;
    two.elapse(TTL.saturating_sub(SECOND)).await;
    let third = PgStore::open(two.options.clone()).await.must();
    assert_eq!(see(&third, id).await.lease.must().expires_in, SECOND);
    two.pass(SECOND).await;
    assert_eq!(sweep_all(&third).await.lost, 1, "L2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_away_costs_nobody_a_lease() {
    let place = tempfile::tempdir().must();
    let mut server = PgServer::create(place.path()).await.must();
    let mut options = server::on(&server, "&pool=2&notify=off&connect_timeout=1");
    let clock = ManualClock::new();
    options.clock = Arc::new(clock.clone());
    let store = PgStore::migrate_and_open(options).await.must();
    let id = only(put(&store, vec![task()]).await);
    take(&store, 1).await;
    sweep_all(&store).await;
    server.stop().must();
    assert!(store.sweep(100).await.is_err(), "the database is away");
    // The server's own clock, by which all of this took an hour.
    clock.advance(Duration::from_hours(1));
    server.start().await.must();
    eventually("the database is back", async || store.sweep(100).await.is_ok()).await;
    let view = see(&store, id).await;
    assert_eq!((view.state(), view.standing.losses), (State::Running, 0), "I6, I11");
    assert!(view.lease.must().expires_in > TTL.saturating_sub(SECOND));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_keeps_up_and_leaves_nothing_behind() {
    const BATCHES: usize = 12;
    let two = Two::fresh().await;
    let retain_completed_count = Some(1_500);
    let patch = SettingsPatch { retain_completed_count, ..SettingsPatch::default() };
    two.one.configure(QueueName::default(), patch).await.must();
    let mut all = Vec::new();
    for _ in 0..BATCHES {
        let tasks: Vec<NewTask> = (0..limits::ITEMS_MAX).map(|_| task()).collect();
        put(&two.one, tasks).await;
        let held = only(two.other.lease(vec![want(1_000)], Duration::ZERO).await.must());
        complete(&two.one, &held).await;
        all.extend(ids(&held));
        two.pass(SECOND).await;
        while two.other.sweep(2_000).await.must().next.is_zero() {}
        let stats = only(two.one.queues().await.must());
        let kept = all.len().min(1_500) as u64;
        assert_eq!(stats.counts.get(State::Completed), kept);
        assert_eq!((stats.accepted, stats.removed), (all.len() as u64, all.len() as u64 - kept));
    }
    let (gone, kept) = all.split_at(all.len() - 1_500);
    for (some, known) in [(gone, false), (kept, true)] {
        for some in some.chunks(1_000) {
            let views = two.one.get(some.to_vec(), Include::default(), Duration::ZERO).await.must();
            assert!(views.iter().all(|view| view.is_some() == known), "known: {known}");
        }
    }
    two.elapse(limits::DEDUP_WINDOW).await;
    let stranger = stranger(&two.options).await;
    let count = async |what: &str| -> i64 {
        stranger.query_one(&format!("SELECT count(*) FROM {what}"), &[]).await.must().get(0)
    };
    assert_eq!(count("task").await, 1_500);
    assert_eq!(count("completion WHERE gone_at IS NOT NULL").await, 0);
    two.elapse(limits::RETAIN_COMPLETED + limits::DEDUP_WINDOW).await;
    two.elapse(limits::DEDUP_WINDOW).await;
    for table in ["task", "completion", "delivery", "lease", "holder"] {
        assert_eq!(count(table).await, 0, "{table}");
    }
    assert_eq!(count("tally").await, 1, "counts are added up");
}

/// The order of completions is the order of numbers that are drawn before they are committed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn completions_that_come_in_below_the_mark_are_counted_as_removed() {
    let two = Two::fresh().await;
    let patch = SettingsPatch { retain_completed_count: Some(1), ..SettingsPatch::default() };
    two.one.configure(QueueName::default(), patch).await.must();
    put(&two.one, (0..4).map(|_| task()).collect()).await;
    let held = take(&two.one, 4).await;
    for some in held.chunks(2) {
        complete(&two.one, some).await;
    }
    // The first call's batch is hidden, as if it were not committed yet.
    let stranger = stranger(&two.options).await;
    let run = async |text: &str| stranger.batch_execute(text).await.must();
    run("CREATE TABLE hidden AS SELECT * FROM completion ORDER BY first LIMIT 1;
         DELETE FROM completion WHERE first IN (SELECT first FROM hidden);
         INSERT INTO tally (queue, completed) SELECT queue, -2 FROM hidden")
    .await;
    two.elapse(SECOND).await;
    run("INSERT INTO completion SELECT * FROM hidden;
         INSERT INTO tally (queue, completed) SELECT queue, 2 FROM hidden")
    .await;
    two.elapse(SECOND).await;
    let stats = only(two.one.queues().await.must());
    assert_eq!((stats.counts.get(State::Completed), stats.removed), (1, 3), "I14");
    let all = two.one.get(ids(&held), Include::default(), Duration::ZERO).await.must();
    let known: Vec<bool> = all.iter().map(Option::is_some).collect();
    assert_eq!(known, [false, false, false, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_of_another_time_is_forgotten_but_not_while_it_holds_something() {
    let two = Two::fresh().await;
    put(&two.one, vec![task()]).await;
    let long = Want { ttl: limits::LEASE_TTL_MAX, ..want_of("holder", 1) };
    two.one.lease(vec![long, want_of("idle", 1)], Duration::ZERO).await.must();
    two.elapse(limits::WORKER_FORGOTTEN_AFTER).await;
    let workers = two.other.workers().await.must();
    let names: Vec<&str> = workers.iter().map(|view| view.worker.as_str()).collect();
    assert_eq!(names, ["holder"]);
}
