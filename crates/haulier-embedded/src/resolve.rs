//! Turning what the engine names into what callers get: reading definitions, results, checkpoints
//! and failures from the disk.

use std::sync::Arc;

use bytes::Bytes;
use haulier_core::{
    Checkpoint, Code, Enqueued, Error, Include, Lease, Page, Payload, Result, Task, TaskView,
    filter::Subject, inspect, limits,
};

use crate::detail::{Delivery, Step};
use crate::engine::{self, Answer, Body, Draft, DraftPage, Granted};
use crate::log::{Files, Unreadable, read_part};
use crate::parts;

/// The error of somebody who asked for what is damaged.
fn damaged(unreadable: Unreadable) -> Error {
    tracing::error!(%unreadable, "a part of the log is damaged");
    Error::new(Code::Internal, "a part of the log is damaged; run `haulier verify`")
        .caused_by(unreadable)
}

fn task(files: &Files, body: &Body) -> Result<Arc<Task>, Unreadable> {
    match body {
        Body::Here(task) => Ok(Arc::clone(task)),
        Body::There(extent, envelope) => {
            let bytes = read_part(files, *extent)?;
            let task = parts::take_definition(&bytes, envelope.clone());
            task.map(Arc::new).map_err(|error| Unreadable::new(*extent, &error))
        }
    }
}

fn checkpoint(files: &Files, step: &Step) -> Result<Checkpoint, Unreadable> {
    Ok(Checkpoint { name: Arc::clone(&step.name), value: read_part(files, step.value)? })
}

/// A lease, whole.
///
/// # Errors
/// What it is for cannot be read.
pub fn lease(files: &Files, granted: &Granted) -> Result<Lease, Unreadable> {
    let steps = granted.checkpoints.iter();
    Ok(Lease {
        key: granted.key,
        task: task(files, &granted.body)?,
        attempt: granted.attempt,
        losses: granted.losses,
        ttl: granted.ttl,
        enqueued_at: granted.enqueued_at,
        checkpoints: steps.map(|step| checkpoint(files, step)).collect::<Result<_, _>>()?,
    })
}

/// The answer to an enqueued task.
///
/// # Errors
/// What it has to be compared with cannot be read.
pub fn enqueued(files: &Files, answer: Answer) -> Result<Enqueued> {
    match answer {
        Answer::Known(enqueued) => Ok(enqueued),
        Answer::Compare { there, state, came } => {
            let there = task(files, &there).map_err(damaged)?;
            Ok(if there.is_same_work(&came) {
                engine::existing(came.id, Some(state))
            } else {
                engine::id_conflict(came.id)
            })
        }
    }
}

/// A task as it stands.
///
/// # Errors
/// A part that was asked for cannot be read.
pub fn view(files: &Files, draft: &Draft, include: Include) -> Result<TaskView> {
    read_view(files, draft, include).map_err(damaged)
}

fn read_view(files: &Files, draft: &Draft, include: Include) -> Result<TaskView, Unreadable> {
    let mut task = task(files, &draft.body)?;
    if !include.payload {
        let bare = Arc::make_mut(&mut task);
        bare.payload = Payload::new(Bytes::new(), bare.payload.content_type.clone());
    }
    let steps = draft.steps().iter().map(|step| {
        if include.checkpoints {
            return checkpoint(files, step);
        }
        Ok(Checkpoint { name: Arc::clone(&step.name), value: Bytes::new() })
    });
    let result = match draft.result().filter(|_| include.result) {
        Some(extent) => {
            let bytes = read_part(files, extent)?;
            Some(parts::payload(&bytes).map_err(|error| Unreadable::new(extent, &error))?)
        }
        None => None,
    };
    Ok(TaskView {
        task,
        standing: draft.standing,
        epoch: draft.detail.epoch,
        enqueued_at: draft.enqueued_at,
        due_at: draft.due_at,
        finished_at: draft.detail.finished_at,
        unique: draft.unique(),
        lease: draft.lease.clone(),
        progress: draft.progress(),
        checkpoints: steps.collect::<Result<_, _>>()?,
        result,
        deliveries: draft
            .deliveries()
            .map(|delivery| read_delivery(files, delivery))
            .collect::<Result<_, _>>()?,
    })
}

fn read_delivery(files: &Files, delivery: &Delivery) -> Result<inspect::Delivery, Unreadable> {
    let failure = match delivery.failure {
        Some(extent) => {
            let bytes = read_part(files, extent)?;
            Some(parts::failure(&bytes).map_err(|error| Unreadable::new(extent, &error))?)
        }
        None => None,
    };
    Ok(inspect::Delivery {
        epoch: delivery.epoch,
        attempt: delivery.attempt,
        worker: delivery.worker.clone(),
        leased_at: delivery.leased_at,
        ended_at: delivery.end.map(|end| end.at),
        ended: delivery.end.map(|end| end.how),
        failure,
        late: delivery.end.is_some_and(|end| end.late),
    })
}

/// A page, read and filtered. It ends before its candidates do where it is full: of tasks, or of
/// bytes.
///
/// # Errors
/// A part that was asked for cannot be read.
pub fn page(files: &Files, draft: DraftPage, include: Include) -> Result<Page> {
    let (mut tasks, mut bytes) = (Vec::new(), 0);
    for candidate in &draft.drafts {
        if tasks.len() == draft.size {
            return Ok(short(tasks));
        }
        if let Some(filter) = &draft.filter {
            let task = task(files, &candidate.body).map_err(damaged)?;
            if !filter.matches(&subject(&task, candidate), draft.now) {
                continue;
            }
        }
        let view = view(files, candidate, include)?;
        bytes += view.bytes();
        if bytes > limits::PAGE_BYTES_MAX && !tasks.is_empty() {
            return Ok(short(tasks));
        }
        tasks.push(view);
    }
    Ok(Page { tasks, next: draft.next })
}

/// A page whose candidates are not through.
fn short(tasks: Vec<TaskView>) -> Page {
    let next = tasks.last().map(|last| engine::token(last.enqueued_at, last.task.id));
    Page { tasks, next }
}

fn subject<'a>(task: &'a Task, draft: &Draft) -> Subject<'a> {
    Subject {
        queue: task.queue.as_str(),
        kind: task.kind.as_str(),
        state: draft.standing.state,
        reason: draft.standing.reason,
        enqueued_at: draft.enqueued_at,
        labels: &task.labels,
    }
}
