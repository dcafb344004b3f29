//! Ends of leases: what each outcome leads to, and that an answer stays the same.

use bytes::Bytes;
use haulier_core::{
    Cause, Code, DeadReason, Ended, LeaseKey, Outcome, Payload, Settled, Settlement, State, TaskId,
};

use crate::Rig;
use crate::prelude::*;

/// I1, I9: what the handler returned, for whoever waits for it.
pub async fn a_completed_task_keeps_its_result_byte_for_byte(rig: &mut impl Rig) {
    let bytes: Bytes = (0..=255u8).rev().collect();
    let result = Payload::new(bytes, "application/x-result");
    let id = put(rig, task()).await;
    let held = take_one(rig).await;
    rig.elapse(SECOND).await;
    let outcome = Outcome::Complete { result: Some(result.clone()) };
    assert_eq!(settle(rig, held.key, outcome).await, applied(State::Completed));
    for _ in 0..2 {
        let done = view(rig, id).await;
        assert_eq!(done.state(), State::Completed);
        assert_eq!(done.result.as_ref(), Some(&result));
        assert_eq!(done.finished_at, Some(done.enqueued_at.after(SECOND)));
        assert!(done.lease.is_none());
        rig.reopen().await;
    }
    assert!(take(rig, 1).await.is_empty());
}

/// I8: for each outcome, whatever the repetition says, also after a restart.
pub async fn a_repeated_settlement_gets_the_same_answer_whatever_it_says(rig: &mut impl Rig) {
    let mut settled: Vec<(LeaseKey, Settled)> = Vec::new();
    for outcome in every_outcome() {
        let id = put(rig, task_in("line")).await;
        let held = only(lease(rig, want_from("w", &["line"], 1)).await);
        assert_eq!(held.key.task, id);
        let answer = settle(rig, held.key, outcome).await;
        assert!(matches!(answer, Settled::Applied { late: false, .. }), "{answer:?}");
        // Out of the way of the next one.
        cancel(rig, id).await;
        settled.push((held.key, answer));
    }
    for _ in 0..2 {
        for (key, answer) in &settled {
            let before = view(rig, key.task).await;
            for outcome in every_outcome() {
                assert_eq!(settle(rig, *key, outcome).await, *answer, "I8: the same answer");
            }
            assert_eq!(view(rig, key.task).await, before, "I8: nothing changed");
        }
        rig.reopen().await;
    }
}

/// I8: an answer is that of its delivery, whatever became of the task since.
pub async fn an_old_answer_outlives_later_deliveries(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let first = take_one(rig).await.key;
    assert_eq!(settle(rig, first, fail(Some(SECOND))).await, applied(State::Retryable));
    rig.elapse(SECOND).await;
    let second = take_one(rig).await.key;
    assert_eq!(settle(rig, first, COMPLETE).await, applied(State::Retryable));
    assert_eq!(state(rig, id).await, State::Running);
    assert_eq!(settle(rig, second, COMPLETE).await, applied(State::Completed));
    rerun(rig, id).await;
    assert_eq!(settle(rig, second, COMPLETE).await, applied(State::Completed));
    assert_eq!(state(rig, id).await, State::Available, "I7: a new generation");
}

/// I8 ends where a task's memory ends: the newest deliveries are kept.
pub async fn deliveries_are_remembered_up_to_their_limit(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let mut keys = Vec::new();
    for _ in 0..=limits::DELIVERIES_MAX {
        let held = take_one(rig).await;
        settle(rig, held.key, Outcome::Release).await;
        keys.push(held.key);
    }
    let deliveries = view(rig, id).await.deliveries;
    let epochs: Vec<_> = deliveries.iter().map(|delivery| delivery.epoch).collect();
    assert_eq!(epochs, keys[1..].iter().map(|key| key.epoch).collect::<Vec<_>>());
    assert_eq!(settle(rig, keys[0], COMPLETE).await, Settled::Stale);
    assert_eq!(settle(rig, keys[1], COMPLETE).await, applied(State::Available));
}

/// A handler knows when trying again is useless.
pub async fn a_rejected_task_is_dead_at_once(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let held = take_one(rig).await;
    let outcome = Outcome::Reject { failure: failure() };
    assert_eq!(settle(rig, held.key, outcome).await, applied(State::Dead));
    let dead = view(rig, id).await;
    assert_eq!(dead.standing.reason, Some(DeadReason::Rejected));
    assert_eq!(dead.last_failure(), Some(&failure()));
    assert!(take(rig, 1).await.is_empty());
}

/// A graceful stop hands back what it did not do: at once, and at nobody's expense.
pub async fn a_released_task_is_available_at_once_and_costs_no_attempt(rig: &mut impl Rig) {
    let id = put(rig, task_with(|task| task.policy.max_attempts = 1)).await;
    for _ in 0..3 {
        let held = take_one(rig).await;
        assert_eq!((held.attempt, held.losses), (1, 0));
        assert_eq!(settle(rig, held.key, Outcome::Release).await, applied(State::Available));
        assert_eq!(view(rig, id).await.standing.attempt, 0);
    }
    assert_eq!(take(rig, 1).await.len(), 1);
}

/// Not now, and not at the task's expense.
pub async fn a_snoozed_task_comes_back_after_its_delay_and_costs_no_attempt(rig: &mut impl Rig) {
    let id = put(rig, task_with(|task| task.policy.max_attempts = 1)).await;
    let held = take_one(rig).await;
    let outcome = Outcome::Snooze { delay: 10 * SECOND };
    assert_eq!(settle(rig, held.key, outcome).await, applied(State::Scheduled));
    let snoozed = view(rig, id).await;
    assert_eq!(snoozed.due_at, snoozed.enqueued_at.after(10 * SECOND));
    rig.elapse(10 * SECOND - ms(1)).await;
    assert!(take(rig, 1).await.is_empty());
    rig.elapse(ms(1)).await;
    assert_eq!(take_one(rig).await.attempt, 1);
}

/// Zero is a delay, too: the answer names the pause, and the pause is over at once.
pub async fn a_delay_of_zero_is_over_at_once(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let held = take_one(rig).await;
    let outcome = Outcome::Snooze { delay: std::time::Duration::ZERO };
    assert_eq!(settle(rig, held.key, outcome).await, applied(State::Scheduled));
    rig.elapse(std::time::Duration::ZERO).await;
    assert_eq!(state(rig, id).await, State::Available);
    let held = take_one(rig).await;
    let outcome = fail(Some(std::time::Duration::ZERO));
    assert_eq!(settle(rig, held.key, outcome).await, applied(State::Retryable));
    rig.elapse(std::time::Duration::ZERO).await;
    assert_eq!(take_one(rig).await.attempt, 2);
}

/// L3: whoever comes back waits behind those who have not been served.
pub async fn a_task_that_comes_back_stands_at_the_end_of_its_line(rig: &mut impl Rig) {
    let put_in = put_all(rig, (0..6).map(|_| task()).collect()).await;
    let held = take(rig, 3).await;
    settle(rig, held[0].key, Outcome::Snooze { delay: 2 * SECOND }).await;
    settle(rig, held[1].key, fail(Some(SECOND))).await;
    settle(rig, held[2].key, Outcome::Release).await;
    rig.elapse(3 * SECOND).await;
    let order = [3, 4, 5, 2, 1, 0].map(|at: usize| put_in[at]);
    assert_eq!(ids(&take(rig, 6).await), order);
}

/// A broken rule costs nobody a lease.
pub async fn a_refused_outcome_leaves_the_lease_as_it_was(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let held = take_one(rig).await;
    let before = view(rig, id).await;
    let too_long = limits::DELAY_MAX + SECOND;
    for outcome in [fail(Some(too_long)), Outcome::Snooze { delay: too_long }] {
        assert_eq!(refused_end(settle(rig, held.key, outcome).await), Code::Invalid);
    }
    let nameless = Outcome::Complete { result: Some(Payload::new("1", "")) };
    assert_eq!(refused_end(settle(rig, held.key, nameless).await), Code::Invalid);
    assert_eq!(view(rig, id).await, before);
    assert_eq!(settle(rig, held.key, COMPLETE).await, applied(State::Completed));
}

/// Many in, one answer each, in the same order; each item for itself.
pub async fn settlements_are_answered_in_their_order(rig: &mut impl Rig) {
    put_all(rig, vec![task(), task(), task()]).await;
    let held = take(rig, 3).await;
    let stale = LeaseKey { task: new_id(), epoch: held[0].key.epoch };
    let end = |key, outcome| Settlement { key, outcome };
    let ends = vec![
        end(held[2].key, COMPLETE),
        end(stale, COMPLETE),
        end(held[0].key, fail(Some(limits::DELAY_MAX + SECOND))),
        end(held[1].key, Outcome::Release),
        end(held[2].key, fail(None)),
        end(held[0].key, fail(None)),
    ];
    let answers = rig.queue().settle(ends).await.must();
    assert_eq!(answers[0], applied(State::Completed));
    assert_eq!(answers[1], Settled::Stale);
    assert_eq!(refused_end(answers[2].clone()), Code::Invalid);
    assert_eq!(answers[3], applied(State::Available));
    assert_eq!(answers[4], applied(State::Completed), "I8 within a batch, too");
    assert_eq!(answers[5], applied(State::Dead));
}

/// I3: there is nothing left to settle.
pub async fn a_settlement_of_a_task_that_is_gone_is_stale(rig: &mut impl Rig) {
    let id: TaskId = put(rig, task()).await;
    let held = take_one(rig).await;
    settle(rig, held.key, COMPLETE).await;
    delete(rig, id).await;
    assert_eq!(settle(rig, held.key, COMPLETE).await, Settled::Stale);
}

/// Who had it, when, and how it ended: also after a restart.
pub async fn every_delivery_is_on_record(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let start = view(rig, id).await.enqueued_at;
    let failed = take_as(rig, "a").await;
    rig.elapse(SECOND).await;
    let panic = haulier_core::Failure::new(Cause::Panic, "index out of bounds").with_trace("at 7");
    let outcome = Outcome::Fail { failure: panic.clone(), retry_in: Some(SECOND) };
    settle(rig, failed.key, outcome).await;
    rig.elapse(SECOND).await;
    let running = take_as(rig, "b").await;
    for _ in 0..2 {
        let deliveries = view(rig, id).await.deliveries;
        assert_eq!(deliveries.len(), 2);
        let first = &deliveries[0];
        assert_eq!((first.epoch, first.attempt), (failed.key.epoch, 1));
        assert_eq!(first.worker.as_str(), "a");
        assert_eq!(first.leased_at, start);
        assert_eq!(first.ended_at, Some(start.after(SECOND)));
        assert_eq!((first.ended, first.late), (Some(Ended::Fail), false));
        assert_eq!(first.failure.as_ref(), Some(&panic));
        let second = &deliveries[1];
        assert_eq!((second.epoch, second.attempt), (running.key.epoch, 2));
        assert_eq!(second.leased_at, start.after(2 * SECOND));
        assert_eq!((second.ended, second.ended_at), (None, None));
        rig.reopen().await;
    }
}
