//! Tasks that are removed, and ids that are forgotten.
//!
//! What is removed leaves its id behind for a while, so that a repeated enqueue stays harmless
//! (I4): a row without anything else, or a batch of completed tasks below their queue's mark. When
//! the row goes, too, the largest epoch stays, so that the next task of that id gets larger ones
//! (I2).

use haulier_core::{Result, State, TaskId, limits};
use tokio::try_join;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Slice, Step, lock};
use crate::change::uncount;
use crate::db::{Failed, Params, Tx, sql};
use crate::known::Known;
use crate::now::{Now, millis, span};
use crate::row::{id, state, uuid};
use crate::tally::Tally;

/// A task that is to be removed. Its row is locked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Removal {
    id: TaskId,
    queue: i32,
    state: State,
    /// Its place in the order of completions, if it has one.
    finish: Option<i64>,
}

impl Removal {
    /// From columns `id`, `queue`, `state`, `finish`.
    pub(super) fn read(row: &Row) -> Result<Self, Failed> {
        Ok(Self {
            id: id(row.try_get("id")?),
            queue: row.try_get("queue")?,
            state: state(row.try_get("state")?).unwrap_or(State::Completed),
            finish: row.try_get("finish")?,
        })
    }

    /// Of a task that does not run.
    pub(crate) fn of(task: &Known) -> Self {
        let state = task.standing.state;
        Self { id: task.id, queue: task.queue, state, finish: task.finish }
    }
}

/// Removes tasks. Who removes completed ones from their line holds their queue's `retention`.
pub(crate) async fn remove(tx: &Tx<'_>, now: &Now, tasks: &[Removal]) -> Result<(), Failed> {
    if tasks.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = tasks.iter().map(|task| uuid(task.id)).collect();
    let known_until = millis(now.wall.after(limits::DEDUP_WINDOW));
    let mut tally = Tally::default();
    for task in tasks {
        tally.removed(task.queue, task.state, 1);
    }
    let completed = tasks.iter().filter(|task| task.state == State::Completed);
    let uncounted: Vec<(Uuid, i32, i64)> =
        completed.filter_map(|task| Some((uuid(task.id), task.queue, task.finish?))).collect();
    let all: Params<'_> = &[&ids];
    let remove: Params<'_> = &[&ids, &known_until];
    try_join!(
        biased;
        tx.execute(sql!("holder_release"), all),
        tx.execute(sql!("delivery_drop"), all),
        tx.execute(sql!("task_remove"), remove),
        uncount(tx, &uncounted),
        tally.save(tx),
    )?;
    Ok(())
}

/// What a step did.
#[derive(Debug, Default)]
struct Gone {
    removed: usize,
    forgotten: usize,
}

/// Finished tasks that were kept for long enough, and ids that were.
pub(super) async fn kept_no_longer(slice: &mut Slice<'_>) -> Result<bool> {
    let (limit, floor) = (slice.limit(), slice.begun.kept);
    let run = |tx: Tx<'static>| async move {
        let (got, now) = try_join!(biased; lock(&tx, Step::Kept), tx.now())?;
        if !got {
            return Ok(Gone::default());
        }
        let wall = millis(now.wall);
        let rows = tx.query(sql!("sweep_kept_lock"), &[&wall, &limit, &floor]).await?;
        let (mut over, mut known) = (Vec::new(), Vec::new());
        for row in &rows {
            if state(row.try_get("state")?).is_some() {
                over.push(Removal::read(row)?);
            } else {
                known.push(row.try_get("id")?);
            }
        }
        remove(&tx, &now, &over).await?;
        forget(&tx, &known).await?;
        Ok(Gone { removed: over.len(), forgotten: known.len() })
    };
    let gone = slice.inner.db.write("sweep", run).await?;
    slice.spend(gone.removed + gone.forgotten);
    slice.done.pruned += gone.removed as u64;
    Ok(gone.removed + gone.forgotten > 0)
}

/// Forgets ids whose tasks were removed.
async fn forget(tx: &Tx<'_>, ids: &[Uuid]) -> Result<(), Failed> {
    if ids.is_empty() {
        return Ok(());
    }
    raise_floor(tx, &tx.query(sql!("task_forget"), &[&ids]).await?).await
}

/// Keeps the largest epoch of tasks that are gone.
async fn raise_floor(tx: &Tx<'_>, gone: &[Row]) -> Result<(), Failed> {
    let mut floor: i64 = 0;
    for row in gone {
        floor = floor.max(row.try_get("epoch")?);
    }
    tx.execute(sql!("epoch_floor"), &[&floor]).await?;
    Ok(())
}

/// Batches of completed tasks that went long ago: their rows, and with them their ids.
pub(super) async fn batches(slice: &mut Slice<'_>) -> Result<bool> {
    let (limit, floor) = (slice.limit(), slice.begun.gone);
    let budget = slice.left;
    let run = |tx: Tx<'static>| async move {
        let (got, now) = try_join!(biased; lock(&tx, Step::Forget), tx.now())?;
        if !got {
            return Ok((0, 0));
        }
        let until = millis(now.wall).saturating_sub(span(limits::DEDUP_WINDOW));
        let rows = tx.query(sql!("forget_batches"), &[&until, &limit, &floor]).await?;
        forget_batches(&tx, &rows, budget).await
    };
    let (batches, forgotten) = slice.inner.db.write("sweep", run).await?;
    slice.spend(forgotten);
    Ok(batches > 0)
}

/// As many of these batches as the budget allows, but one at least; how many batches and tasks.
async fn forget_batches(
    tx: &Tx<'_>,
    rows: &[Row],
    budget: usize,
) -> Result<(usize, usize), Failed> {
    let (mut queues, mut firsts): (Vec<i32>, Vec<i64>) = (Vec::new(), Vec::new());
    let (mut ids, mut batches): (Vec<Uuid>, Vec<i64>) = (Vec::new(), Vec::new());
    for row in rows {
        let first = row.try_get("first")?;
        let all: Vec<Uuid> = row.try_get("ids")?;
        if !firsts.is_empty() && ids.len() + all.len() > budget {
            break;
        }
        queues.push(row.try_get("queue")?);
        firsts.push(first);
        batches.extend(all.iter().map(|_| first));
        ids.extend(all);
    }
    if firsts.is_empty() {
        return Ok((0, 0));
    }
    let gone = tx.query(sql!("forget_tasks"), &[&ids, &batches]).await?;
    let with = |column| -> Result<Vec<&Row>, Failed> {
        let mut with = Vec::new();
        for row in &gone {
            if row.try_get(column)? {
                with.push(row);
            }
        }
        Ok(with)
    };
    let recorded = with("has_deliveries")?;
    let recorded: Vec<Uuid> =
        recorded.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?;
    let keyed = with("keyed")?;
    let keys: Vec<&str> =
        keyed.iter().map(|row| row.try_get("unique_key")).collect::<Result<_, _>>()?;
    let of: Vec<i32> = keyed.iter().map(|row| row.try_get("queue")).collect::<Result<_, _>>()?;
    let held: Vec<Uuid> = keyed.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?;
    let recorded: Params<'_> = &[&recorded];
    let held: Params<'_> = &[&of, &keys, &held];
    let over: Params<'_> = &[&queues, &firsts];
    try_join!(
        biased;
        tx.execute(sql!("delivery_drop"), recorded),
        tx.execute(sql!("holder_of"), held),
        tx.execute(sql!("completion_forget"), over),
        raise_floor(tx, &gone),
    )?;
    Ok((firsts.len(), ids.len()))
}
