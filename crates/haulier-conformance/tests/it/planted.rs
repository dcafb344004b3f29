//! Planted bugs: stores that break one promise each. A suite that does not catch them proves
//! nothing.
//!
//! Each bug names the case that must fail because of it.

use std::time::Duration;

use async_trait::async_trait;
use haulier_conformance::model::{self, Plan};
use haulier_conformance::prelude::{Must, new_id};
use haulier_conformance::{MemoryRig, Rig, cases};
use haulier_core::probe::{Layer, PLANTS};
use haulier_core::{
    Beat, Changed, Code, Durability, Enqueued, Include, Lease, LeaseBeat, LeaseKey, NewTask,
    Outcome, QueueStats, Result, Settled, Settlement, Start, State, TaskId, Want, WorkerId,
};

use crate::buggy::{Bug, BuggyRig, Inner};

/// Runs something that must fail, and says how it failed.
fn must_fail(what: impl FnOnce() + Send + 'static) -> String {
    match std::thread::spawn(what).join() {
        Ok(()) => panic!("the planted bug was not caught"),
        Err(failure) => match failure.downcast::<String>() {
            Ok(said) => *said,
            Err(failure) => failure.downcast_ref::<&str>().copied().unwrap_or_default().to_owned(),
        },
    }
}

fn run<R: Rig>(case: impl AsyncFnOnce(&mut R)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().must();
    runtime.block_on(async {
        let mut rig = R::fresh().await;
        case(&mut rig).await;
    });
}

/// A test for each bug: the case that must catch it, and the promise that it has to name.
macro_rules! caught {
    ($($test:ident: $name:literal $promise:literal $bug:ty, $file:ident::$case:ident;)*) => {
        $(
            #[test]
            fn $test() {
                // Without the bug the case holds.
                run::<MemoryRig>(async |rig: &mut MemoryRig| cases::$file::$case(rig).await);
                let said = must_fail(|| {
                    run::<BuggyRig<$bug>>(
                        async |rig: &mut BuggyRig<$bug>| cases::$file::$case(rig).await
                    );
                });
                let promise = concat!($promise, ": ");
                assert!(said.contains(promise), "{} is not named: {said}", $promise);
            }
        )*

        /// Every bug that is caught here, and the promise that it breaks.
        const CAUGHT: &[(&str, &str)] = &[$(($name, $promise),)*];
    };
}

caught! {
    settling_without_looking_at_the_epoch_is_caught:
        "settle-ignores-epoch" "I3" SettleIgnoresEpoch,
        fence::a_superseded_key_can_neither_beat_nor_settle;
    ending_leases_without_looking_at_the_epoch_is_caught:
        "sweep-ignores-epoch" "I7" SweepIgnoresEpoch,
        fence::a_settled_task_stays_as_it_is_when_its_lease_would_have_run_out;
    checking_before_inserting_is_caught:
        "check-then-insert" "I4" CheckThenInsert, enqueue::callers_with_one_id_store_one_task;
    forgetting_ids_at_reopening_is_caught:
        "dedup-lost-at-reopen" "I4" DedupLostAtReopen, enqueue::ids_are_known_after_reopening;
    starting_too_early_is_caught:
        "run-at-lost" "I5" RunAtLost, timers::a_delayed_task_is_not_leased_before_its_time;
    forgetting_losses_at_reopening_is_caught:
        "losses-in-memory" "I6" LossesInMemory,
        retry::losses_and_attempts_are_counted_across_reopening;
    forgetting_an_answer_is_caught:
        "repeat-answer-lost" "I8" RepeatAnswerLost,
        settle::a_repeated_settlement_gets_the_same_answer_whatever_it_says;
    swapping_neighbours_is_caught:
        "neighbours-swapped" "I9" NeighboursSwapped,
        enqueue::every_delivery_carries_its_own_payload;
    dropping_what_is_too_much_is_caught:
        "overflow-drops" "I13" OverflowDrops, queues::a_full_queue_refuses_and_drops_nothing;
    a_count_that_drifts_is_caught:
        "count-drifts" "I14" CountDrifts, inspect::the_states_add_up_to_what_was_accepted;
    a_lease_that_never_ends_is_caught:
        "timer-lost" "L2" TimerLost, fence::a_lease_lasts_its_ttl_and_then_passes_on;
    a_dead_task_in_the_way_is_caught:
        "dead-blocks" "L3" DeadBlocks, retry::dead_tasks_stand_in_nobodys_way;
    a_cancellation_that_is_lost_is_caught:
        "cancel-lost" "I15" CancelLost,
        cancel::a_pending_task_is_cancelled_at_once_and_never_leased;
    giving_a_task_out_twice_is_caught:
        "leased-twice" "I2" LeasedTwice, lease::a_leased_task_is_leased_to_nobody_else;
    storing_what_was_refused_is_caught:
        "refused-but-stored" "I10" RefusedButStored,
        enqueue::a_refused_task_never_runs_and_its_id_stays_free;
}

#[test]
fn every_bug_that_the_contract_has_to_catch_is_planted_here() {
    for plant in PLANTS.iter().filter(|plant| plant.layer == Layer::Conformance) {
        let caught = CAUGHT.iter().find(|(name, _)| *name == plant.name);
        let caught = caught.map(|(_, promise)| *promise);
        assert_eq!(caught, Some(plant.breaks), "{}", plant.name);
    }
}

#[test]
fn random_histories_catch_a_bug_and_show_the_shortest_way_to_it() {
    let plan = Plan { histories: 20, length: 60, seed: 1, reopening: false };
    let said = must_fail(move || model::check::<BuggyRig<RepeatAnswerLost>>(plan));
    assert!(said.contains("HAULIER_SEED="), "{said}");
    // Three steps are needed: enqueue, lease, and a settlement that is repeated.
    let steps = said.lines().filter(|line| line.starts_with("  ") && line.contains(": ")).count();
    assert!((3..=6).contains(&steps), "{said}");
}

/// I3: whoever settles is taken for the newest holder.
struct SettleIgnoresEpoch;
#[async_trait]
impl Bug for SettleIgnoresEpoch {
    async fn settle(inner: &Inner, mut ends: Vec<Settlement>) -> Result<Vec<Settled>> {
        let ids = ends.iter().map(|end| end.key.task).collect();
        let views = inner.inspect.get(ids, Include::default(), Duration::ZERO).await?;
        for (end, view) in ends.iter_mut().zip(views) {
            end.key.epoch = view.map_or(end.key.epoch, |view| view.epoch);
        }
        inner.queue.settle(ends).await
    }
}

/// I7: whose lease would have run out is made available, whoever has it and whatever became of it.
struct SweepIgnoresEpoch;
#[async_trait]
impl Bug for SweepIgnoresEpoch {
    async fn lease(inner: &Inner, wants: Vec<Want>, wait: Duration) -> Result<Vec<Vec<Lease>>> {
        let ids: Vec<TaskId> = inner.memory().leased.keys().map(|key| key.task).collect();
        inner.control.rerun(ids).await?;
        let workers: Vec<WorkerId> = wants.iter().map(|want| want.worker.clone()).collect();
        let shares = inner.queue.lease(wants, wait).await?;
        for (share, worker) in shares.iter().zip(workers) {
            let mut memory = inner.memory();
            memory.leased.extend(share.iter().map(|lease| (lease.key, worker.clone())));
        }
        Ok(shares)
    }
}

/// I4: two steps where there must be one.
struct CheckThenInsert;
#[async_trait]
impl Bug for CheckThenInsert {
    async fn enqueue(inner: &Inner, mut tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
        let unseen: Vec<bool> =
            tasks.iter().map(|task| !inner.memory().seen.contains(&task.id)).collect();
        tokio::task::yield_now().await;
        let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
        for (task, unseen) in tasks.iter_mut().zip(&unseen) {
            inner.memory().seen.insert(task.id);
            if *unseen {
                task.id = new_id();
            }
        }
        let mut answers = inner.queue.enqueue(tasks).await?;
        for (answer, asked) in answers.iter_mut().zip(ids) {
            if let Enqueued::Inserted { id, .. } = answer {
                *id = asked;
            }
        }
        Ok(answers)
    }
}

/// I4: a restart makes strangers of old tasks.
struct DedupLostAtReopen;
#[async_trait]
impl Bug for DedupLostAtReopen {
    async fn enqueue(inner: &Inner, mut tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
        for task in &mut tasks {
            let mut memory = inner.memory();
            memory.seen.insert(task.id);
            if memory.before_reopening.contains(&task.id) {
                task.id = new_id();
            }
        }
        inner.queue.enqueue(tasks).await
    }
    fn reopened(inner: &Inner) {
        let mut memory = inner.memory();
        let seen = memory.seen.clone();
        memory.before_reopening.extend(seen);
    }
}

/// I5: now is as good as any time.
struct RunAtLost;
#[async_trait]
impl Bug for RunAtLost {
    async fn enqueue(inner: &Inner, mut tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
        for task in &mut tasks {
            task.start = Start::Now;
        }
        inner.queue.enqueue(tasks).await
    }
}

/// I6: what was lost before a restart was never lost.
struct LossesInMemory;
#[async_trait]
impl Bug for LossesInMemory {
    async fn lease(inner: &Inner, wants: Vec<Want>, wait: Duration) -> Result<Vec<Vec<Lease>>> {
        let mut shares = inner.queue.lease(wants, wait).await?;
        let mut memory = inner.memory();
        for lease in shares.iter_mut().flatten() {
            let before = memory.losses_before_reopening.get(&lease.key.task).copied();
            memory.losses.insert(lease.key.task, lease.losses);
            lease.losses = lease.losses.saturating_sub(before.unwrap_or(0));
        }
        drop(memory);
        Ok(shares)
    }
    fn reopened(inner: &Inner) {
        let mut memory = inner.memory();
        memory.losses_before_reopening = memory.losses.clone();
    }
}

/// I8: an answer is given once.
struct RepeatAnswerLost;
#[async_trait]
impl Bug for RepeatAnswerLost {
    async fn settle(inner: &Inner, ends: Vec<Settlement>) -> Result<Vec<Settled>> {
        let keys: Vec<LeaseKey> = ends.iter().map(|end| end.key).collect();
        let mut answers = inner.queue.settle(ends).await?;
        for (answer, key) in answers.iter_mut().zip(keys) {
            let applied = matches!(answer, Settled::Applied { .. });
            if applied && !inner.memory().settled.insert(key) {
                *answer = Settled::Stale;
            }
        }
        Ok(answers)
    }
}

/// I9: one looks like the other.
struct NeighboursSwapped;
#[async_trait]
impl Bug for NeighboursSwapped {
    async fn lease(inner: &Inner, wants: Vec<Want>, wait: Duration) -> Result<Vec<Vec<Lease>>> {
        let mut shares = inner.queue.lease(wants, wait).await?;
        for share in &mut shares {
            if let [first, second, ..] = share.as_mut_slice() {
                std::mem::swap(&mut first.task, &mut second.task);
            }
        }
        Ok(shares)
    }
}

/// I13: what does not fit is not missed.
struct OverflowDrops;
#[async_trait]
impl Bug for OverflowDrops {
    async fn enqueue(inner: &Inner, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
        let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
        let mut answers = inner.queue.enqueue(tasks).await?;
        for (answer, id) in answers.iter_mut().zip(ids) {
            if matches!(answer, Enqueued::Refused(refusal) if refusal.code == Code::QueueFull) {
                let (state, durability) = (State::Available, Durability::D0);
                *answer = Enqueued::Inserted { id, state, durability };
            }
        }
        Ok(answers)
    }
}

/// I14: deletions are not counted.
struct CountDrifts;
#[async_trait]
impl Bug for CountDrifts {
    async fn queues(inner: &Inner) -> Result<Vec<QueueStats>> {
        let mut all = inner.inspect.queues().await?;
        for stats in &mut all {
            stats.removed = 0;
        }
        Ok(all)
    }
}

/// L2: every lease is renewed for ever.
struct TimerLost;
#[async_trait]
impl Bug for TimerLost {
    async fn lease(inner: &Inner, wants: Vec<Want>, wait: Duration) -> Result<Vec<Vec<Lease>>> {
        let workers: Vec<WorkerId> = wants.iter().map(|want| want.worker.clone()).collect();
        let held: Vec<_> = inner.memory().leased.clone().into_iter().collect();
        for (key, worker) in held {
            let leases = vec![LeaseBeat::renew(key)];
            let beat = Beat { worker, about: None, ttl: Duration::from_mins(2), leases };
            inner.queue.beat(vec![beat]).await?;
        }
        let shares = inner.queue.lease(wants, wait).await?;
        for (share, worker) in shares.iter().zip(workers) {
            let mut memory = inner.memory();
            memory.leased.extend(share.iter().map(|lease| (lease.key, worker.clone())));
        }
        Ok(shares)
    }
}

/// L3: a dead task at the head of the line.
struct DeadBlocks;
#[async_trait]
impl Bug for DeadBlocks {
    async fn lease(inner: &Inner, wants: Vec<Want>, wait: Duration) -> Result<Vec<Vec<Lease>>> {
        let queues = inner.inspect.queues().await?;
        if queues.iter().any(|stats| stats.counts.get(State::Dead) > 0) {
            return Ok(vec![Vec::new(); wants.len()]);
        }
        inner.queue.lease(wants, wait).await
    }
}

/// I15: a cancellation is answered and forgotten.
struct CancelLost;
#[async_trait]
impl Bug for CancelLost {
    async fn cancel(_: &Inner, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
        Ok(vec![Changed::Done(State::Cancelled); ids.len()])
    }
}

/// I2: what one got, another one gets, too.
struct LeasedTwice;
#[async_trait]
impl Bug for LeasedTwice {
    async fn lease(inner: &Inner, wants: Vec<Want>, wait: Duration) -> Result<Vec<Vec<Lease>>> {
        let mut shares = inner.queue.lease(wants, wait).await?;
        for lease in shares.iter().flatten() {
            let end = Settlement { key: lease.key, outcome: Outcome::Release };
            inner.queue.settle(vec![end]).await?;
        }
        for share in &mut shares {
            share.truncate(1);
        }
        Ok(shares)
    }
}

/// I10: a refusal comes too late.
struct RefusedButStored;
#[async_trait]
impl Bug for RefusedButStored {
    async fn enqueue(inner: &Inner, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
        let answers = inner.queue.enqueue(tasks.clone()).await?;
        for (answer, mut task) in answers.iter().zip(tasks) {
            if matches!(answer, Enqueued::Refused(refusal) if refusal.code == Code::Invalid) {
                task.policy.max_attempts = 1;
                inner.queue.enqueue(vec![task]).await?;
            }
        }
        Ok(answers)
    }
}
