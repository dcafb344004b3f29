//! What people and programs see: tasks, pages, queues, workers.

use std::sync::Arc;

use haulier_core::clock::millis;
use haulier_core::{
    Delivery, Epoch, Filter, Include, LeaseView, Page, PageRequest, QueueName, QueueStats, Result,
    Standing, State, StateCounts, TaskView, Timestamp, WorkerId, WorkerView,
};

use crate::beat::{about, decode_progress, encode_about, encode_progress};
use crate::control::{decode_settings, encode_settings};
use crate::enums;
use crate::lease::{decode_checkpoints, encode_checkpoints};
use crate::pb;
use crate::settle::{decode_failure, encode_failure};
use crate::task::{
    Names, Pen, decode_payload, decode_task, decode_unique, encode_task, payload, span, unique,
};
use crate::wrong::{Wrong, all, at, required};

/// Which large parts to read along.
pub fn encode_include(include: Include) -> pb::Include {
    pb::Include {
        payload: include.payload,
        result: include.result,
        checkpoints: include.checkpoints,
    }
}

/// Reads which large parts to read along; absent: none.
pub fn decode_include(include: Option<pb::Include>) -> Include {
    include.map_or_else(Include::default, |include| Include {
        payload: include.payload,
        result: include.result,
        checkpoints: include.checkpoints,
    })
}

/// A request for a page.
pub fn encode_list(filter: &Filter, page: &PageRequest) -> pb::ListRequest {
    pb::ListRequest {
        filter: filter.to_string(),
        // A size beyond the field's range is beyond the limit, too, and refused as such.
        size: Some(u32::try_from(page.size).unwrap_or(u32::MAX)),
        after: page.after.clone(),
        include: Some(encode_include(page.include)),
    }
}

/// Reads a request for a page.
///
/// # Errors
/// If the filter means nothing.
pub fn decode_list(request: pb::ListRequest) -> Result<(Filter, PageRequest)> {
    let filter = Filter::parse(&request.filter).map_err(at("filter"))?;
    let size = request
        .size
        .map_or(PageRequest::default().size, |size| usize::try_from(size).unwrap_or(usize::MAX));
    let include = decode_include(request.include);
    Ok((filter, PageRequest { size, after: request.after, include }))
}

/// A page.
pub fn encode_page(page: Page) -> pb::ListResponse {
    let mut pen = Pen::for_items(page.tasks.len());
    let tasks = page.tasks.iter().map(|view| encode_view(view, &mut pen)).collect();
    pb::ListResponse { tasks, next: page.next }
}

/// Reads a page.
///
/// # Errors
/// The first field that is wrong.
pub fn decode_page(response: pb::ListResponse) -> Result<Page> {
    let mut names = Names::default();
    let tasks = all(response.tasks, "tasks", |view| decode_view(view, &mut names))?;
    Ok(Page { tasks, next: response.next })
}

/// Tasks by id.
pub fn encode_found(views: &[Option<TaskView>]) -> pb::GetResponse {
    let mut pen = Pen::for_items(views.len());
    let found = |view: &Option<TaskView>| pb::Found {
        task: view.as_ref().map(|view| encode_view(view, &mut pen)),
    };
    pb::GetResponse { answers: views.iter().map(found).collect() }
}

/// Reads tasks by id.
///
/// # Errors
/// The first field that is wrong.
pub fn decode_found(response: pb::GetResponse) -> Result<Vec<Option<TaskView>>> {
    let mut names = Names::default();
    Ok(all(response.answers, "answers", |found| {
        found.task.map(|view| decode_view(view, &mut names)).transpose()
    })?)
}

fn encode_view(view: &TaskView, pen: &mut Pen) -> pb::TaskView {
    pb::TaskView {
        task: Some(encode_task(&view.task, pen)),
        standing: Some(encode_standing(&view.standing)),
        epoch: view.epoch.0,
        enqueued_at_ms: view.enqueued_at.0,
        due_at_ms: view.due_at.0,
        finished_at_ms: view.finished_at.map(|time| time.0),
        unique: view.unique.as_ref().map(unique),
        lease: view.lease.as_ref().map(|lease| pb::LeaseView {
            worker: lease.worker.as_str().to_owned(),
            expires_in_ms: millis(lease.expires_in),
        }),
        progress: view.progress.as_ref().map(encode_progress),
        checkpoints: encode_checkpoints(&view.checkpoints),
        result: view.result.clone().map(payload),
        deliveries: view.deliveries.iter().map(encode_delivery).collect(),
    }
}

fn decode_view(view: pb::TaskView, names: &mut Names) -> Result<TaskView, Wrong> {
    let task =
        decode_task(required(view.task, "task")?, names).map_err(|wrong| wrong.within("task"))?;
    Ok(TaskView {
        task: Arc::new(task),
        standing: decode_standing(required(view.standing, "standing")?)?,
        epoch: Epoch(view.epoch),
        enqueued_at: Timestamp(view.enqueued_at_ms),
        due_at: Timestamp(view.due_at_ms),
        finished_at: view.finished_at_ms.map(Timestamp),
        unique: view.unique.map(decode_unique).transpose()?,
        lease: view.lease.map(decode_lease_view).transpose()?,
        progress: view.progress.map(decode_progress),
        checkpoints: decode_checkpoints(view.checkpoints),
        result: view.result.map(|result| decode_payload(result, names)).transpose()?,
        deliveries: all(view.deliveries, "deliveries", decode_delivery)?,
    })
}

fn decode_lease_view(lease: pb::LeaseView) -> Result<LeaseView, Wrong> {
    let worker = WorkerId::new(lease.worker).map_err(at("lease.worker"))?;
    Ok(LeaseView { worker, expires_in: span(lease.expires_in_ms) })
}

fn encode_standing(standing: &Standing) -> pb::Standing {
    pb::Standing {
        state: enums::state(standing.state),
        reason: standing.reason.map_or(0, enums::reason),
        attempt: standing.attempt,
        losses: standing.losses,
        cancel_requested: standing.cancel_requested,
        started: standing.started,
    }
}

fn decode_standing(standing: pb::Standing) -> Result<Standing, Wrong> {
    Ok(Standing {
        state: enums::decode_state(standing.state, "standing.state")?,
        reason: enums::optional(standing.reason, "standing.reason", enums::decode_reason)?,
        attempt: standing.attempt,
        losses: standing.losses,
        cancel_requested: standing.cancel_requested,
        started: standing.started,
    })
}

fn encode_delivery(delivery: &Delivery) -> pb::Delivery {
    pb::Delivery {
        epoch: delivery.epoch.0,
        attempt: delivery.attempt,
        worker: delivery.worker.as_str().to_owned(),
        leased_at_ms: delivery.leased_at.0,
        ended_at_ms: delivery.ended_at.map(|time| time.0),
        ended: delivery.ended.map_or(0, enums::ended),
        failure: delivery.failure.as_ref().map(encode_failure),
        late: delivery.late,
    }
}

fn decode_delivery(delivery: pb::Delivery) -> Result<Delivery, Wrong> {
    Ok(Delivery {
        epoch: Epoch(delivery.epoch),
        attempt: delivery.attempt,
        worker: WorkerId::new(delivery.worker).map_err(at("worker"))?,
        leased_at: Timestamp(delivery.leased_at_ms),
        ended_at: delivery.ended_at_ms.map(Timestamp),
        ended: enums::optional(delivery.ended, "ended", enums::decode_ended)?,
        failure: delivery.failure.as_ref().map(decode_failure).transpose()?,
        late: delivery.late,
    })
}

/// A queue as it stands. States without tasks are left out.
pub fn encode_queue(stats: &QueueStats) -> pb::QueueStats {
    let counts = State::ALL.into_iter().map(|state| (state, stats.counts.get(state)));
    pb::QueueStats {
        queue: stats.queue.as_str().to_owned(),
        counts: counts
            .filter(|(_, count)| *count > 0)
            .map(|(state, count)| pb::StateCount { state: enums::state(state), count })
            .collect(),
        oldest_available_ms: stats.oldest_available.map(millis),
        settings: Some(encode_settings(&stats.settings)),
        accepted: stats.accepted,
        removed: stats.removed,
        finished: stats.finished,
    }
}

/// Reads queues.
///
/// # Errors
/// The first field that is wrong.
pub fn decode_queues(response: pb::QueuesResponse) -> Result<Vec<QueueStats>> {
    Ok(all(response.queues, "queues", decode_queue)?)
}

fn decode_queue(stats: pb::QueueStats) -> Result<QueueStats, Wrong> {
    let mut counts = StateCounts::default();
    for told in stats.counts {
        *counts.slot(enums::decode_state(told.state, "counts.state")?) = told.count;
    }
    Ok(QueueStats {
        queue: QueueName::new(stats.queue).map_err(at("queue"))?,
        counts,
        oldest_available: stats.oldest_available_ms.map(span),
        settings: decode_settings(&required(stats.settings, "settings")?),
        accepted: stats.accepted,
        removed: stats.removed,
        finished: stats.finished,
    })
}

/// A worker as it was heard of last.
pub fn encode_worker(view: &WorkerView) -> pb::WorkerView {
    pb::WorkerView {
        worker: view.worker.as_str().to_owned(),
        about: view.about.as_deref().map(encode_about),
        directive: enums::directive(view.directive),
        leases: view.leases,
        silent_for_ms: millis(view.silent_for),
    }
}

/// Reads workers.
///
/// # Errors
/// The first field that is wrong.
pub fn decode_workers(response: pb::WorkersResponse) -> Result<Vec<WorkerView>> {
    Ok(all(response.workers, "workers", |view| {
        Ok(WorkerView {
            worker: WorkerId::new(view.worker).map_err(at("worker"))?,
            about: view.about.map(about).transpose()?.map(Arc::new),
            directive: enums::decode_directive(view.directive, "directive")?,
            leases: view.leases,
            silent_for: span(view.silent_for_ms),
        })
    })?)
}
