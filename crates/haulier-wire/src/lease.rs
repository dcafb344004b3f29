//! Wants and leases.

use std::sync::Arc;

use haulier_core::clock::millis;
use haulier_core::{
    Checkpoint, Epoch, Kind, Lease, LeaseKey, QueueName, Result, Timestamp, Want, WantedQueue,
    WorkerId, limits,
};

use crate::pb;
use crate::task::{Names, Pen, decode_task, encode_id, encode_task, id, ms, span};
use crate::wrong::{Wrong, all, at, required};

/// A fence.
pub fn encode_key(key: LeaseKey) -> pb::LeaseKey {
    pb::LeaseKey { task: encode_id(key.task), epoch: key.epoch.0 }
}

pub(crate) fn key(task: &[u8], epoch: u64) -> Result<LeaseKey, Wrong> {
    Ok(LeaseKey { task: id(task, "task")?, epoch: Epoch(epoch) })
}

/// Reads fences.
///
/// # Errors
/// The first that is wrong.
pub fn decode_keys(keys: Vec<pb::LeaseKey>) -> Result<Vec<LeaseKey>> {
    Ok(all(keys, "keys", |held| key(&held.task, held.epoch))?)
}

/// Reads the name of a worker.
///
/// # Errors
/// If it is no name.
pub fn decode_worker(name: &str) -> Result<WorkerId> {
    Ok(WorkerId::new(name).map_err(at("worker"))?)
}

pub(crate) fn decode_kinds(kinds: &[String]) -> Result<Vec<Kind>, Wrong> {
    kinds.iter().map(|kind| Kind::new(kind).map_err(at("kinds"))).collect()
}

pub(crate) fn decode_queues(queues: &[String]) -> Result<Vec<QueueName>, Wrong> {
    queues.iter().map(|queue| QueueName::new(queue).map_err(at("queues"))).collect()
}

/// What a worker would like to have.
pub fn encode_want(want: &Want) -> pb::Want {
    pb::Want {
        worker: want.worker.as_str().to_owned(),
        queues: want
            .queues
            .iter()
            .map(|wanted| pb::WantedQueue {
                queue: wanted.queue.as_str().to_owned(),
                max: wanted.max,
            })
            .collect(),
        kinds: want.kinds.iter().map(|kind| kind.as_str().to_owned()).collect(),
        max: want.max,
        ttl_ms: Some(ms(want.ttl)),
    }
}

/// Reads the wants of a request.
///
/// # Errors
/// The first field that is wrong.
pub fn decode_wants(wants: Vec<pb::Want>) -> Result<Vec<Want>> {
    Ok(all(wants, "wants", decode_want)?)
}

/// Reads a want of `worker`'s stream, which need not name it again.
///
/// # Errors
/// A field that is wrong, or the name of another worker.
pub fn decode_own_want(want: Option<pb::Want>, worker: &WorkerId) -> Result<Want> {
    let mut want = required(want, "want")?;
    own(&mut want.worker, worker, "want.worker")?;
    Ok(decode_want(want).map_err(|wrong| wrong.within("want"))?)
}

/// Fills in, or compares, the name of the worker to whom a stream belongs.
pub(crate) fn own(name: &mut String, worker: &WorkerId, field: &'static str) -> Result<(), Wrong> {
    if name.is_empty() {
        worker.as_str().clone_into(name);
    }
    if name != worker.as_str() {
        return Err(Wrong::new(field, format!("is not {worker}, to whom this stream belongs")));
    }
    Ok(())
}

fn decode_want(want: pb::Want) -> Result<Want, Wrong> {
    let queues = all(want.queues, "queues", |wanted| {
        let queue = QueueName::new(wanted.queue).map_err(at("queue"))?;
        Ok(WantedQueue { queue, max: wanted.max })
    })?;
    Ok(Want {
        worker: WorkerId::new(want.worker).map_err(at("worker"))?,
        queues: queues.into(),
        kinds: decode_kinds(&want.kinds)?.into(),
        max: want.max,
        ttl: want.ttl_ms.map_or(limits::LEASE_TTL_DEFAULT, span),
    })
}

/// A lease. Its ttl is a promise: it is rounded down.
pub fn encode_lease(lease: &Lease, pen: &mut Pen) -> pb::Lease {
    pb::Lease {
        epoch: lease.key.epoch.0,
        task: Some(encode_task(&lease.task, pen)),
        attempt: lease.attempt,
        losses: lease.losses,
        ttl_ms: millis(lease.ttl),
        enqueued_at_ms: lease.enqueued_at.0,
        checkpoints: encode_checkpoints(&lease.checkpoints),
    }
}

/// Leases.
pub fn encode_leases(leases: &[Lease]) -> Vec<pb::Lease> {
    let mut pen = Pen::for_items(leases.len());
    leases.iter().map(|lease| encode_lease(lease, &mut pen)).collect()
}

/// Reads leases.
///
/// # Errors
/// The first field that is wrong.
pub fn decode_leases(leases: Vec<pb::Lease>, names: &mut Names) -> Result<Vec<Lease>> {
    Ok(all(leases, "leases", |lease| decode_lease(lease, names))?)
}

fn decode_lease(lease: pb::Lease, names: &mut Names) -> Result<Lease, Wrong> {
    let task =
        decode_task(required(lease.task, "task")?, names).map_err(|wrong| wrong.within("task"))?;
    Ok(Lease {
        key: LeaseKey { task: task.id, epoch: Epoch(lease.epoch) },
        task: Arc::new(task),
        attempt: lease.attempt,
        losses: lease.losses,
        ttl: span(lease.ttl_ms),
        enqueued_at: Timestamp(lease.enqueued_at_ms),
        checkpoints: decode_checkpoints(lease.checkpoints),
    })
}

pub(crate) fn encode_checkpoints(checkpoints: &[Checkpoint]) -> Vec<pb::Checkpoint> {
    checkpoints
        .iter()
        .map(|checkpoint| pb::Checkpoint {
            name: checkpoint.name.as_ref().to_owned(),
            value: checkpoint.value.clone(),
        })
        .collect()
}

pub(crate) fn decode_checkpoints(checkpoints: Vec<pb::Checkpoint>) -> Vec<Checkpoint> {
    checkpoints
        .into_iter()
        .map(|checkpoint| Checkpoint { name: checkpoint.name.into(), value: checkpoint.value })
        .collect()
}
