//! What operators do: call off, have done again, forget, set.

use std::time::Duration;

use haulier_core::control::Retain;
use haulier_core::{
    Changed, Code, Error, QueueName, QueueSettings, Refusal, Result, SettingsPatch, State, TaskId,
    limits,
};

use crate::about::{read_span, span};
use crate::db::whole;
use crate::enqueue::state;
use crate::pack::{Pack, Value, misread};
use crate::script::{self, Script};
use crate::store::Inner;

/// Calls tasks off.
pub(crate) async fn cancel(inner: &Inner, ids: &[TaskId]) -> Result<Vec<Changed>> {
    let refuse = |state| format!("the task is {state} already; it cannot be cancelled");
    change(inner, &script::CANCEL, ids, refuse).await
}

/// Makes final tasks available again.
pub(crate) async fn rerun(inner: &Inner, ids: &[TaskId]) -> Result<Vec<Changed>> {
    let refuse = |state| {
        format!("the task is {state}; only completed, cancelled or dead tasks can be rerun")
    };
    change(inner, &script::RERUN, ids, refuse).await
}

/// Forgets tasks that do not run.
pub(crate) async fn delete(inner: &Inner, ids: &[TaskId]) -> Result<Vec<Changed>> {
    let refuse =
        |state| format!("the task is {state}; cancel it first, and delete it when it has stopped");
    change(inner, &script::DELETE, ids, refuse).await
}

async fn change(
    inner: &Inner,
    script: &Script,
    ids: &[TaskId],
    refuse: impl Fn(State) -> String,
) -> Result<Vec<Changed>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut args = Pack::new();
    args.list(ids, |args, id| {
        args.bytes(id.to_bytes());
    });
    let answers = inner.write(script, args).await?.list()?;
    if answers.len() != ids.len() {
        return Err(misread());
    }
    let read = |answer: Value| {
        let parts = answer.list()?;
        match (parts.first().ok_or_else(misread)?.int()?, parts.get(1)) {
            (0, Some(number)) => Ok(Changed::Done(state(number)?)),
            (1, _) => Ok(Changed::NotFound),
            (2, Some(number)) => {
                Ok(Changed::Refused(Refusal::new(Code::Final, refuse(state(number)?))))
            }
            _ => Err(misread()),
        }
    };
    answers.into_iter().map(read).collect()
}

/// Changes a queue's settings, and returns them all. Reading leaves no trace.
pub(crate) async fn configure(
    inner: &Inner,
    queue: &QueueName,
    patch: &SettingsPatch,
) -> Result<QueueSettings> {
    patch.check()?;
    let mut args = Pack::new();
    args.array(8).bytes(queue.as_str());
    let mut set = |number: Option<i64>| {
        let _ = match number {
            Some(number) => args.int(number),
            None => args.bool(false),
        };
    };
    let kept = |of: Option<Duration>| of.map(span);
    set(patch.paused.map(i64::from));
    set(patch.concurrency.map(|most| most.map_or(-1, i64::from)));
    set(patch.max_tasks.map(|most| most.map_or(-1, whole)));
    set(kept(patch.retain_completed));
    set(patch.retain_completed_count.map(whole));
    set(kept(patch.retain_cancelled));
    set(kept(patch.retain_dead));
    let answer = inner.write(&script::CONFIGURE, args).await?;
    let Some(answer) = answer.maybe() else {
        let message = format!("the store has {} queues already", limits::QUEUES_MAX);
        return Err(Error::new(Code::StorageFull, message));
    };
    let [paused, concurrency, max_tasks, retain] = answer.tuple()?;
    settings(&paused, &concurrency, &max_tasks, retain)
}

/// Settings as scripts keep them.
pub(crate) fn settings(
    paused: &Value,
    concurrency: &Value,
    max_tasks: &Value,
    retain: Value,
) -> Result<QueueSettings> {
    let [completed, count, cancelled, dead] = retain.tuple()?;
    Ok(QueueSettings {
        paused: paused.bool()?,
        // -1: no limit.
        concurrency: concurrency.count().ok(),
        max_tasks: max_tasks.count().ok(),
        retain: Retain {
            completed: read_span(&completed)?,
            completed_count: count.count()?,
            cancelled: read_span(&cancelled)?,
            dead: read_span(&dead)?,
        },
    })
}
