//! Tasks that expire, pauses that end, leases that run out: in the order in which it fell due, so
//! that the order of a line does not depend on when somebody looked.

use std::collections::{BTreeMap, HashMap};

use futures_util::try_join;
use haulier_core::probe::sometimes;
use haulier_core::{Error, Event, Result, State, TaskId};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Slice, Step, lock};
use crate::change::{InLine, save};
use crate::db::{Failed, Tx, sql};
use crate::known::Known;
use crate::now::millis;
use crate::row::{Reader, id, uuid};

/// What a step did, to be told once it is committed.
#[derive(Debug, Default)]
struct Done {
    found: usize,
    due: u64,
    lost: u64,
    expired: u64,
    in_line: InLine,
    freed: Vec<i32>,
    finished: bool,
}

/// Tasks that have not started in time.
pub(super) async fn expire(slice: &mut Slice<'_>) -> Result<bool> {
    let (limit, floor) = (slice.limit(), slice.begun.expires);
    let done = slice.inner.db.write("sweep", |tx| expire_some(tx, limit, floor)).await?;
    Ok(tell(slice, done))
}

async fn expire_some(tx: Tx<'static>, limit: i64, floor: i64) -> Result<Done, Failed> {
    if !lock(&tx, Step::Expire).await? {
        return Ok(Done::default());
    }
    let now = tx.now().await?;
    let found =
        tx.query(sql!("sweep_expiring"), &[&millis(now.wall), &limit, &floor]).await?;
    let ids = uuids(&found)?;
    let queues = found.iter().map(|row| row.try_get(1)).collect::<Result<Vec<i32>, _>>()?;
    // Only who holds the line may take an available task out of it.
    tx.query(sql!("line_lock"), &[&queues]).await?;
    tx.query(sql!("lease_try_lock"), &[&ids]).await?;
    let ids = uuids(&tx.query(sql!("task_try_lock"), &[&ids]).await?)?;
    let now = tx.now().await?;
    let mut done = Done { found: ids.len(), ..Done::default() };
    let (mut expired, mut others) = (Vec::new(), Vec::new());
    for mut task in standing(&tx, &ids).await? {
        let waits = matches!(task.standing.state, State::Scheduled | State::Available);
        if waits && !task.standing.started && !task.gone {
            carry_out(&mut task, Event::Expire, |task| task.carry_out(Event::Expire, &now).map(drop))?;
            expired.push(task);
        } else {
            others.push(uuid(task.id));
        }
    }
    done.expired = expired.len() as u64;
    done.finished = !expired.is_empty();
    save(&tx, &now, &expired).await?;
    // What has started in time does not expire any more.
    tx.execute(sql!("task_no_expiry"), &[&others]).await?;
    Ok(done)
}

/// Pauses that are over and leases that have run out.
pub(super) async fn come_into_line(slice: &mut Slice<'_>) -> Result<bool> {
    let (limit, begun) = (slice.limit(), slice.begun);
    let run = |tx| bring_some(tx, limit, begun.wake, begun.deadline);
    let done = slice.inner.db.write("sweep", run).await?;
    Ok(tell(slice, done))
}

async fn bring_some(tx: Tx<'static>, limit: i64, wake: i64, deadline: i64) -> Result<Done, Failed> {
    let (got, now) = try_join!(lock(&tx, Step::Timers), tx.now())?;
    if !got {
        return Ok(Done::default());
    }
    let (wall, leases) = (millis(now.wall), now.leases);
    let (due, lost) = (&[&wall as _, &limit as _, &wake as _], &[&leases as _, &limit as _, &deadline as _]);
    let (due, lost) =
        try_join!(tx.query(sql!("sweep_due_lock"), due), tx.query(sql!("sweep_lost_lock"), lost))?;
    let mut timers = Vec::with_capacity(due.len() + lost.len());
    for row in &due {
        timers.push(Timer::read(row, Event::Due, 0)?);
    }
    for row in &lost {
        // By the calendar it ran out as long ago as by the time of leases.
        timers.push(Timer::read(row, Event::Lost, wall.saturating_sub(leases))?);
    }
    timers.sort_unstable_by_key(|timer| (timer.at, timer.place));
    timers.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let ids: Vec<Uuid> = timers.iter().map(|timer| timer.id).collect();
    let locked = uuids(&tx.query(sql!("task_try_lock"), &[&ids]).await?)?;
    let mut tasks: HashMap<TaskId, Known> =
        standing(&tx, &locked).await?.into_iter().map(|task| (task.id, task)).collect();
    let mut done = Done { found: timers.len(), ..Done::default() };
    let mut changed = Vec::with_capacity(timers.len());
    for timer in timers {
        let Some(mut task) = tasks.remove(&id(timer.id)) else { continue };
        if timer.event == Event::Lost {
            carry_out(&mut task, timer.event, |task| task.lose(&now))?;
            if task.standing.state == State::Dead {
                sometimes("losses used up");
            }
            done.lost += 1;
            done.finished |= task.standing.state.is_final();
            done.freed.push(task.queue);
        } else {
            // A task from somebody else's transaction is available already, but in no line.
            if task.standing.state != State::Available {
                carry_out(&mut task, timer.event, |task| task.carry_out(Event::Due, &now).map(drop))?;
            }
            done.due += 1;
        }
        changed.push(task);
    }
    done.in_line = save(&tx, &now, &changed).await?;
    Ok(done)
}

/// Something that time brings about.
#[derive(Debug, Clone, Copy)]
struct Timer {
    at: i64,
    place: i64,
    id: Uuid,
    event: Event,
}

impl Timer {
    fn read(row: &Row, event: Event, ahead: i64) -> Result<Self, Failed> {
        let at: i64 = row.try_get("at")?;
        let place = row.try_get("place")?;
        Ok(Self { at: at.saturating_add(ahead), place, id: row.try_get("id")?, event })
    }
}

/// Tells those who wait.
fn tell(slice: &mut Slice<'_>, done: Done) -> bool {
    slice.spend(done.found);
    slice.done.promoted += done.due;
    slice.done.lost += done.lost;
    slice.done.expired += done.expired;
    let hub = &slice.inner.hub;
    done.in_line.iter().for_each(|(queue, place)| hub.in_line(queue, place));
    done.freed.iter().collect::<std::collections::BTreeSet<_>>();
    if done.finished {
        hub.finished();
    }
    done.found > 0
}
