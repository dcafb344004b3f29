//! Tasks that expire, pauses that end, leases that run out: in the order in which it fell due, so
//! that the order of a line does not depend on when somebody looked.

use std::collections::{BTreeSet, HashMap};

use haulier_core::probe::sometimes;
use haulier_core::{Event, Refusal, Result, State, TaskId};
use tokio::try_join;
use tokio_postgres::Row;
use uuid::Uuid;

use super::due::Due;
use super::{Slice, Step, lock};
use crate::change::{InLine, save};
use crate::db::{Failed, Params, Tx, sql};
use crate::known::Known;
use crate::locked::standing;
use crate::now::{Now, millis};
use crate::row::{id, uuid};

/// What a step did, to be told once it is committed.
#[derive(Debug, Default)]
struct Done {
    found: usize,
    due: u64,
    lost: u64,
    expired: u64,
    in_line: InLine,
    freed: BTreeSet<i32>,
    finished: bool,
}

impl Done {
    fn lost(&mut self, task: &Known) {
        if task.standing.state == State::Dead {
            sometimes("losses used up");
        }
        self.lost += 1;
        self.finished |= task.finished;
        self.freed.insert(task.queue);
    }
}

/// Tasks that have not started in time.
pub(super) async fn expire(slice: &mut Slice<'_>) -> Result<bool> {
    let (limit, floor) = (slice.limit(), slice.begun.expires);
    let done = slice.inner.db.write("sweep", |tx| expire_some(tx, limit, floor)).await?;
    Ok(tell(slice, &done))
}

async fn expire_some(tx: Tx<'static>, limit: i64, floor: i64) -> Result<Done, Failed> {
    if !lock(&tx, Step::Expire).await? {
        return Ok(Done::default());
    }
    let now = tx.now().await?;
    let found = tx.query(sql!("sweep_expiring"), &[&millis(now.wall), &limit, &floor]).await?;
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
        if waits && !task.standing.started {
            if applies(&task.carry_out(Event::Expire, &now).map(drop), &task) {
                expired.push(task);
            }
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
pub(super) async fn come_into_line(slice: &mut Slice<'_>, due: &Due) -> Result<bool> {
    let (limit, begun) = (slice.limit(), slice.begun);
    let wake = if due.has_come_in() { 0 } else { begun.wake };
    let run = |tx| bring_some(tx, limit, wake, begun.deadline);
    let done = slice.inner.db.write("sweep", run).await?;
    Ok(tell(slice, &done))
}

async fn bring_some(tx: Tx<'static>, limit: i64, wake: i64, deadline: i64) -> Result<Done, Failed> {
    let (got, now) = try_join!(biased; lock(&tx, Step::Timers), tx.now())?;
    if !got {
        return Ok(Done::default());
    }
    let timers = timers(&tx, &now, limit, (wake, deadline)).await?;
    let ids: Vec<Uuid> = timers.iter().map(|timer| timer.id).collect();
    let locked = uuids(&tx.query(sql!("task_try_lock"), &[&ids]).await?)?;
    let tasks = standing(&tx, &locked).await?;
    let mut tasks: HashMap<TaskId, Known> = tasks.into_iter().map(|task| (task.id, task)).collect();
    let mut done = Done { found: timers.len(), ..Done::default() };
    let (mut changed, mut later) = (Vec::with_capacity(timers.len()), Vec::new());
    for timer in timers {
        let Some(mut task) = tasks.remove(&id(timer.id)) else { continue };
        match timer.ends {
            Ends::Lease => {
                if !applies(&task.lose(&now), &task) {
                    continue;
                }
                done.lost(&task);
            }
            // It came in with somebody else's transaction, and has to wait.
            Ends::Pause if task.standing.state == State::Scheduled && task.due_at > now.wall => {
                later.push(timer.id);
                continue;
            }
            Ends::Pause => {
                let waits = task.standing.state != State::Available;
                if waits && !applies(&task.carry_out(Event::Due, &now).map(drop), &task) {
                    continue;
                }
                done.due += u64::from(waits);
            }
        }
        changed.push(task);
    }
    tx.execute(sql!("task_later"), &[&later]).await?;
    done.in_line = save(&tx, &now, &changed).await?;
    Ok(done)
}

/// What is over, in the order in which it ended.
async fn timers(
    tx: &Tx<'_>,
    now: &Now,
    limit: i64,
    (wake, deadline): (i64, i64),
) -> Result<Vec<Timer>, Failed> {
    let (wall, leases) = (millis(now.wall), now.leases);
    let pauses: Params<'_> = &[&wall, &limit, &wake];
    let lost: Params<'_> = &[&leases, &limit, &deadline];
    let (pauses, lost) = try_join!(
        biased;
        tx.query(sql!("sweep_due_lock"), pauses),
        tx.query(sql!("sweep_lost_lock"), lost),
    )?;
    let mut timers = Vec::with_capacity(pauses.len() + lost.len());
    for row in &pauses {
        timers.push(Timer::read(row, Ends::Pause, 0)?);
    }
    for row in &lost {
        // By the calendar it ran out as long ago as by the time of leases.
        timers.push(Timer::read(row, Ends::Lease, wall.saturating_sub(leases))?);
    }
    timers.sort_unstable_by_key(|timer| (timer.at, timer.place));
    timers.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(timers)
}

/// An index that names a task to which its event does not apply: a defect, which must not keep time
/// from going on for the others.
fn applies(carried: &Result<(), Refusal>, task: &Known) -> bool {
    if let Err(refusal) = carried {
        tracing::error!(task = %task.id, %refusal, "time has come for a task that does not wait");
    }
    carried.is_ok()
}

/// What is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Pause,
    Lease,
}

/// Something that time brings about.
#[derive(Debug, Clone, Copy)]
struct Timer {
    at: i64,
    place: i64,
    id: Uuid,
    ends: Ends,
}

impl Timer {
    fn read(row: &Row, ends: Ends, ahead: i64) -> Result<Self, Failed> {
        let at: i64 = row.try_get("at")?;
        let place = row.try_get("place")?;
        Ok(Self { at: at.saturating_add(ahead), place, id: row.try_get("id")?, ends })
    }
}

fn uuids(rows: &[Row]) -> Result<Vec<Uuid>, Failed> {
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

/// Tells those who wait.
fn tell(slice: &mut Slice<'_>, done: &Done) -> bool {
    slice.spend(done.found);
    slice.done.promoted += done.due;
    slice.done.lost += done.lost;
    slice.done.expired += done.expired;
    let hub = &slice.inner.hub;
    done.in_line.iter().for_each(|(queue, place)| hub.in_line(queue, place));
    done.freed.iter().for_each(|queue| hub.freed(*queue));
    if done.finished {
        hub.finished();
    }
    done.found > 0
}
