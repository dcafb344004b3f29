//! Tasks whose rows are locked, so that a decision about them holds until it is committed.
//!
//! The order is the same everywhere: lines, leases, tasks, each ascending. What is read stands in a
//! statement of its own, after the locks: it must see what those have done who held them before.

use std::collections::HashMap;

use haulier_core::TaskId;
use tokio::try_join;
use uuid::Uuid;

use crate::db::{Failed, Params, Tx, sql};
use crate::known::Known;
use crate::now::Now;
use crate::row::{Reader, uuid};

/// What stands of these tasks, whose rows are locked already, if they are known.
pub(crate) async fn standing(tx: &Tx<'_>, ids: &[Uuid]) -> Result<Vec<Known>, Failed> {
    let rows = tx.query(sql!("standing"), &[&ids]).await?;
    let reader = Reader::of(&rows);
    let mut tasks = Vec::with_capacity(rows.len());
    for row in &rows {
        let task = reader.known(row)?;
        if !task.gone {
            tasks.push(task);
        }
    }
    Ok(tasks)
}

/// Locks whatever there is of these tasks: nobody else leases, settles or removes one of them until
/// the end of the transaction.
pub(crate) async fn lock(
    tx: &Tx<'_>,
    ids: &[TaskId],
) -> Result<(Now, HashMap<TaskId, Known>), Failed> {
    // Six statements at once are large.
    Box::pin(lock_all(tx, ids)).await
}

async fn lock_all(tx: &Tx<'_>, ids: &[TaskId]) -> Result<(Now, HashMap<TaskId, Known>), Failed> {
    let ids: Vec<Uuid> = ids.iter().copied().map(uuid).collect();
    let rows = tx.query(sql!("task_queues"), &[&ids]).await?;
    let queues = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i32>, _>>()?;
    let (lines, rows): (Params<'_>, Params<'_>) = (&[&queues], &[&ids]);
    let (_, _, _, _, now, tasks) = try_join!(
        biased;
        tx.query(sql!("line_lock"), lines),
        tx.query(sql!("lease_lock"), rows),
        tx.query(sql!("task_lock"), rows),
        tx.execute(sql!("retention_lock"), lines),
        tx.now(),
        standing(tx, &ids),
    )?;
    Ok((now, tasks.into_iter().map(|task| (task.id, task)).collect()))
}
