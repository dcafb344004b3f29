//! Workers: who is known, what they are told, and waiting for it. A worker's own flag in Redis says
//! whether there is news; for all who wait in this process together it is looked at again now and
//! then, since what other servers tell may be lost.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use haulier_core::{Directive, Result, WorkerId, WorkerView};

use crate::about::read_span;
use crate::beat::{directive, read_about};
use crate::pack::{Pack, Value, misread};
use crate::store::Inner;
use crate::{notify, script};

/// Every worker that is known, by id.
pub(crate) async fn workers(inner: &Inner) -> Result<Vec<WorkerView>> {
    let found = inner.write(&script::WORKERS, empty()).await?.list()?;
    let view = |value: Value| {
        let [name, about, number, silent_for, leases] = value.tuple()?;
        Ok(WorkerView {
            worker: WorkerId::new(name.text()?).map_err(|_| misread())?,
            about: read_about(about)?.map(Arc::new),
            directive: directive(&number)?,
            leases: leases.count()?,
            silent_for: read_span(&silent_for)?,
        })
    };
    let mut views: Vec<WorkerView> = found.into_iter().map(view).collect::<Result<_>>()?;
    views.sort_unstable_by(|a, b| a.worker.cmp(&b.worker));
    Ok(views)
}

/// No arguments.
fn empty() -> Pack {
    let mut args = Pack::new();
    args.array(0);
    args
}

/// Tells workers what to do; `false` for those that were never heard of.
pub(crate) async fn direct(
    inner: &Inner,
    workers: &[WorkerId],
    directive: Directive,
) -> Result<Vec<bool>> {
    let number = match directive {
        Directive::Run => 0,
        Directive::Quiet => 1,
        Directive::Stop => 2,
    };
    let mut args = Pack::new();
    args.array(2).int(number).texts(workers);
    let known = inner.write(&script::DIRECT, args).await?.list()?;
    known.iter().map(Value::bool).collect()
}

/// Waits up to `wait` for something that the worker should know, and takes it.
pub(crate) async fn watch(inner: &Arc<Inner>, worker: WorkerId, wait: Duration) -> Result<bool> {
    let mut end = inner.clock.sleep(wait);
    let seat = inner.hub.watch(&worker);
    loop {
        // Whatever is told while we look wakes us afterwards.
        let mut told = pin!(seat.notify.notified());
        told.as_mut().enable();
        let mut args = Pack::new();
        args.texts([&worker]);
        if inner.write(&script::WATCH, args).await?.bool()? {
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
        // Whoever watches asks for himself before long, and is told.
        if let Err(error) = look(&inner, &watched).await {
            tracing::debug!("looking for workers' news failed: {error:#}");
        }
    }
}

async fn look(inner: &Inner, watched: &[WorkerId]) -> Result<()> {
    let mut args = Pack::new();
    args.texts(watched);
    for worker in inner.read(&script::NEWS, args).await?.list()? {
        inner.hub.wake_watcher(worker.text()?);
    }
    Ok(())
}
