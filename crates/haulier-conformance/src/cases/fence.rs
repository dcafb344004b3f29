//! The fence: what an old key may no longer do, and when a lease passes on.

use std::time::Duration;

use haulier_core::{
    Changed, Ended, Epoch, Held, LeaseKey, Outcome, Settled, Settlement, State, Want,
};

use crate::Rig;
use crate::prelude::*;

/// I3: a worker that was paused past its lease must not touch its successor's delivery.
pub async fn a_superseded_key_can_neither_beat_nor_settle(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let old = take_as(rig, "paused").await;
    rig.elapse(TTL).await;
    let new = take_as(rig, "successor").await;
    let before = view(rig, id).await;
    assert_eq!(renew_as(rig, "paused", &[old.key], TTL).await, [Held::Stale]);
    for outcome in every_outcome() {
        assert_eq!(settle(rig, old.key, outcome).await, Settled::Stale, "I3: a superseded key");
    }
    assert_eq!(view(rig, id).await, before, "I3: nothing changed");
    assert_eq!(settle(rig, new.key, COMPLETE).await, applied(State::Completed));
}

/// The end of a lease that was settled is nobody's any more, nor is that of one before the newest.
pub async fn a_settled_task_stays_as_it_is_when_its_lease_would_have_run_out(rig: &mut impl Rig) {
    let released = put(rig, task()).await;
    let old = take_as(rig, "first").await;
    settle(rig, old.key, Outcome::Release).await;
    rig.elapse(SECOND).await;
    let new = take_as(rig, "second").await;
    let done = put_completed(rig, task_in("line")).await;
    rig.elapse(TTL - SECOND).await;
    assert_eq!(state(rig, released).await, State::Running, "I11: the newest lease lasts");
    assert_eq!(settle(rig, new.key, COMPLETE).await, applied(State::Completed));
    rig.elapse(2 * TTL).await;
    for id in [released, done] {
        let want = want_from("w", &["default", "line"], 1);
        assert!(lease(rig, want).await.is_empty(), "I7: what is final is not leased");
        assert_eq!(state(rig, id).await, State::Completed, "I7: a final state is final");
    }
}

/// I11, L2: not a millisecond earlier, and then at once.
pub async fn a_lease_lasts_its_ttl_and_then_passes_on(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let held = take_as(rig, "first").await;
    rig.elapse(TTL - ms(1)).await;
    assert!(take(rig, 1).await.is_empty());
    assert_eq!(state(rig, id).await, State::Running);
    rig.elapse(ms(1)).await;
    let lost = view(rig, id).await;
    let stands = (lost.state(), lost.standing.losses);
    assert_eq!(stands, (State::Available, 1), "L2: what ran out is offered again");
    assert_eq!((lost.standing.attempt, lost.epoch), (0, held.key.epoch));
    assert_eq!(lost.deliveries[0].ended, Some(Ended::Lost));
    assert_eq!(take_one(rig).await.key.task, id);
}

/// I11: every accepted beat promises a whole ttl again.
pub async fn a_beat_moves_the_end_of_a_lease(rig: &mut impl Rig) {
    put(rig, task()).await;
    let held = take_as(rig, "first").await;
    for _ in 0..3 {
        rig.elapse(TTL - ms(1)).await;
        assert_eq!(renew_as(rig, "first", &[held.key], TTL).await, [Held::Yes]);
    }
    rig.elapse(TTL - ms(1)).await;
    assert!(take(rig, 1).await.is_empty());
    rig.elapse(ms(1)).await;
    assert_eq!(take(rig, 1).await.len(), 1);
}

/// Nobody holds a newer lease: the work was done, and it counts.
pub async fn a_late_settlement_is_accepted_and_marked(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let held = take_one(rig).await;
    rig.elapse(TTL + SECOND).await;
    assert_eq!(state(rig, id).await, State::Available);
    assert_eq!(settle(rig, held.key, COMPLETE).await, applied_late(State::Completed));
    let done = view(rig, id).await;
    assert_eq!((done.standing.attempt, done.standing.losses), (1, 0), "the loss is taken back");
    assert_eq!((done.deliveries[0].ended, done.deliveries[0].late), (Some(Ended::Complete), true));
    assert_eq!(settle(rig, held.key, COMPLETE).await, applied_late(State::Completed), "I8");
    assert!(take(rig, 1).await.is_empty());
}

/// A late failure is an attempt like any other.
pub async fn a_late_failure_is_tried_again_after_its_pause(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let held = take_one(rig).await;
    rig.elapse(TTL).await;
    let answer = settle(rig, held.key, fail(Some(5 * SECOND))).await;
    assert_eq!(answer, applied_late(State::Retryable));
    assert!(take(rig, 1).await.is_empty());
    rig.elapse(5 * SECOND).await;
    let again = take_one(rig).await;
    assert_eq!((again.key.task, again.attempt, again.losses), (id, 2, 0));
}

/// A lease that ran out cannot be brought back to life: somebody may be getting the task just now.
pub async fn a_beat_on_a_lease_that_ran_out_is_stale(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let held = take_one(rig).await;
    rig.elapse(TTL).await;
    assert_eq!(renew(rig, &[held.key], TTL).await, [Held::Stale]);
    assert_eq!(state(rig, id).await, State::Available);
}

/// I3, I7: a task that went on without its holder.
pub async fn a_late_settlement_of_a_task_that_went_on_is_stale(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let key = take_one(rig).await.key;
    rig.elapse(TTL).await;
    assert_eq!(cancel(rig, id).await, Changed::Done(State::Cancelled));
    assert_eq!(settle(rig, key, COMPLETE).await, Settled::Stale);
    assert_eq!(state(rig, id).await, State::Cancelled);

    assert_eq!(rerun(rig, id).await, Changed::Done(State::Available));
    assert_eq!(settle(rig, key, COMPLETE).await, Settled::Stale);
    assert_eq!(state(rig, id).await, State::Available);

    assert_eq!(delete(rig, id).await, Changed::Done(State::Available));
    assert_eq!(settle(rig, key, COMPLETE).await, Settled::Stale);
    assert!(find(rig, id).await.is_none());
}

/// I3: keys that no lease ever had.
pub async fn an_unknown_key_is_stale(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let held = take_one(rig).await;
    let foreign = [
        LeaseKey { task: new_id(), epoch: held.key.epoch },
        LeaseKey { task: id, epoch: Epoch(0) },
        LeaseKey { task: id, epoch: Epoch(held.key.epoch.0 + 1) },
        LeaseKey { task: id, epoch: Epoch(u64::MAX) },
    ];
    for key in foreign {
        assert_eq!(settle(rig, key, COMPLETE).await, Settled::Stale);
        assert_eq!(renew(rig, &[key], TTL).await, [Held::Stale]);
    }
    assert_eq!(settle(rig, held.key, COMPLETE).await, applied(State::Completed));
}

/// I7, I8: one completion is accepted, and everybody who asked with its key is told so.
pub async fn callers_who_settle_one_lease_get_one_answer(rig: &mut impl Rig) {
    put(rig, task()).await;
    let key = take_one(rig).await.key;
    let answers = all_at_once(|number| {
        let queue = rig.queue();
        let outcome = if number % 2 == 0 { COMPLETE } else { fail(None) };
        Box::pin(async move { only(queue.settle(vec![Settlement { key, outcome }]).await.must()) })
    })
    .await;
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert!(matches!(answers[0], Settled::Applied { .. }));
    assert_eq!(stats(rig, "default").await.finished, 1);
}

/// A restart takes nobody's lease away, and never promises less than was promised.
pub async fn a_lease_lasts_its_full_ttl_after_reopening(rig: &mut impl Rig) {
    let first = put(rig, task()).await;
    let held = take_as(rig, "w").await;
    rig.elapse(TTL - SECOND).await;
    rig.reopen().await;
    assert_eq!(state(rig, first).await, State::Running);
    assert!(lease(rig, want_of("other", 1)).await.is_empty());
    rig.elapse(TTL - ms(1)).await;
    assert_eq!(state(rig, first).await, State::Running);
    assert_eq!(renew(rig, &[held.key], TTL).await, [Held::Yes]);
    rig.reopen().await;
    assert_eq!(settle(rig, held.key, COMPLETE).await, applied(State::Completed));
}

/// L2: a worker that died together with the store.
pub async fn a_lease_that_nobody_keeps_runs_out_after_reopening(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let held = take_as(rig, "w").await;
    rig.reopen().await;
    rig.elapse(TTL + SECOND).await;
    let again = take_as(rig, "other").await;
    assert_eq!((again.key.task, again.losses), (id, 1));
    assert!(again.key.epoch > held.key.epoch);
    assert_eq!(settle(rig, held.key, COMPLETE).await, Settled::Stale);
}

/// I2: even an epoch that was handed out and never heard of again is not used twice.
pub async fn epochs_rise_across_reopening(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let mut last = Epoch(0);
    for _ in 0..4 {
        let held = take_one(rig).await;
        assert!(held.key.epoch > last);
        last = held.key.epoch;
        rig.reopen().await;
        assert_eq!(view(rig, id).await.epoch, last);
        settle(rig, held.key, Outcome::Release).await;
    }
}

/// I2, I3: an id may be forgotten and used again; whoever held the first task must not settle the
/// second.
pub async fn a_key_of_a_forgotten_task_does_not_fit_its_namesake(rig: &mut impl Rig) {
    let new = task();
    put(rig, new.clone()).await;
    let old = take_one(rig).await;
    rig.elapse(TTL).await;
    delete(rig, new.id).await;
    rig.elapse(rig.capabilities().dedup_window).await;
    put(rig, new).await;
    let held = take_one(rig).await;
    assert!(held.key.epoch > old.key.epoch);
    assert_eq!(settle(rig, old.key, COMPLETE).await, Settled::Stale);
    assert_eq!(settle(rig, held.key, COMPLETE).await, applied(State::Completed));
}

/// A settlement that was remembered before a restart is remembered after it (I8), and so is a loss.
pub async fn a_late_settlement_is_accepted_after_reopening(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let held = take_one(rig).await;
    rig.elapse(TTL).await;
    assert_eq!(state(rig, id).await, State::Available);
    rig.reopen().await;
    assert_eq!(settle(rig, held.key, COMPLETE).await, applied_late(State::Completed));
    rig.reopen().await;
    assert_eq!(settle(rig, held.key, fail(None)).await, applied_late(State::Completed));
}

/// What is left of a lease whose worker's connection is gone: 2 s, unless it comes back in time.
pub async fn a_short_beat_shortens_a_lease_and_a_long_one_takes_it_back(rig: &mut impl Rig) {
    let grace = limits::DISCONNECT_GRACE;
    put_all(rig, vec![task(), task()]).await;
    let held = lease(rig, Want { ttl: Duration::from_mins(10), ..want_of("w", 2) }).await;
    let keys: Vec<LeaseKey> = held.iter().map(|lease| lease.key).collect();
    assert_eq!(renew(rig, &keys, grace).await, [Held::Yes, Held::Yes]);
    rig.elapse(grace - ms(1)).await;
    assert_eq!(renew(rig, &keys[..1], TTL).await, [Held::Yes]);
    rig.elapse(ms(1)).await;
    assert_eq!(ids(&lease(rig, want_of("other", 2)).await), [keys[1].task]);
}
