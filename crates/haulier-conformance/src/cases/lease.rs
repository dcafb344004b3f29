//! Getting tasks: which one, how many, for whom, and waiting for them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use haulier_core::{
    Outcome, Priority, SettingsPatch, Settled, Start, State, TaskId, Want, WantedQueue,
};

use crate::Rig;
use crate::prelude::*;

/// I2: one task, one lease.
pub async fn a_leased_task_is_leased_to_nobody_else(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    assert_eq!(take_as(rig, "first").await.key.task, id);
    assert!(lease(rig, want_of("second", 1)).await.is_empty(), "I2: one lease a task");
    assert!(lease(rig, want_of("first", 1)).await.is_empty(), "I2: nor to the same worker again");
    assert_eq!(state(rig, id).await, State::Running);
}

/// I2: whoever asks first gets it, all the others get nothing.
pub async fn callers_of_one_task_get_it_once(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let got = all_at_once(|number| {
        let queue = rig.queue();
        Box::pin(async move {
            let want = want_of(&format!("w{number}"), 1);
            only(queue.lease(vec![want], Duration::ZERO).await.must())
        })
    })
    .await;
    assert_eq!(ids(&got.concat()), [id]);
}

/// I9 and what a worker needs to know besides.
pub async fn a_lease_says_which_attempt_it_is_and_how_long_it_lasts(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let accepted = view(rig, id).await.enqueued_at;
    let lease = take_one(rig).await;
    assert_eq!((lease.attempt, lease.losses, lease.ttl), (1, 0, TTL));
    assert_eq!(lease.enqueued_at, accepted);
    assert!(lease.checkpoints.is_empty());
    rig.elapse(TTL).await;
    let again = take_one(rig).await;
    assert_eq!((again.attempt, again.losses), (1, 1), "a loss is no attempt");
    settle(rig, again.key, fail(Some(SECOND))).await;
    rig.elapse(SECOND).await;
    let third = take_one(rig).await;
    assert_eq!((third.attempt, third.losses), (2, 1));
}

/// First in, first out.
pub async fn equal_priorities_come_in_the_order_of_their_enqueueing(rig: &mut impl Rig) {
    let mut put_in = put_all(rig, (0..50).map(|_| task()).collect()).await;
    for number in 0..50 {
        // Ids say nothing about the order: these come later but sort before.
        let id = TaskId::from_bytes([50 - number; 16]);
        put_in.push(put(rig, task_with(|task| task.task.id = id)).await);
    }
    let mut taken = ids(&take(rig, 30).await);
    taken.extend(ids(&take(rig, 100).await));
    assert_eq!(taken, put_in);
}

/// Higher first, and within each the order of the line.
pub async fn higher_priorities_come_first(rig: &mut impl Rig) {
    let numbers = [4, 0, 9, 4, 9, 1, 8];
    let tasks =
        numbers.map(|number| task_with(|task| task.priority = Priority::new(number).must()));
    let put_in = put_all(rig, tasks.into()).await;
    let order = [2, 4, 6, 0, 3, 5, 1].map(|at| put_in[at]);
    assert_eq!(ids(&take(rig, 7).await), order);
}

/// In all, and from each queue.
pub async fn a_want_gets_no_more_than_it_asks_for(rig: &mut impl Rig) {
    put_all(rig, (0..5).flat_map(|_| [task_in("a"), task_in("b")]).collect()).await;
    assert_eq!(lease(rig, want_from("w", &["a", "b"], 3)).await.len(), 3);
    let limited = |a, b| {
        let wanted = |name, max| WantedQueue { queue: queue(name), max };
        Want { queues: Arc::new([wanted("a", a), wanted("b", b)]), ..want(10) }
    };
    let got = lease(rig, limited(0, 1)).await;
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].task.queue.as_str(), "b");
    assert!(lease(rig, Want { max: 0, ..limited(9, 9) }).await.is_empty());
    assert_eq!(lease(rig, limited(9, 9)).await.len(), 6, "the rest is still there");
}

/// A worker never gets what it does not know.
pub async fn a_want_takes_only_its_kinds(rig: &mut impl Rig) {
    let kinds = ["a", "b", "c", "a"];
    let put_in = put_all(rig, kinds.map(|name| task_with(|task| task.kind = kind(name))).into());
    let put_in = put_in.await;
    let of =
        |names: &[&str]| Want { kinds: names.iter().map(|name| kind(name)).collect(), ..want(9) };
    assert!(lease(rig, of(&["z"])).await.is_empty());
    assert_eq!(ids(&lease(rig, of(&["c", "a"])).await), [put_in[0], put_in[2], put_in[3]]);
    assert_eq!(ids(&take(rig, 9).await), [put_in[1]], "no kinds named: every kind");
}

/// A queue is served to those who ask for it.
pub async fn a_want_takes_only_its_queues(rig: &mut impl Rig) {
    let put_in = put_all(rig, vec![task_in("a"), task_in("b"), task_in("c")]).await;
    assert_eq!(ids(&lease(rig, want_from("w", &["c"], 9)).await), [put_in[2]]);
    assert_eq!(ids(&lease(rig, want_from("w", &["b", "a"], 9)).await).len(), 2);
    assert!(lease(rig, want_from("w", &["nobody.knows"], 9)).await.is_empty());
}

/// L3: a full queue does not starve another one, even if tasks are taken one by one.
pub async fn equal_priorities_are_taken_from_queues_in_turn(rig: &mut impl Rig) {
    put_all(rig, (0..6).flat_map(|_| [task_in("a"), task_in("b")]).collect()).await;
    let name = |lease: &haulier_core::Lease| lease.task.queue.as_str().to_owned();
    let batch = lease(rig, want_from("w", &["a", "b"], 6)).await;
    assert_eq!(batch.iter().map(name).collect::<Vec<_>>(), ["a", "b", "a", "b", "a", "b"]);
    for expected in ["a", "b", "a", "b"] {
        let one = only(lease(rig, want_from("w", &["a", "b"], 1)).await);
        assert_eq!(name(&one), expected);
    }
}

/// A worker's queues are one line in this respect.
pub async fn the_highest_priority_over_all_queues_comes_first(rig: &mut impl Rig) {
    let urgent = task_with(|task| {
        task.queue = queue("b");
        task.priority = Priority::new(7).must();
    });
    let put_in = put_all(rig, vec![task_in("a"), task_in("b"), urgent]).await;
    let got = ids(&lease(rig, want_from("w", &["a", "b"], 3)).await);
    assert_eq!(got, [put_in[2], put_in[0], put_in[1]]);
}

/// A queue is a name, and costs nothing: hundreds are served like one.
pub async fn many_queues_are_served_by_one_want(rig: &mut impl Rig) {
    let names: Vec<String> =
        (0..limits::WANT_NAMES_MAX).map(|number| format!("tenant-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for _ in 0..2 {
        put_all(rig, names.iter().map(|name| task_in(name)).collect()).await;
    }
    let most = u32::try_from(names.len()).must();
    for _ in 0..2 {
        let round = lease(rig, want_from("w", &names, most)).await;
        let served: BTreeSet<&str> = round.iter().map(|lease| lease.task.queue.as_str()).collect();
        assert_eq!(served.len(), names.len(), "each queue in turn");
    }
    assert!(lease(rig, want_from("w", &names, 1)).await.is_empty());
}

/// Many in, one answer each, in the same order.
pub async fn shares_stand_in_the_order_of_the_wants(rig: &mut impl Rig) {
    let put_in = put_all(rig, vec![task_in("a"), task_in("b")]).await;
    let wants =
        vec![want_from("x", &["b"], 1), want_from("y", &["nothing"], 1), want_from("z", &["a"], 1)];
    let shares = rig.queue().lease(wants, Duration::ZERO).await.must();
    let got: Vec<Vec<TaskId>> = shares.iter().map(|share| ids(share)).collect();
    assert_eq!(got, [vec![put_in[1]], vec![], vec![put_in[0]]]);
}

/// I2: by retry, loss, release, rerun and reopening alike.
pub async fn every_delivery_has_a_larger_epoch(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    assert_eq!(view(rig, id).await.epoch.0, 0, "never delivered");
    let mut epochs = Vec::new();
    for step in 0..6 {
        let lease = take_one(rig).await;
        epochs.push(lease.key.epoch);
        assert_eq!(view(rig, id).await.epoch, lease.key.epoch);
        match step {
            0 => assert_ne!(settle(rig, lease.key, fail(Some(SECOND))).await, Settled::Stale),
            1 => assert_ne!(settle(rig, lease.key, Outcome::Release).await, Settled::Stale),
            2 => rig.elapse(TTL).await,
            3 => {
                settle(rig, lease.key, COMPLETE).await;
                rerun(rig, id).await;
            }
            4 => {
                rig.reopen().await;
                settle(rig, lease.key, Outcome::Release).await;
            }
            _ => {}
        }
        rig.elapse(SECOND).await;
    }
    assert!(epochs.windows(2).all(|pair| pair[0] < pair[1]), "{epochs:?}");
}

/// L1: nobody has to ask again.
pub async fn a_waiting_worker_gets_a_task_as_soon_as_it_is_there(rig: &mut impl Rig) {
    let waiting = wait_for(rig, want(1), limits::WAIT_MAX);
    until_known(rig, "w").await;
    let id = put(rig, task()).await;
    assert_eq!(ids(&answer(waiting).await), [id]);
}

/// L1, I5: a delayed task when its time comes.
pub async fn a_waiting_worker_gets_a_delayed_task_when_it_is_due(rig: &mut impl Rig) {
    let id = put(rig, task_with(|task| task.start = Start::After(5 * SECOND))).await;
    let waiting = wait_for(rig, want(1), limits::WAIT_MAX);
    until_known(rig, "w").await;
    rig.elapse(4 * SECOND).await;
    assert!(!waiting.is_finished());
    rig.elapse(SECOND).await;
    assert_eq!(ids(&answer(waiting).await), [id]);
}

/// L1, L2: a task whose holder is gone when its lease runs out.
pub async fn a_waiting_worker_gets_a_task_whose_lease_ran_out(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    lease(rig, Want { ttl: 5 * SECOND, ..want_of("lost", 1) }).await;
    let waiting = wait_for(rig, want(1), limits::WAIT_MAX);
    until_known(rig, "w").await;
    rig.elapse(5 * SECOND).await;
    assert_eq!(ids(&answer(waiting).await), [id]);
}

/// L1: what a settlement, an operator or a setting makes ready.
pub async fn a_waiting_worker_gets_what_others_make_ready(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let held = take_as(rig, "other").await;
    let waiting = wait_for(rig, want_of("a", 1), limits::WAIT_MAX);
    until_known(rig, "a").await;
    settle(rig, held.key, Outcome::Release).await;
    let got = only(answer(waiting).await);
    settle(rig, got.key, COMPLETE).await;

    let waiting = wait_for(rig, want_of("b", 1), limits::WAIT_MAX);
    until_known(rig, "b").await;
    rerun(rig, id).await;
    assert_eq!(ids(&answer(waiting).await), [id]);

    configure(rig, SettingsPatch { paused: Some(true), ..SettingsPatch::default() }).await;
    let id = put(rig, task()).await;
    let waiting = wait_for(rig, want_of("c", 1), limits::WAIT_MAX);
    until_known(rig, "c").await;
    configure(rig, SettingsPatch { paused: Some(false), ..SettingsPatch::default() }).await;
    assert_eq!(ids(&answer(waiting).await), [id]);
}

/// A wait ends, and a longer one than the limit ends at the limit.
pub async fn a_wait_without_tasks_ends_with_empty_hands(rig: &mut impl Rig) {
    // A worker each: one that is known already says nothing about whether it waits.
    for (name, wait) in [("short", 3 * SECOND), ("long", Duration::from_hours(24))] {
        let waiting = wait_for(rig, want_of(name, 1), wait);
        until_known(rig, name).await;
        assert!(elapse_until_answered(rig, waiting).await.is_empty());
    }
}

/// L1: a worker that stops waiting takes nothing with it for longer than a lease lasts.
pub async fn a_wait_that_is_given_up_loses_no_task(rig: &mut impl Rig) {
    let waiting = wait_for(rig, want_of("gone", 1), limits::WAIT_MAX);
    until_known(rig, "gone").await;
    let id = put(rig, task()).await;
    waiting.abort();
    let gone = waiting.await;
    rig.elapse(TTL + SECOND).await;
    let got = take(rig, 1).await;
    // The answer may have been quicker than the end of the wait; then the task came back by its
    // ttl.
    assert_eq!(ids(&got), [id], "{gone:?}");
}
