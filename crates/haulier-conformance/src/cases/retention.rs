//! Finished tasks: how long they are kept, and that nothing else is ever forgotten.

use std::time::Duration;

use haulier_core::{SettingsPatch, State, TaskId};

use crate::Rig;
use crate::prelude::*;

/// One task in each final state, in the order of [`State::ALL`].
async fn finished(rig: &mut impl Rig) -> [TaskId; 3] {
    let completed = put_completed(rig, task()).await;
    let cancelled = put(rig, task()).await;
    cancel(rig, cancelled).await;
    let dead = put(rig, task()).await;
    let held = take_one(rig).await;
    settle(rig, held.key, fail(None)).await;
    [completed, cancelled, dead]
}

/// Completed an hour, cancelled a day, dead thirty days, unless said otherwise.
pub async fn finished_tasks_are_kept_for_their_default_times(rig: &mut impl Rig) {
    let all = finished(rig).await;
    let kept = [limits::RETAIN_COMPLETED, limits::RETAIN_CANCELLED, limits::RETAIN_DEAD];
    let mut passed = Duration::ZERO;
    for (id, kept) in all.into_iter().zip(kept) {
        rig.elapse(kept - SECOND - passed).await;
        assert!(find(rig, id).await.is_some(), "after {kept:?} less a second");
        rig.elapse(2 * SECOND).await;
        assert!(find(rig, id).await.is_none(), "after {kept:?}");
        passed = kept + SECOND;
    }
}

/// As the queue says.
pub async fn a_queue_says_how_long_its_finished_tasks_are_kept(rig: &mut impl Rig) {
    let patch = SettingsPatch {
        retain_completed: Some(10 * SECOND),
        retain_cancelled: Some(20 * SECOND),
        retain_dead: Some(30 * SECOND),
        ..SettingsPatch::default()
    };
    configure(rig, patch).await;
    let all = finished(rig).await;
    for (gone, id) in all.into_iter().enumerate() {
        rig.elapse(9 * SECOND).await;
        assert!(find(rig, id).await.is_some());
        rig.elapse(SECOND).await;
        assert!(find(rig, id).await.is_none());
        assert_eq!(stats(rig, "default").await.removed, gone as u64 + 1);
    }
}

/// A task's own word goes before its queue's.
pub async fn a_task_says_how_long_it_is_kept(rig: &mut impl Rig) {
    let keep = |span| task_with(|task| task.policy.retain = Some(span));
    let cancelled = put(rig, keep(SECOND)).await;
    cancel(rig, cancelled).await;
    let dead = put(rig, keep(SECOND)).await;
    let held = take_one(rig).await;
    settle(rig, held.key, fail(None)).await;
    let short = put_completed(rig, keep(SECOND)).await;
    let long = put_completed(rig, keep(Duration::from_hours(48))).await;
    rig.elapse(SECOND).await;
    for id in [short, cancelled, dead] {
        assert!(find(rig, id).await.is_none());
    }
    rig.elapse(Duration::from_hours(47)).await;
    assert_eq!(state(rig, long).await, State::Completed);
    rig.elapse(Duration::from_hours(1)).await;
    assert!(find(rig, long).await.is_none());
}

/// The newest completed tasks of a queue, however many there were; each queue for itself.
pub async fn a_queue_keeps_only_so_many_completed_tasks(rig: &mut impl Rig) {
    let patch = SettingsPatch { retain_completed_count: Some(2), ..SettingsPatch::default() };
    configure(rig, patch).await;
    let elsewhere = put_completed(rig, task_in("elsewhere")).await;
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(put_completed(rig, task()).await);
        rig.elapse(SECOND).await;
    }
    let dead = put(rig, task()).await;
    let held = take_one(rig).await;
    settle(rig, held.key, fail(None)).await;
    rig.elapse(SECOND).await;
    for id in &all[..3] {
        assert!(find(rig, *id).await.is_none());
    }
    for id in [all[3], all[4], elsewhere, dead] {
        assert!(find(rig, id).await.is_some());
    }
    let stats = stats(rig, "default").await;
    assert_eq!((stats.accepted, stats.removed), (6, 3), "pruning is counted");
}

/// I4: a task's id outlives it.
pub async fn the_id_of_a_pruned_task_is_remembered(rig: &mut impl Rig) {
    let new = task_with(|task| task.policy.retain = Some(SECOND));
    let id = put_completed(rig, new.clone()).await;
    rig.elapse(SECOND).await;
    assert!(find(rig, id).await.is_none());
    assert_eq!(existing(offer(rig, new.clone()).await), (id, None));
    rig.reopen().await;
    assert_eq!(existing(offer(rig, new.clone()).await), (id, None));
    rig.elapse(rig.capabilities().dedup_window).await;
    assert_eq!(put(rig, new).await, id);
}

/// I13: age is no reason to forget what is not finished.
pub async fn a_task_that_is_not_final_is_kept_for_ever(rig: &mut impl Rig) {
    let id = put(rig, task_with(|task| task.policy.retain = Some(SECOND))).await;
    rig.elapse(Duration::from_hours(24 * 365)).await;
    rig.reopen().await;
    rig.elapse(Duration::from_hours(24 * 365)).await;
    assert_eq!(take_one(rig).await.key.task, id);
}

/// Retention counts from when a task became final, also over a restart.
pub async fn retention_goes_on_across_reopening(rig: &mut impl Rig) {
    let id = put(rig, task_with(|task| task.policy.retain = Some(60 * SECOND))).await;
    rig.elapse(120 * SECOND).await;
    let held = take_one(rig).await;
    settle(rig, held.key, COMPLETE).await;
    rig.elapse(30 * SECOND).await;
    rig.reopen().await;
    rig.elapse(29 * SECOND).await;
    assert!(find(rig, id).await.is_some());
    rig.elapse(SECOND).await;
    assert!(find(rig, id).await.is_none());
}
