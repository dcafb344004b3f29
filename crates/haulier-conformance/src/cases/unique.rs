//! Unique keys: who holds one, for how long, and what happens to the second.

use std::time::Duration;

use haulier_core::{
    Code, Enqueued, NewTask, OnConflict, Outcome, SettingsPatch, Start, State, Unique, Until,
};

use crate::Rig;
use crate::prelude::*;

fn keyed(change: impl FnOnce(&mut Unique)) -> NewTask {
    let mut unique = Unique::new("order-17");
    change(&mut unique);
    task_with(|task| task.unique = Some(unique))
}

fn on_conflict(choice: OnConflict) -> NewTask {
    keyed(|unique| unique.on_conflict = choice)
}

/// I4: as if it had just been enqueued.
pub async fn a_second_task_with_the_key_gets_the_first_one(rig: &mut impl Rig) {
    let id = put(rig, keyed(|_| ())).await;
    let second = keyed(|_| ());
    assert_eq!(existing(offer(rig, second.clone()).await), (id, Some(State::Available)));
    assert!(find(rig, second.id).await.is_none());
    let other = task_with(|task| task.unique = Some(Unique::new("order-18")));
    put(rig, other).await;
    assert_eq!(take(rig, 9).await.len(), 2);
}

/// I4, I10: a refusal, for those who want to know.
pub async fn a_second_task_is_refused_if_it_asks_for_that(rig: &mut impl Rig) {
    put(rig, keyed(|_| ())).await;
    let second = on_conflict(OnConflict::Reject);
    assert_eq!(refused(offer(rig, second.clone()).await), Code::UniqueConflict);
    assert!(find(rig, second.id).await.is_none());
    assert_eq!(take(rig, 9).await.len(), 1);
}

/// The newest wish counts as long as nobody has begun with the old one.
pub async fn a_second_task_replaces_one_that_has_not_started(rig: &mut impl Rig) {
    let scheduled = keyed(|_| ());
    let mut first = scheduled;
    first.start = Start::After(SECOND);
    let first = put(rig, first).await;
    let second = put(rig, on_conflict(OnConflict::Replace)).await;
    assert_eq!(state(rig, first).await, State::Cancelled);
    let third = put(rig, on_conflict(OnConflict::Replace)).await;
    assert_eq!(state(rig, second).await, State::Cancelled);
    assert_eq!(existing(offer(rig, keyed(|_| ())).await).0, third, "the key has passed on");
    rig.elapse(SECOND).await;
    assert_eq!(ids(&take(rig, 9).await), [third]);
}

/// What has begun is not taken back.
pub async fn a_task_that_has_started_is_not_replaced(rig: &mut impl Rig) {
    let id = put(rig, keyed(|_| ())).await;
    let held = take_one(rig).await;
    let second = || on_conflict(OnConflict::Replace);
    assert_eq!(existing(offer(rig, second()).await), (id, Some(State::Running)));
    settle(rig, held.key, Outcome::Release).await;
    assert_eq!(existing(offer(rig, second()).await), (id, Some(State::Available)));
}

/// I4, I13: replacing needs no room, and without room nothing is replaced.
pub async fn a_replacement_takes_the_place_of_the_one_it_replaces(rig: &mut impl Rig) {
    let limit = |most| SettingsPatch { max_tasks: Some(Some(most)), ..SettingsPatch::default() };
    configure(rig, limit(2)).await;
    let first = put(rig, keyed(|_| ())).await;
    put(rig, task()).await;
    let second = put(rig, on_conflict(OnConflict::Replace)).await;
    assert_eq!(state(rig, first).await, State::Cancelled);
    configure(rig, limit(1)).await;
    assert_eq!(refused(offer(rig, on_conflict(OnConflict::Replace)).await), Code::QueueFull);
    assert_eq!(state(rig, second).await, State::Available);
}

/// I4: by default until it is final.
pub async fn a_key_is_free_when_its_task_is_final(rig: &mut impl Rig) {
    put(rig, keyed(|_| ())).await;
    let held = take_one(rig).await;
    settle(rig, held.key, fail(Some(SECOND))).await;
    existing(offer(rig, keyed(|_| ())).await);
    rig.elapse(SECOND).await;
    let held = take_one(rig).await;
    settle(rig, held.key, COMPLETE).await;
    let second = put(rig, keyed(|_| ())).await;
    cancel(rig, second).await;
    put(rig, keyed(|_| ())).await;
}

/// A key that only keeps tasks from standing in line twice.
pub async fn a_key_until_start_is_free_when_its_task_has_started(rig: &mut impl Rig) {
    let until_start = || keyed(|unique| unique.until = Until::Start);
    let first = put(rig, until_start()).await;
    assert_eq!(existing(offer(rig, until_start()).await).0, first);
    let held = take_one(rig).await;
    let second = put(rig, until_start()).await;
    settle(rig, held.key, Outcome::Release).await;
    assert_eq!(existing(offer(rig, until_start()).await).0, second);
}

/// I4: after completion, after its retention, after a restart: for the whole window.
pub async fn a_key_is_held_for_its_window_whatever_becomes_of_its_task(rig: &mut impl Rig) {
    let window = Duration::from_hours(48);
    let new = || keyed(|unique| unique.window = window);
    let id = put(rig, new()).await;
    let held = take_one(rig).await;
    settle(rig, held.key, COMPLETE).await;
    assert_eq!(existing(offer(rig, new()).await), (id, Some(State::Completed)));
    rig.elapse(window - SECOND).await;
    rig.reopen().await;
    assert_eq!(existing(offer(rig, new()).await), (id, Some(State::Completed)));
    assert_eq!(refused(offer(rig, on_conflict(OnConflict::Reject)).await), Code::UniqueConflict);
    rig.elapse(SECOND).await;
    put(rig, keyed(|_| ())).await;
}

/// I4: nor does a full shelf of completed tasks shorten it.
pub async fn a_key_within_its_window_outlives_the_completed_count(rig: &mut impl Rig) {
    let patch = SettingsPatch { retain_completed_count: Some(0), ..SettingsPatch::default() };
    configure(rig, patch).await;
    let new = || keyed(|unique| unique.window = 60 * SECOND);
    let id = put(rig, new()).await;
    let held = take_one(rig).await;
    settle(rig, held.key, COMPLETE).await;
    put_completed(rig, task()).await;
    rig.elapse(Duration::ZERO).await;
    assert_eq!(existing(offer(rig, new()).await).0, id);
    rig.elapse(60 * SECOND).await;
    assert!(find(rig, id).await.is_none(), "then it goes, too");
}

/// A window counts from when the task was accepted; the task itself may hold the key for longer.
pub async fn a_key_is_held_beyond_its_window_while_its_task_is_pending(rig: &mut impl Rig) {
    let new = || keyed(|unique| unique.window = SECOND);
    let id = put(rig, new()).await;
    rig.elapse(60 * SECOND).await;
    assert_eq!(existing(offer(rig, new()).await).0, id);
}

/// A key belongs to its queue.
pub async fn a_key_counts_within_its_queue_only(rig: &mut impl Rig) {
    put(rig, keyed(|_| ())).await;
    let mut elsewhere = keyed(|_| ());
    elsewhere.queue = queue("elsewhere");
    put(rig, elsewhere).await;
}

/// I4: one is told that it inserted, all the others get the same task.
pub async fn callers_with_one_key_store_one_task(rig: &mut impl Rig) {
    let answers = all_at_once(|_| {
        let (queue, new) = (rig.queue(), keyed(|_| ()));
        Box::pin(async move { only(queue.enqueue(vec![new]).await.must()) })
    })
    .await;
    let inserted = |answer: &&Enqueued| matches!(answer, Enqueued::Inserted { .. });
    assert_eq!(answers.iter().filter(inserted).count(), 1);
    let stored = only(take(rig, 9).await).key.task;
    assert!(answers.into_iter().all(|answer| answer.accepted() == Ok(stored)));
}

/// I4: in the order of the batch.
pub async fn keys_within_a_batch_meet_each_other_in_order(rig: &mut impl Rig) {
    let first = keyed(|_| ());
    let second = on_conflict(OnConflict::Replace);
    let batch = vec![first.clone(), keyed(|_| ()), second.clone()];
    let mut answers = rig.queue().enqueue(batch).await.must().into_iter();
    assert_eq!(answers.next().must().accepted(), Ok(first.id));
    assert_eq!(existing(answers.next().must()).0, first.id);
    assert!(matches!(answers.next(), Some(Enqueued::Inserted { id, .. }) if id == second.id));
    assert_eq!(ids(&take(rig, 9).await), [second.id]);
}

/// I4: across a restart.
pub async fn a_key_is_held_across_reopening(rig: &mut impl Rig) {
    let id = put(rig, keyed(|_| ())).await;
    rig.reopen().await;
    assert_eq!(existing(offer(rig, keyed(|_| ())).await), (id, Some(State::Available)));
}

/// A repeated enqueue is answered by its id, before its key is looked at.
pub async fn the_id_is_looked_at_before_the_key(rig: &mut impl Rig) {
    let first = on_conflict(OnConflict::Reject);
    let id = put(rig, first.clone()).await;
    assert_eq!(existing(offer(rig, first).await).0, id);
}

/// What an operator forgets holds nothing any more.
pub async fn a_deleted_task_holds_no_key(rig: &mut impl Rig) {
    let id = put(rig, keyed(|unique| unique.window = 60 * SECOND)).await;
    delete(rig, id).await;
    put(rig, keyed(|_| ())).await;
}

/// I4: a task that is done again holds its key again, unless another one has it by now.
pub async fn a_rerun_task_holds_its_key_again(rig: &mut impl Rig) {
    let first = put(rig, keyed(|_| ())).await;
    let held = take_one(rig).await;
    settle(rig, held.key, COMPLETE).await;
    rerun(rig, first).await;
    assert_eq!(existing(offer(rig, keyed(|_| ())).await).0, first);
    let held = take_one(rig).await;
    settle(rig, held.key, COMPLETE).await;

    let second = put(rig, keyed(|_| ())).await;
    rerun(rig, first).await;
    assert_eq!(existing(offer(rig, keyed(|_| ())).await).0, second);
    cancel(rig, second).await;
    rerun(rig, first).await;
}
