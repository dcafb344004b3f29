//! A queue's settings.

use std::sync::Arc;

use haulier_core::{
    Code, Error, QueueName, QueueSettings, Result, SettingsPatch, control::Retain, limits,
};
use tokio_postgres::Row;

use crate::db::{Failed, Tx, sql};
use crate::now::span as millis;
use crate::row::span;
use crate::store::Inner;

/// Changes a queue's settings and returns them all. Reading leaves no trace.
pub(crate) async fn configure(
    inner: &Arc<Inner>,
    queue: QueueName,
    patch: SettingsPatch,
) -> Result<QueueSettings> {
    patch.check()?;
    if patch.is_empty() {
        let name = queue.as_str();
        let read = |tx: Tx<'static>| async move {
            let row = tx.opt(sql!("queue_read"), &[&name]).await?;
            row.as_ref().map_or_else(|| Ok(QueueSettings::default()), read)
        };
        return inner.db.read("configure", read).await;
    }
    let Some(number) = inner.names.number(&inner.db, &queue).await? else {
        let message = format!("the store has {} queues already", limits::QUEUES_MAX);
        return Err(Error::new(Code::StorageFull, message));
    };
    let patch = &patch;
    let change = |tx: Tx<'static>| async move {
        let row = tx.one(sql!("queue_lock"), &[&number]).await?;
        let mut settings = read(&row)?;
        let before = settings.retain;
        patch.apply(&mut settings);
        write(&tx, number, &settings).await?;
        if settings.retain != before {
            keep_otherwise(&tx, number, &settings.retain).await?;
        }
        Ok(settings)
    };
    let settings = inner.db.write("configure", change).await?;
    inner.hub.changed(number);
    Ok(settings)
}

/// From a row of `queue`.
pub(crate) fn read(row: &Row) -> Result<QueueSettings, Failed> {
    let concurrency: Option<i32> = row.try_get("concurrency")?;
    let max_tasks: Option<i64> = row.try_get("max_tasks")?;
    Ok(QueueSettings {
        paused: row.try_get("paused")?,
        concurrency: concurrency.map(i32::unsigned_abs),
        max_tasks: max_tasks.map(i64::unsigned_abs),
        retain: Retain {
            completed: span(row.try_get("retain_completed")?),
            completed_count: row.try_get::<_, i64>("retain_count")?.unsigned_abs(),
            cancelled: span(row.try_get("retain_cancelled")?),
            dead: span(row.try_get("retain_dead")?),
        },
    })
}

async fn write(tx: &Tx<'_>, number: i32, settings: &QueueSettings) -> Result<(), Failed> {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let concurrency = settings.concurrency.map(|most| i32::try_from(most).unwrap_or(i32::MAX));
    let Retain { completed, completed_count, cancelled, dead } = settings.retain;
    tx.execute(
        sql!("queue_set"),
        &[
            &number,
            &settings.paused,
            &concurrency,
            &settings.max_tasks.map(count),
            &millis(completed),
            &count(completed_count),
            &millis(cancelled),
            &millis(dead),
        ],
    )
    .await?;
    Ok(())
}

/// Finished tasks without a retention of their own are kept as their queue says now.
async fn keep_otherwise(tx: &Tx<'_>, number: i32, retain: &Retain) -> Result<(), Failed> {
    let (completed, cancelled, dead) =
        (millis(retain.completed), millis(retain.cancelled), millis(retain.dead));
    tx.execute(sql!("task_keep"), &[&number, &completed, &cancelled, &dead]).await?;
    tx.execute(sql!("retention_look"), &[&[number].as_slice()]).await?;
    Ok(())
}
