//! Signs of life: what they renew, what they save, where they end.

use std::time::Duration;

use bytes::Bytes;
use haulier_core::{
    Beat, Checkpoint, Held, Lease, LeaseBeat, LeaseKey, Outcome, Progress, State, Want,
};

use crate::Rig;
use crate::prelude::*;

fn checkpoint(name: &str, value: &'static [u8]) -> Checkpoint {
    Checkpoint { name: name.into(), value: Bytes::from_static(value) }
}

fn saying(held: &Lease, change: impl FnOnce(&mut LeaseBeat)) -> Beat {
    let mut lease = LeaseBeat::renew(held.key);
    change(&mut lease);
    Beat { worker: worker("w"), about: None, ttl: TTL, leases: vec![lease] }
}

async fn say(rig: &impl Rig, held: &Lease, change: impl FnOnce(&mut LeaseBeat)) -> Held {
    let replies = rig.queue().beat(vec![saying(held, change)]).await.must();
    only(only(replies).held)
}

/// A step that was checkpointed is not run again: it is there for whoever gets the task next.
pub async fn checkpoints_come_with_the_next_delivery(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let held = take_one(rig).await;
    let saved = vec![checkpoint("charge", &[0, 255, 7]), checkpoint("mail", b"")];
    let beat = say(rig, &held, |lease| lease.checkpoints.clone_from(&saved)).await;
    assert_eq!(beat, Held::Yes);
    rig.elapse(TTL).await;
    let again = take_one(rig).await;
    assert_eq!(again.checkpoints, saved);
    settle(rig, again.key, fail(Some(SECOND))).await;
    rig.reopen().await;
    rig.elapse(SECOND).await;
    assert_eq!(take_one(rig).await.checkpoints, saved, "durable once the beat was answered");
    assert_eq!(view(rig, id).await.checkpoints, saved);
}

/// A step is done once: whoever did it first has said what it gave.
pub async fn a_checkpoint_keeps_its_first_value(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let held = take_one(rig).await;
    say(rig, &held, |lease| lease.checkpoints = vec![checkpoint("charge", b"first")]).await;
    let more = vec![checkpoint("charge", b"second"), checkpoint("mail", b"sent")];
    say(rig, &held, |lease| lease.checkpoints = more).await;
    let expected = [checkpoint("charge", b"first"), checkpoint("mail", b"sent")];
    assert_eq!(view(rig, id).await.checkpoints, expected);
}

/// I3: an old holder's steps are not the task's.
pub async fn a_superseded_holder_saves_nothing(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let old = take_one(rig).await;
    rig.elapse(TTL).await;
    let change = |lease: &mut LeaseBeat| {
        lease.checkpoints = vec![checkpoint("charge", b"old")];
        lease.progress = Some(Progress { fraction: 0.5, note: "old".into() });
    };
    assert_eq!(say(rig, &old, change).await, Held::Stale);
    let new = take_one(rig).await;
    assert!(new.checkpoints.is_empty());
    assert_eq!(say(rig, &old, change).await, Held::Stale);
    let task = view(rig, id).await;
    assert!(task.checkpoints.is_empty() && task.progress.is_none());
}

/// I3: an old key in the same beat takes nothing away from the new one.
pub async fn a_beat_with_an_old_and_a_new_key_saves_for_the_new_one(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let old = take_one(rig).await.key;
    settle(rig, old, Outcome::Release).await;
    let new = take_one(rig).await.key;
    let saved = vec![checkpoint("charge", b"new")];
    let leases = vec![
        LeaseBeat { checkpoints: vec![checkpoint("charge", b"old")], ..LeaseBeat::renew(old) },
        LeaseBeat { checkpoints: saved.clone(), ..LeaseBeat::renew(new) },
    ];
    let beat = Beat { worker: worker("w"), about: None, ttl: TTL, leases };
    let reply = only(rig.queue().beat(vec![beat]).await.must());
    assert_eq!(reply.held, [Held::Stale, Held::Yes]);
    assert_eq!(view(rig, id).await.checkpoints, saved);
}

/// For whoever looks.
pub async fn progress_is_shown_as_it_was_told_last(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let held = take_one(rig).await;
    let told = |fraction| Some(Progress { fraction, note: "half way".into() });
    say(rig, &held, |lease| lease.progress = told(0.25)).await;
    say(rig, &held, |lease| lease.progress = told(0.5)).await;
    say(rig, &held, |_| ()).await;
    assert_eq!(view(rig, id).await.progress, told(0.5), "no news is no change");
}

/// A note is cut, not refused, and says so.
pub async fn a_long_progress_note_is_cut(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let held = take_one(rig).await;
    let note = |bytes: usize| Some(Progress { fraction: 0.5, note: "n".repeat(bytes).into() });
    say(rig, &held, |lease| lease.progress = note(limits::TEXT_BYTES_MAX)).await;
    assert_eq!(view(rig, id).await.progress, note(limits::TEXT_BYTES_MAX));
    say(rig, &held, |lease| lease.progress = note(limits::TEXT_BYTES_MAX + 1)).await;
    let shown = view(rig, id).await.progress.must().note;
    assert!(shown.len() <= limits::TEXT_BYTES_MAX && shown.ends_with("[cut]"));
}

/// I13: beyond the limit the call fails, and nothing of it is kept; up to the limit all is.
pub async fn checkpoints_beyond_the_limit_fail_the_call_and_change_nothing(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let held = take_one(rig).await;
    let many = |count: usize| (0..count).map(|n| checkpoint(&format!("s{n}"), b"")).collect();
    let beat = saying(&held, |lease| {
        lease.checkpoints = many(limits::CHECKPOINTS_MAX + 1);
        lease.progress = Some(Progress { fraction: 0.5, note: "no".into() });
    });
    assert!(is_too_much(rig.queue().beat(vec![beat]).await));
    let untouched = view(rig, id).await;
    assert!(untouched.checkpoints.is_empty() && untouched.progress.is_none());
    assert_eq!(say(rig, &held, |l| l.checkpoints = many(limits::CHECKPOINTS_MAX)).await, Held::Yes);
    assert_eq!(view(rig, id).await.checkpoints.len(), limits::CHECKPOINTS_MAX);
    let one_more = saying(&held, |lease| lease.checkpoints = vec![checkpoint("more", b"")]);
    assert!(is_too_much(rig.queue().beat(vec![one_more]).await), "counted with the saved ones");
}

/// The bytes of all checkpoints together, names included.
pub async fn checkpoints_may_have_as_many_bytes_as_the_limit(rig: &mut impl Rig) {
    put(rig, task()).await;
    let held = take_one(rig).await;
    let big = |bytes: usize| Checkpoint { name: "big".into(), value: vec![7; bytes - 3].into() };
    let most = limits::CHECKPOINTS_BYTES_MAX;
    let above = saying(&held, |lease| lease.checkpoints = vec![big(most + 1)]);
    assert!(is_too_much(rig.queue().beat(vec![above]).await));
    assert_eq!(say(rig, &held, |lease| lease.checkpoints = vec![big(most)]).await, Held::Yes);
    rig.elapse(TTL).await;
    assert_eq!(take_one(rig).await.checkpoints, [big(most)]);
}

/// A handler that outlasts its timeout and the grace to stop is not waited for, however it beats.
pub async fn no_beat_renews_a_lease_past_the_timeout_and_its_grace(rig: &mut impl Rig) {
    let timeout = 20 * SECOND;
    let id = put(rig, task_with(|task| task.policy.timeout = timeout)).await;
    let held = lease(rig, Want { ttl: 5 * SECOND, ..want(1) }).await.remove(0);
    let end = timeout + limits::STOP_GRACE;
    let mut passed = Duration::ZERO;
    while passed + SECOND < end {
        rig.elapse(SECOND).await;
        passed += SECOND;
        assert_eq!(renew(rig, &[held.key], 5 * SECOND).await, [Held::Yes], "after {passed:?}");
    }
    let left = view(rig, id).await.lease.must().expires_in;
    assert_eq!(left, SECOND, "the last renewal ends where all renewals end");
    rig.elapse(SECOND).await;
    let lost = view(rig, id).await;
    assert_eq!((lost.state(), lost.standing.losses), (State::Available, 1));
    assert_eq!(renew(rig, &[held.key], 5 * SECOND).await, [Held::Stale]);
}

/// I11 goes before the timeout: what was granted is kept, though it cannot be renewed any more.
pub async fn a_lease_longer_than_the_timeout_is_kept_but_not_renewed(rig: &mut impl Rig) {
    let id = put(rig, task_with(|task| task.policy.timeout = SECOND)).await;
    let held = lease(rig, Want { ttl: 60 * SECOND, ..want(1) }).await.remove(0);
    rig.elapse(SECOND + limits::STOP_GRACE).await;
    assert_eq!(renew(rig, &[held.key], TTL).await, [Held::Stale]);
    assert_eq!(state(rig, id).await, State::Running);
    rig.elapse(48 * SECOND).await;
    assert_eq!(settle(rig, held.key, COMPLETE).await, applied(State::Completed));
}

/// I3: the order of answers is the order of the beat, and each lease stands for itself.
pub async fn beats_are_answered_in_their_order(rig: &mut impl Rig) {
    put_all(rig, vec![task(), task(), task()]).await;
    let held = take(rig, 3).await;
    settle(rig, held[1].key, Outcome::Release).await;
    cancel(rig, held[2].key.task).await;
    let keys: Vec<LeaseKey> = [2, 1, 0].map(|at: usize| held[at].key).into();
    let expected = [Held::Cancel, Held::Stale, Held::Yes];
    assert_eq!(renew(rig, &keys, TTL).await, expected);
    let beat = |name: &str, key| Beat {
        worker: worker(name),
        about: None,
        ttl: TTL,
        leases: vec![LeaseBeat::renew(key)],
    };
    let replies = rig.queue().beat(vec![beat("w", keys[1]), beat("w", keys[2])]).await.must();
    let answers: Vec<Held> = replies.into_iter().flat_map(|reply| reply.held).collect();
    assert_eq!(answers, [Held::Stale, Held::Yes]);
}

/// A lease that a beat does not name goes on as it was.
pub async fn a_lease_that_is_not_listed_is_left_alone(rig: &mut impl Rig) {
    put_all(rig, vec![task(), task()]).await;
    let held = take(rig, 2).await;
    rig.elapse(TTL - SECOND).await;
    assert_eq!(renew(rig, &[held[0].key], TTL).await, [Held::Yes]);
    rig.elapse(SECOND).await;
    assert_eq!(state(rig, held[0].key.task).await, State::Running);
    assert_eq!(state(rig, held[1].key.task).await, State::Available);
}
