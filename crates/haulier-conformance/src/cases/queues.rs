//! Settings of a queue: pausing, limits, and that they are kept.

use std::time::Duration;

use haulier_core::{Code, Enqueued, Outcome, QueueSettings, SettingsPatch, Start, State, Want};

use crate::Rig;
use crate::prelude::*;

fn patch(change: impl FnOnce(&mut SettingsPatch)) -> SettingsPatch {
    let mut patch = SettingsPatch::default();
    change(&mut patch);
    patch
}

/// Paused is a reason not to run, never a state.
pub async fn nothing_of_a_paused_queue_is_leased(rig: &mut impl Rig) {
    let put_in = put_all(rig, vec![task(), task_in("other")]).await;
    assert!(configure(rig, patch(|patch| patch.paused = Some(true))).await.paused);
    let both = || want_from("w", &["default", "other"], 9);
    assert_eq!(ids(&lease(rig, both()).await), put_in[1..]);
    assert_eq!(state(rig, put_in[0]).await, State::Available);
    put(rig, task()).await;
    configure(rig, patch(|patch| patch.paused = Some(false))).await;
    assert_eq!(lease(rig, both()).await.len(), 2);
}

/// What runs may go on.
pub async fn a_pause_leaves_running_tasks_alone(rig: &mut impl Rig) {
    put(rig, task()).await;
    let held = take_one(rig).await;
    configure(rig, patch(|patch| patch.paused = Some(true))).await;
    assert_eq!(renew(rig, &[held.key], TTL).await, [haulier_core::Held::Yes]);
    assert_eq!(settle(rig, held.key, COMPLETE).await, applied(State::Completed));
}

/// Over all workers and calls, counted from leases.
pub async fn a_queue_runs_no_more_than_its_concurrency(rig: &mut impl Rig) {
    configure(rig, patch(|patch| patch.concurrency = Some(Some(2)))).await;
    put_all(rig, (0..5).map(|_| task()).collect()).await;
    let wants = vec![want_of("a", 2), want_of("b", 2)];
    let shares = rig.queue().lease(wants, Duration::ZERO).await.must();
    assert_eq!(shares.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
    assert!(take(rig, 9).await.is_empty());
    settle(rig, shares[0][0].key, COMPLETE).await;
    assert_eq!(take(rig, 9).await.len(), 1);
    assert!(take(rig, 9).await.is_empty());
    rig.elapse(TTL).await;
    assert_eq!(take(rig, 9).await.len(), 2, "leases that ran out do not count");
    configure(rig, patch(|patch| patch.concurrency = Some(None))).await;
    assert_eq!(take(rig, 9).await.len(), 2);
}

/// L1: the place of a settled task is filled at once.
pub async fn a_waiting_worker_gets_the_place_that_becomes_free(rig: &mut impl Rig) {
    configure(rig, patch(|patch| patch.concurrency = Some(Some(1)))).await;
    let put_in = put_all(rig, vec![task(), task()]).await;
    let held = take_as(rig, "other").await;
    let waiting = wait_for(rig, want(1), limits::WAIT_MAX);
    until_known(rig, "w").await;
    settle(rig, held.key, COMPLETE).await;
    assert_eq!(ids(&answer(waiting).await), put_in[1..]);
}

/// I13: refused, never dropped; and what is final takes no room.
pub async fn a_full_queue_refuses_and_drops_nothing(rig: &mut impl Rig) {
    configure(rig, patch(|patch| patch.max_tasks = Some(Some(3)))).await;
    let scheduled = task_with(|task| task.start = Start::After(60 * SECOND));
    let put_in = put_all(rig, vec![scheduled, task(), task()]).await;
    let more = task();
    let answer = offer(rig, more.clone()).await;
    assert!(matches!(answer, Enqueued::Refused(_)), "I13: too much is refused: {answer:?}");
    assert_eq!(refused(answer), Code::QueueFull);
    assert!(find(rig, more.id).await.is_none());
    let held = take_one(rig).await;
    assert_eq!(refused(offer(rig, more.clone()).await), Code::QueueFull, "running counts");
    settle(rig, held.key, fail(Some(60 * SECOND))).await;
    assert_eq!(refused(offer(rig, more.clone()).await), Code::QueueFull, "retryable counts");
    cancel(rig, put_in[2]).await;
    assert_eq!(put(rig, more).await, view(rig, take_one(rig).await.key.task).await.task.id);
    put(rig, task_in("other")).await;
}

/// I13: also within one batch, item by item.
pub async fn a_batch_fills_a_queue_up_to_its_limit(rig: &mut impl Rig) {
    configure(rig, patch(|patch| patch.max_tasks = Some(Some(2)))).await;
    let tasks = vec![task(), task(), task()];
    let answers = rig.queue().enqueue(tasks.clone()).await.must();
    assert_eq!(refused(answers[2].clone()), Code::QueueFull);
    let mut taken = ids(&take(rig, 9).await);
    taken.sort_unstable();
    assert_eq!(taken, [tasks[0].id, tasks[1].id]);
}

/// The order of the checks: a task that is there already needs no room.
pub async fn a_full_queue_knows_its_tasks(rig: &mut impl Rig) {
    configure(rig, patch(|patch| patch.max_tasks = Some(Some(1)))).await;
    let new = task_with(|task| task.unique = Some(haulier_core::Unique::new("k")));
    let id = put(rig, new.clone()).await;
    assert_eq!(existing(offer(rig, new.clone()).await).0, id);
    let mut same_key = task();
    same_key.unique.clone_from(&new.unique);
    assert_eq!(existing(offer(rig, same_key).await).0, id);
    let mut conflict = new;
    conflict.kind = kind("other");
    assert_eq!(refused(offer(rig, conflict).await), Code::IdConflict);
    let invalid = task_with(|task| task.policy.max_attempts = 0);
    assert_eq!(refused(offer(rig, invalid).await), Code::Invalid);
}

/// A limit of zero closes a queue for producers; workers empty it.
pub async fn a_queue_may_be_closed_for_new_tasks(rig: &mut impl Rig) {
    put(rig, task()).await;
    configure(rig, patch(|patch| patch.max_tasks = Some(Some(0)))).await;
    assert_eq!(refused(offer(rig, task()).await), Code::QueueFull);
    assert_eq!(take(rig, 9).await.len(), 1);
}

/// A patch changes what it names and answers with everything; settings survive a restart.
pub async fn settings_are_changed_one_by_one_and_kept(rig: &mut impl Rig) {
    assert_eq!(configure(rig, SettingsPatch::default()).await, QueueSettings::default());
    configure(rig, patch(|patch| patch.concurrency = Some(Some(7)))).await;
    configure(rig, patch(|patch| patch.max_tasks = Some(Some(8)))).await;
    let all = configure(
        rig,
        patch(|patch| {
            patch.retain_completed = Some(SECOND);
            patch.retain_completed_count = Some(9);
            patch.retain_cancelled = Some(2 * SECOND);
            patch.retain_dead = Some(3 * SECOND);
            patch.max_tasks = Some(None);
        }),
    )
    .await;
    assert_eq!((all.paused, all.concurrency, all.max_tasks), (false, Some(7), None));
    assert_eq!((all.retain.completed, all.retain.completed_count), (SECOND, 9));
    assert_eq!((all.retain.cancelled, all.retain.dead), (2 * SECOND, 3 * SECOND));
    rig.reopen().await;
    assert_eq!(configure(rig, SettingsPatch::default()).await, all);
    assert_eq!(stats(rig, "default").await.settings, all);
}

/// Looking is not touching.
pub async fn reading_settings_leaves_no_trace(rig: &mut impl Rig) {
    configure(rig, SettingsPatch::default()).await;
    assert!(rig.inspect().queues().await.must().is_empty());
    lease(rig, want(1)).await;
    assert!(rig.inspect().queues().await.must().is_empty(), "nor does asking for tasks");
}

/// Numbers that mean nothing are refused, and the settings stay.
pub async fn a_setting_out_of_range_is_refused(rig: &mut impl Rig) {
    let above = limits::DELAY_MAX + SECOND;
    let patches = [
        patch(|patch| patch.concurrency = Some(Some(0))),
        patch(|patch| patch.retain_completed = Some(above)),
        patch(|patch| patch.retain_dead = Some(above)),
    ];
    for patch in patches {
        let answer = rig.control().configure(queue("default"), patch).await;
        assert_eq!(failed(answer), Code::Invalid);
    }
    let all = configure(rig, patch(|patch| patch.retain_dead = Some(limits::DELAY_MAX))).await;
    assert_eq!((all.concurrency, all.retain.dead), (None, limits::DELAY_MAX));
}

/// L3, I14: an operator may lower a limit below what is there; nothing is lost by it.
pub async fn a_lowered_limit_drops_nothing(rig: &mut impl Rig) {
    put_all(rig, (0..4).map(|_| task()).collect()).await;
    let held = lease(rig, Want { ttl: TTL, ..want(3) }).await;
    configure(rig, patch(|patch| patch.concurrency = Some(Some(1)))).await;
    configure(rig, patch(|patch| patch.max_tasks = Some(Some(1)))).await;
    assert_eq!(stats(rig, "default").await.counts.pending(), 4);
    for lease in &held[..2] {
        assert_eq!(settle(rig, lease.key, COMPLETE).await, applied(State::Completed));
        assert!(take(rig, 9).await.is_empty());
    }
    assert_eq!(settle(rig, held[2].key, Outcome::Release).await, applied(State::Available));
    assert_eq!(take(rig, 9).await.len(), 1);
}
