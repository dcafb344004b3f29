//! Waiting for news: a worker's own flag in the database says whether there is any. Who is woken
//! looks; and for all who wait in this process together it is looked again now and then, since what
//! other servers tell may be lost.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use haulier_core::{Result, WorkerId};

use crate::db::sql;
use crate::notify;
use crate::store::Inner;

/// Waits up to `wait` for something that the worker should know, and takes it.
pub(crate) async fn watch(inner: &Arc<Inner>, worker: WorkerId, wait: Duration) -> Result<bool> {
    let mut end = inner.clock.sleep(wait);
    let seat = inner.hub.watch(&worker);
    loop {
        // Whatever is told while we look wakes us afterwards.
        let mut told = pin!(seat.notify.notified());
        told.as_mut().enable();
        let news =
            inner.db.write_one("watch", sql!("worker_take_news"), &[&worker.as_str()]).await?;
        if !news.is_empty() {
            return Ok(true);
        }
        tokio::select! {
            () = told => {}
            () = &mut end => return Ok(false),
        }
    }
}

/// Begins to look for those who watch.
pub(crate) fn start(inner: &Arc<Inner>) {
    let task = keep_looking(Arc::clone(inner));
    inner.beside().spawn(task);
}

async fn keep_looking(inner: Arc<Inner>) {
    let mut closing = inner.closing();
    while !*closing.borrow() {
        tokio::select! {
            () = inner.pace.sleep(notify::tick(&inner)) => {}
            _ = closing.changed() => return,
        }
        let watched = inner.hub.watched();
        if watched.is_empty() {
            continue;
        }
        let names: Vec<&str> = watched.iter().map(WorkerId::as_str).collect();
        match inner.db.read_one("watch", sql!("worker_news"), &[&names]).await {
            Ok(rows) => {
                for worker in rows.iter().filter_map(|row| row.try_get(0).ok()) {
                    inner.hub.wake_watcher(worker);
                }
            }
            // Whoever watches asks for himself before long, and is told.
            Err(error) => tracing::debug!("looking for workers' news failed: {error:#}"),
        }
    }
}
