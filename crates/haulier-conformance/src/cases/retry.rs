//! Attempts and losses: how often a task is tried, and when it is given up.

use haulier_core::{DeadReason, Outcome, State};

use crate::Rig;
use crate::prelude::*;

/// I5: jitter only delays, and the store does not hurry.
pub async fn a_failed_task_is_tried_again_after_its_pause_and_not_before(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let held = take_one(rig).await;
    assert_eq!(settle(rig, held.key, fail(Some(7 * SECOND))).await, applied(State::Retryable));
    let failed = view(rig, id).await;
    assert_eq!(failed.due_at, failed.enqueued_at.after(7 * SECOND));
    rig.elapse(7 * SECOND - ms(1)).await;
    assert!(take(rig, 1).await.is_empty());
    rig.elapse(ms(1)).await;
    let again = take_one(rig).await;
    assert_eq!((again.key.task, again.attempt), (id, 2));
}

/// I6: whatever the holder asks for.
pub async fn attempts_never_exceed_their_maximum(rig: &mut impl Rig) {
    let id = put(rig, task_with(|task| task.policy.max_attempts = 3)).await;
    for attempt in 1..=3 {
        let held = take_one(rig).await;
        assert_eq!(held.attempt, attempt);
        let expected = if attempt < 3 { State::Retryable } else { State::Dead };
        assert_eq!(settle(rig, held.key, fail(Some(SECOND))).await, applied(expected));
        rig.elapse(SECOND).await;
    }
    let dead = view(rig, id).await;
    assert_eq!((dead.standing.reason, dead.standing.attempt), (Some(DeadReason::Exhausted), 3));
    assert!(dead.finished_at.is_some());
    assert!(take(rig, 1).await.is_empty());
}

/// The worker decides that there is no other attempt.
pub async fn a_failure_without_a_retry_is_the_last(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let held = take_one(rig).await;
    assert_eq!(settle(rig, held.key, fail(None)).await, applied(State::Dead));
    assert_eq!(view(rig, id).await.standing.reason, Some(DeadReason::Exhausted));
}

/// I6: a task that kills its workers is given up, with the workers that it took down on record.
pub async fn a_task_whose_leases_run_out_five_times_is_dead(rig: &mut impl Rig) {
    let id = put(rig, task_with(|task| task.policy.max_attempts = 1)).await;
    for losses in 0..limits::LOSSES_MAX {
        let held = take_as(rig, &format!("victim-{losses}")).await;
        assert_eq!((held.attempt, held.losses), (1, losses), "a loss is no attempt");
        rig.elapse(TTL).await;
    }
    let dead = view(rig, id).await;
    assert_eq!(dead.state(), State::Dead);
    assert_eq!(dead.standing.reason, Some(DeadReason::Lost));
    assert_eq!(dead.standing.losses, limits::LOSSES_MAX);
    let victims: Vec<&str> = dead.deliveries.iter().map(|d| d.worker.as_str()).collect();
    assert_eq!(victims, ["victim-0", "victim-1", "victim-2", "victim-3", "victim-4"]);
    assert!(take(rig, 1).await.is_empty());
}

/// I6: the losses before a restart count after it.
pub async fn losses_and_attempts_are_counted_across_reopening(rig: &mut impl Rig) {
    let id = put(rig, task_with(|task| task.policy.max_attempts = 2)).await;
    let held = take_one(rig).await;
    settle(rig, held.key, fail(Some(SECOND))).await;
    rig.reopen().await;
    rig.elapse(SECOND).await;
    for losses in 0..limits::LOSSES_MAX {
        let held = take_one(rig).await;
        assert_eq!((held.attempt, held.losses), (2, losses), "I6: counted across reopening");
        rig.elapse(TTL).await;
        rig.reopen().await;
    }
    let dead = view(rig, id).await;
    assert_eq!((dead.state(), dead.standing.reason), (State::Dead, Some(DeadReason::Lost)));
}

/// L3: whoever stands behind a poisonous task is served all the same.
pub async fn no_poisonous_task_blocks_its_queue(rig: &mut impl Rig) {
    let poison = put(rig, task()).await;
    let healthy = put_all(rig, (0..3).map(|_| task()).collect()).await;
    assert_eq!(take_one(rig).await.key.task, poison);
    let mut done = Vec::new();
    for _ in 0..10 {
        rig.elapse(TTL).await;
        for held in take(rig, 1).await {
            if held.key.task != poison {
                settle(rig, held.key, COMPLETE).await;
                done.push(held.key.task);
            }
        }
    }
    assert_eq!(done, healthy);
    assert_eq!(state(rig, poison).await, State::Dead);
}

/// L3: dead tasks are out of the way.
pub async fn dead_tasks_stand_in_nobodys_way(rig: &mut impl Rig) {
    put_all(rig, (0..5).map(|_| task()).collect()).await;
    for held in take(rig, 5).await {
        settle(rig, held.key, Outcome::Reject { failure: failure() }).await;
    }
    let id = put(rig, task()).await;
    assert_eq!(ids(&take(rig, 9).await), [id], "L3: no dead task blocks its queue");
}

/// I5: a pause goes on over a restart.
pub async fn a_pause_lasts_across_reopening(rig: &mut impl Rig) {
    put(rig, task()).await;
    let held = take_one(rig).await;
    settle(rig, held.key, fail(Some(10 * SECOND))).await;
    rig.elapse(5 * SECOND).await;
    rig.reopen().await;
    rig.elapse(5 * SECOND - ms(1)).await;
    assert!(take(rig, 1).await.is_empty());
    rig.elapse(ms(1)).await;
    assert_eq!(take_one(rig).await.attempt, 2);
}

/// I13: exhaustion goes to dead, where the task can be looked at, and nowhere else.
pub async fn an_exhausted_task_is_kept_with_its_failures(rig: &mut impl Rig) {
    let id = put(rig, task_with(|task| task.policy.max_attempts = 2)).await;
    for _ in 0..2 {
        let held = take_one(rig).await;
        settle(rig, held.key, fail(Some(SECOND))).await;
        rig.elapse(SECOND).await;
    }
    let dead = view(rig, id).await;
    let failures: Vec<_> = dead.deliveries.iter().map(|d| d.failure.clone()).collect();
    assert_eq!(failures, [Some(failure()), Some(failure())]);
    assert_eq!(stats(rig, "default").await.counts.get(State::Dead), 1);
}
