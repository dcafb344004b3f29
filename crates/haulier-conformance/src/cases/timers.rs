//! Time: when a task may start, when it is too late, and what a jumping calendar changes.

use std::time::Duration;

use haulier_core::{Clock, DeadReason, Held, Outcome, Start, State, Timestamp};

use crate::Rig;
use crate::prelude::*;

/// I5: by the store's clock, counted from its acceptance.
pub async fn a_delayed_task_is_not_leased_before_its_time(rig: &mut impl Rig) {
    let id = put(rig, task_with(|task| task.start = Start::After(60 * SECOND))).await;
    let scheduled = view(rig, id).await;
    assert_eq!(scheduled.state(), State::Scheduled, "I5: it waits for its time");
    assert_eq!(scheduled.due_at, scheduled.enqueued_at.after(60 * SECOND));
    rig.elapse(60 * SECOND - ms(1)).await;
    assert!(take(rig, 1).await.is_empty(), "I5: not a millisecond before");
    rig.elapse(ms(1)).await;
    assert_eq!(state(rig, id).await, State::Available);
    assert_eq!(take_one(rig).await.key.task, id);
}

/// I5: a calendar time is kept as it was said.
pub async fn a_task_starts_at_its_calendar_time(rig: &mut impl Rig) {
    let at = rig.clock().wall().after(Duration::from_hours(24 * 400));
    let id = put(rig, task_with(|task| task.start = Start::At(at))).await;
    assert_eq!(view(rig, id).await.due_at, at);
    rig.elapse(Duration::from_hours(24 * 400) - SECOND).await;
    assert!(take(rig, 1).await.is_empty());
    rig.elapse(SECOND).await;
    assert_eq!(take_one(rig).await.key.task, id);
}

/// I5: a restart forgets no time and adds none.
pub async fn a_delay_lasts_across_reopening(rig: &mut impl Rig) {
    let at = rig.clock().wall().after(60 * SECOND);
    let starts = [Start::After(60 * SECOND), Start::At(at)];
    let put_in = put_all(rig, starts.map(|start| task_with(|task| task.start = start)).into());
    let put_in = put_in.await;
    rig.elapse(30 * SECOND).await;
    rig.reopen().await;
    rig.elapse(30 * SECOND - ms(1)).await;
    assert!(take(rig, 2).await.is_empty());
    rig.elapse(ms(1)).await;
    assert_eq!(ids(&take(rig, 2).await), put_in);
}

/// A time that has passed is now: no error, and no way to the head of the line.
pub async fn a_time_in_the_past_is_now(rig: &mut impl Rig) {
    let first = put(rig, task()).await;
    let id = put(rig, task_with(|task| task.start = Start::At(Timestamp(1)))).await;
    let accepted = view(rig, id).await;
    assert_eq!((accepted.state(), accepted.due_at), (State::Available, accepted.enqueued_at));
    assert_eq!(ids(&take(rig, 2).await), [first, id]);
}

/// The line is the same whether the store looked every second or slept for an hour.
pub async fn tasks_come_into_line_in_the_order_of_their_due_times(rig: &mut impl Rig) {
    let after = |seconds| task_with(|task| task.start = Start::After(seconds * SECOND));
    let put_in = put_all(rig, [30, 10, 20, 10].map(after).into()).await;
    let running = put(rig, task()).await;
    let held = only(lease(rig, haulier_core::Want { ttl: 15 * SECOND, ..want(1) }).await);
    assert_eq!(held.key.task, running);
    rig.elapse(Duration::from_hours(1)).await;
    let order = [put_in[1], put_in[3], running, put_in[2], put_in[0]];
    assert_eq!(ids(&take(rig, 9).await), order);
}

/// Given up if no attempt has started in time, whether it was waiting for a worker or for its time.
pub async fn a_task_that_does_not_start_in_time_expires(rig: &mut impl Rig) {
    let expiring = |start| {
        task_with(|task| {
            task.start = start;
            task.expires_in = Some(10 * SECOND);
        })
    };
    let starts = [Start::Now, Start::After(Duration::from_hours(1))];
    let put_in = put_all(rig, starts.map(expiring).into()).await;
    rig.elapse(9 * SECOND).await;
    assert_eq!(state(rig, put_in[0]).await, State::Available);
    rig.elapse(2 * SECOND).await;
    for id in put_in {
        let dead = view(rig, id).await;
        assert_eq!((dead.state(), dead.standing.reason), (State::Dead, Some(DeadReason::Expired)));
    }
    assert!(take(rig, 9).await.is_empty());
}

/// Once it was started it may take its time, and its retries, too.
pub async fn a_task_that_started_does_not_expire(rig: &mut impl Rig) {
    let expiring = || task_with(|task| task.expires_in = Some(10 * SECOND));
    let put_in = put_all(rig, vec![expiring(), expiring(), expiring()]).await;
    let held = take(rig, 3).await;
    settle(rig, held[1].key, Outcome::Release).await;
    settle(rig, held[2].key, fail(Some(SECOND))).await;
    rig.elapse(20 * SECOND).await;
    rig.reopen().await;
    rig.elapse(SECOND).await;
    assert_eq!(state(rig, put_in[0]).await, State::Running);
    assert_eq!(ids(&take(rig, 9).await), put_in[1..]);
}

/// An operator who has a task done again wants it done.
pub async fn a_rerun_task_does_not_expire_again(rig: &mut impl Rig) {
    let id = put(rig, task_with(|task| task.expires_in = Some(10 * SECOND))).await;
    rig.elapse(11 * SECOND).await;
    assert_eq!(state(rig, id).await, State::Dead);
    rerun(rig, id).await;
    rig.elapse(60 * SECOND).await;
    rig.reopen().await;
    rig.elapse(60 * SECOND).await;
    assert_eq!(take_one(rig).await.key.task, id);
}

/// I5, I11: the calendar is for `run_at`; leases and beats never notice.
pub async fn a_calendar_that_jumps_forward_ends_no_lease(rig: &mut impl Rig) {
    let later =
        put(rig, task_with(|task| task.start = Start::After(Duration::from_mins(30)))).await;
    let id = put(rig, task()).await;
    let held = take_one(rig).await;
    assert_eq!(held.key.task, id);
    let clock = rig.clock();
    clock.set_wall(clock.wall().after(Duration::from_hours(1)));
    rig.elapse(TTL - ms(1)).await;
    assert_eq!(state(rig, id).await, State::Running);
    assert_eq!(renew(rig, &[held.key], TTL).await, [Held::Yes]);
    assert_eq!(ids(&take(rig, 9).await), [later], "its calendar time has come");
}

/// I5: what was written never lies in the future, and what was accepted later never looks older.
pub async fn a_calendar_that_jumps_back_takes_no_time_back(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let first = view(rig, id).await.enqueued_at;
    let held = take_one(rig).await;
    let clock = rig.clock();
    clock.set_wall(Timestamp(clock.wall().0 - 3_600_000));
    rig.elapse(SECOND).await;
    let second = view(rig, put(rig, task()).await).await.enqueued_at;
    assert!(second >= first, "{second:?} is before {first:?}");
    rig.reopen().await;
    rig.elapse(SECOND).await;
    let third = view(rig, put(rig, task()).await).await.enqueued_at;
    assert!(third >= second, "{third:?} is before {second:?}");
    assert_eq!(renew(rig, &[held.key], TTL).await, [Held::Yes]);
    rig.elapse(TTL).await;
    assert_eq!(take(rig, 9).await.len(), 3, "and the lease ran out after its ttl");
}
