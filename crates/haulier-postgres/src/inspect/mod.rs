//! Looking: single tasks, pages, queues. All that a call shows was true at one moment, and is
//! durable (I12).

mod list;
mod queues;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use haulier_core::{Include, Result, TaskId, TaskView, limits};
use tokio::try_join;
use uuid::Uuid;

use crate::db::{Failed, Params, Tx, sql};
use crate::delivery::{Record, Recorded};
use crate::row::{Reader, uuid};
use crate::store::Inner;

pub(crate) use list::list;
pub(crate) use queues::{Heads, queues};

/// Who waits for a task that another server may finish looks this often, at first and later on.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const LOOK_EVERY_MAX: Duration = Duration::from_secs(1);

/// Tasks with these ids, once every known one is final, or after `wait`.
pub(crate) async fn get(
    inner: &Arc<Inner>,
    ids: Vec<TaskId>,
    include: Include,
    wait: Duration,
) -> Result<Vec<Option<TaskView>>> {
    let keys: Vec<Uuid> = ids.iter().copied().map(uuid).collect();
    if !wait.is_zero() {
        until_final(inner, &keys, wait.min(limits::WAIT_MAX)).await?;
    }
    let keys = &keys;
    let look = |tx: Tx<'static>| async move { views(&tx, keys, include).await };
    let views = inner.db.read("get", look).await?;
    Ok(ids.iter().map(|id| views.get(id).cloned()).collect())
}

/// Waits until no known one of these tasks is left that is not final.
async fn until_final(inner: &Arc<Inner>, ids: &[Uuid], wait: Duration) -> Result<()> {
    let deadline = inner.clock.monotonic().saturating_add(wait);
    let mut finishes = inner.hub.finishes();
    let mut pause = LOOK_EVERY;
    loop {
        finishes.mark_unchanged();
        let rows = inner.db.read_one("get", sql!("task_unfinished"), &[&ids]).await?;
        let left = deadline.saturating_sub(inner.clock.monotonic());
        if rows.is_empty() || left.is_zero() {
            return Ok(());
        }
        tokio::select! {
            _ = finishes.changed() => {}
            () = inner.pace.sleep(pause) => pause = (pause * 2).min(LOOK_EVERY_MAX),
            () = inner.clock.sleep(left) => {}
        }
    }
}

/// Tasks as they stand, by their ids; those that are unknown are missing.
async fn views(
    tx: &Tx<'_>,
    ids: &[Uuid],
    include: Include,
) -> Result<HashMap<TaskId, TaskView>, Failed> {
    let Include { payload, result, checkpoints } = include;
    let parts: Params<'_> = &[&ids, &payload, &result, &checkpoints];
    let (now, rows) = try_join!(biased; tx.now(), tx.query(sql!("task_views"), parts))?;
    let reader = Reader::of(&rows);
    let mut known = Vec::with_capacity(rows.len());
    for row in &rows {
        known.push(reader.known(row)?);
    }
    let recorded = Recorded::read(tx, known.iter()).await?;
    let mut views = HashMap::with_capacity(rows.len());
    for (row, task) in rows.iter().zip(&known) {
        let deliveries = recorded.of(task).iter().map(Record::delivery).collect();
        views.insert(task.id, reader.view(row, deliveries, &now)?);
    }
    Ok(views)
}
