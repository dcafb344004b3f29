//! Calling tasks off: pending ones at once, running ones by telling their holder.

use haulier_core::{Changed, Code, Ended, Held, LeaseKey, Outcome, Settled, Start, State, TaskId};

use crate::Rig;
use crate::prelude::*;

/// I15: from every state that waits.
pub async fn a_pending_task_is_cancelled_at_once_and_never_leased(rig: &mut impl Rig) {
    let retryable = put(rig, task()).await;
    let held = take_one(rig).await;
    settle(rig, held.key, fail(Some(SECOND))).await;
    let available = put(rig, task()).await;
    let scheduled = put(rig, task_with(|task| task.start = Start::After(SECOND))).await;
    for id in [retryable, available, scheduled] {
        assert_eq!(cancel(rig, id).await, Changed::Done(State::Cancelled));
        assert!(view(rig, id).await.finished_at.is_some(), "I15: it is cancelled at once");
    }
    rig.elapse(60 * SECOND).await;
    assert!(take(rig, 9).await.is_empty(), "I15: no lease after a cancellation");
}

async fn cancelled_while_running(rig: &mut impl Rig) -> (TaskId, LeaseKey) {
    let id = put(rig, task()).await;
    let key = take_one(rig).await.key;
    assert_eq!(key.task, id);
    assert_eq!(cancel(rig, id).await, Changed::Done(State::Running));
    (id, key)
}

/// I15: told at the next beat; what was done too late does not count.
pub async fn a_running_holder_learns_of_it_at_its_next_beat(rig: &mut impl Rig) {
    let (id, key) = cancelled_while_running(rig).await;
    let running = view(rig, id).await;
    assert!(running.standing.cancel_requested);
    assert_eq!(renew(rig, &[key], TTL).await, [Held::Cancel]);
    assert_eq!(renew(rig, &[key], TTL).await, [Held::Cancel], "as often as it asks");
    assert_eq!(settle(rig, key, Outcome::Cancelled).await, applied(State::Cancelled));
    let ended = view(rig, id).await;
    assert_eq!(ended.state(), State::Cancelled);
    assert_eq!(ended.deliveries[0].ended, Some(Ended::Cancelled));
}

/// I15, I8: however the attempt ended.
pub async fn a_completion_after_a_cancellation_is_refused(rig: &mut impl Rig) {
    for outcome in every_outcome().into_iter().filter(|outcome| *outcome != Outcome::Cancelled) {
        let (id, key) = cancelled_while_running(rig).await;
        assert_eq!(settle(rig, key, outcome).await, Settled::Cancelled);
        assert_eq!(settle(rig, key, COMPLETE).await, Settled::Cancelled);
        let cancelled = view(rig, id).await;
        assert_eq!(cancelled.state(), State::Cancelled);
        assert!(cancelled.result.is_none());
    }
    rig.elapse(60 * SECOND).await;
    assert!(take(rig, 9).await.is_empty());
}

/// A holder may also stop because of something that the store knows nothing of.
pub async fn a_holder_may_cancel_by_itself(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let held = take_one(rig).await;
    assert_eq!(settle(rig, held.key, Outcome::Cancelled).await, applied(State::Cancelled));
    assert_eq!(state(rig, id).await, State::Cancelled);
}

/// I15: a holder that is gone is not waited for longer than its lease.
pub async fn a_cancelled_task_whose_lease_runs_out_is_cancelled(rig: &mut impl Rig) {
    let (id, key) = cancelled_while_running(rig).await;
    rig.elapse(TTL).await;
    assert_eq!(state(rig, id).await, State::Cancelled);
    assert!(take(rig, 9).await.is_empty());
    assert_eq!(settle(rig, key, COMPLETE).await, Settled::Stale, "I7");
}

/// I15: a holder that does not listen is not waited for for ever.
pub async fn a_holder_that_goes_on_loses_its_lease_when_the_grace_is_over(rig: &mut impl Rig) {
    let (id, key) = cancelled_while_running(rig).await;
    let grace = TTL + limits::STOP_GRACE;
    let mut passed = std::time::Duration::ZERO;
    while passed + SECOND < grace {
        rig.elapse(SECOND).await;
        passed += SECOND;
        assert_eq!(renew(rig, &[key], TTL).await, [Held::Cancel], "after {passed:?}");
    }
    rig.elapse(SECOND).await;
    assert_eq!(renew(rig, &[key], TTL).await, [Held::Stale]);
    assert_eq!(state(rig, id).await, State::Cancelled);
}

/// Asking twice is answered twice, and gives nobody more time.
pub async fn cancelling_twice_is_answered_twice(rig: &mut impl Rig) {
    let (id, key) = cancelled_while_running(rig).await;
    let grace = TTL + limits::STOP_GRACE;
    for _ in 0..grace.as_secs() - 1 {
        rig.elapse(SECOND).await;
        assert_eq!(renew(rig, &[key], TTL).await, [Held::Cancel]);
        assert_eq!(cancel(rig, id).await, Changed::Done(State::Running));
    }
    rig.elapse(SECOND).await;
    assert_eq!(state(rig, id).await, State::Cancelled);
    assert_eq!(cancel(rig, id).await, Changed::Done(State::Cancelled));
}

/// I7: what is done is done.
pub async fn a_finished_task_cannot_be_cancelled(rig: &mut impl Rig) {
    let completed = put_completed(rig, task()).await;
    let dead = put(rig, task()).await;
    let held = take_one(rig).await;
    settle(rig, held.key, fail(None)).await;
    for (id, expected) in [(completed, State::Completed), (dead, State::Dead)] {
        assert_eq!(refused_change(cancel(rig, id).await), Code::Final);
        assert_eq!(state(rig, id).await, expected);
    }
    assert_eq!(cancel(rig, new_id()).await, Changed::NotFound);
}

/// I15: across a restart.
pub async fn a_cancellation_outlives_reopening(rig: &mut impl Rig) {
    let pending = put(rig, task()).await;
    cancel(rig, pending).await;
    let (running, key) = cancelled_while_running(rig).await;
    rig.reopen().await;
    assert_eq!(state(rig, pending).await, State::Cancelled);
    assert!(view(rig, running).await.standing.cancel_requested);
    assert_eq!(renew(rig, &[key], TTL).await, [Held::Cancel]);
    assert_eq!(settle(rig, key, COMPLETE).await, Settled::Cancelled);
    assert!(take(rig, 9).await.is_empty());
}

/// I15: either the lease came first, and its holder is told, or there is no lease.
pub async fn a_cancellation_and_a_lease_that_meet_agree(rig: &mut impl Rig) {
    for _ in 0..32 {
        let id = put(rig, task()).await;
        let (queue, control) = (rig.queue(), rig.control());
        let leasing = tokio::spawn(async move {
            only(queue.lease(vec![want(1)], std::time::Duration::ZERO).await.must())
        });
        let cancelling = tokio::spawn(async move { only(control.cancel(vec![id]).await.must()) });
        let (leased, cancelled) = (answer(leasing).await, answer(cancelling).await);
        match leased.first() {
            Some(held) => {
                assert_eq!(cancelled, Changed::Done(State::Running));
                assert_eq!(renew(rig, &[held.key], TTL).await, [Held::Cancel]);
                assert_eq!(settle(rig, held.key, COMPLETE).await, Settled::Cancelled);
            }
            None => assert_eq!(cancelled, Changed::Done(State::Cancelled)),
        }
        assert_eq!(state(rig, id).await, State::Cancelled);
    }
}

/// Many in, one answer each, in the same order.
pub async fn cancellations_are_answered_in_their_order(rig: &mut impl Rig) {
    let completed = put_completed(rig, task()).await;
    let pending = put(rig, task()).await;
    let unknown = new_id();
    let asked = vec![unknown, pending, completed, pending];
    let answers = rig.control().cancel(asked).await.must();
    assert_eq!(answers[0], Changed::NotFound);
    assert_eq!(answers[1], Changed::Done(State::Cancelled));
    assert_eq!(refused_change(answers[2].clone()), Code::Final);
    assert_eq!(answers[3], Changed::Done(State::Cancelled));
}
