//! What a worker over HTTP does: lease, beat. It has no connection to lose; its crash is found when
//! the ttl of its leases runs out.

use std::sync::Arc;

use bytes::Bytes;
use haulier_core::{Error, LeaseKey, QueueName, limits};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::enqueue::join;
use super::{
    Base64, Body, DirectiveWord, Epoch, HeldWord, IdText, Instant, KindText, Pairs, QueueText,
    Span, Text, Word, WorkerText,
};

/// Which tasks a worker would like to have.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Want {
    /// Whose leases they will be.
    pub worker: WorkerText,
    /// From which queues; `default` if left out.
    #[serde(default)]
    pub queues: Vec<QueueText>,
    /// Which kinds; every kind if left out.
    #[serde(default)]
    pub kinds: Vec<KindText>,
    /// How many at most; 1 if left out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1000)]
    pub max: Option<u32>,
    /// How long each lease lasts without a beat; 30 s if left out.
    #[serde(default)]
    pub ttl: Option<Span>,
    /// How long to wait for a task, at most 30 s; not at all if left out.
    #[serde(default)]
    pub wait: Option<Span>,
    /// What the worker is, for people.
    #[serde(default)]
    pub about: Option<AboutWorker>,
}

/// What a worker tells of itself, for people.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AboutWorker {
    /// Its version and language.
    #[schema(example = "haulier-python/0.1.0")]
    pub version: String,
    /// The queues that it serves.
    #[serde(default)]
    pub queues: Vec<QueueText>,
    /// The kinds that it knows; empty: all.
    #[serde(default)]
    pub kinds: Vec<KindText>,
    /// How many tasks it runs at a time.
    pub slots: u32,
}

/// Leases that were granted.
#[derive(Clone, Serialize, ToSchema)]
pub struct Leases {
    /// The leases; none if no task came in time.
    pub leases: Vec<Lease>,
    /// What operators want of the worker.
    pub directive: DirectiveWord,
}

/// The right to run a task for a while.
#[derive(Clone, Serialize, ToSchema)]
pub struct Lease {
    /// The task; with `epoch` the fence that every beat and settlement carries.
    pub task: IdText,
    /// The fence.
    pub epoch: Epoch,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Attempts after which the task is dead if it fails.
    pub max_attempts: u32,
    /// Leases of this task that ran out so far.
    pub losses: u32,
    /// How long the lease lasts without a beat. Count it from when you *sent* the request.
    pub ttl: Span,
    /// The longest that the attempt may run, beats or not.
    pub timeout: Span,
    /// The line it stood in.
    pub queue: QueueText,
    /// What it asks for.
    pub kind: KindText,
    /// 0 to 9, higher first.
    pub priority: u8,
    /// When it was accepted.
    pub enqueued_at: Instant,
    /// How to read the payload.
    pub content_type: String,
    /// The payload, if it is JSON; byte for byte as it was handed over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub payload: Option<Box<RawValue>>,
    /// The payload, if it is not JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_base64: Option<Base64>,
    /// As they were handed over.
    pub headers: Pairs,
    /// As they were handed over.
    pub labels: Pairs,
    /// What earlier deliveries saved.
    pub checkpoints: Vec<Checkpoint>,
}

/// A step that was done, with what it gave.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The step's name; unique within the task.
    pub name: String,
    /// What it gave, if that is JSON and was asked for.
    #[serde(
        default,
        deserialize_with = "super::bytes::given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<Value>)]
    pub value: Option<Box<RawValue>>,
    /// What it gave, if that is not JSON and was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<Base64>,
}

/// How far a handler has come.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// From 0 to 1.
    pub fraction: f64,
    /// What it is doing, for people.
    #[serde(default)]
    pub note: String,
}

/// A worker's sign of life: renews the leases that it lists.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Beat {
    /// Who is alive.
    pub worker: WorkerText,
    /// How long the leases last from now on; 30 s if left out.
    #[serde(default)]
    pub ttl: Option<Span>,
    /// The leases to keep; those that are not listed are left alone.
    #[serde(default)]
    pub leases: Vec<BeatLease>,
    /// What the worker is, for people.
    #[serde(default)]
    pub about: Option<AboutWorker>,
}

/// One lease of a beat.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BeatLease {
    /// The task.
    pub task: IdText,
    /// The fence.
    pub epoch: Epoch,
    /// How far the handler has come, if that is news.
    #[serde(default)]
    pub progress: Option<Progress>,
    /// Steps that were done since the last beat; stored once the beat is answered.
    #[serde(default)]
    pub checkpoints: Vec<Checkpoint>,
}

/// The answer to a beat.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BeatReply {
    /// What operators want of the worker.
    pub directive: DirectiveWord,
    /// One answer a lease, in the order of the beat.
    pub leases: Vec<HeldLease>,
}

/// Whether a lease is still the worker's.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct HeldLease {
    /// The task.
    pub task: IdText,
    /// The fence.
    pub epoch: Epoch,
    /// `yes`: renewed. `cancel`: renewed, but stop and settle as cancelled. `stale`: no longer
    /// yours, stop.
    pub held: HeldWord,
}

impl Want {
    /// The want for the store.
    pub fn to_core(&self) -> haulier_core::Want {
        let max = self.max.unwrap_or(1);
        let wanted = |queue| haulier_core::WantedQueue { queue, max };
        let mut queues: Arc<[_]> =
            self.queues.iter().map(|queue| wanted(queue.0.clone())).collect();
        if queues.is_empty() {
            queues = Arc::new([wanted(QueueName::default())]);
        }
        haulier_core::Want {
            worker: self.worker.0.clone(),
            queues,
            kinds: self.kinds.iter().map(|kind| kind.0.clone()).collect(),
            max,
            ttl: self.ttl.map_or(limits::LEASE_TTL_DEFAULT, |ttl| ttl.0),
        }
    }
}

impl AboutWorker {
    /// What the worker tells, for the store.
    pub fn into_core(self) -> haulier_core::WorkerAbout {
        haulier_core::WorkerAbout {
            version: self.version,
            queues: self.queues.into_iter().map(|queue| queue.0).collect(),
            kinds: self.kinds.into_iter().map(|kind| kind.0).collect(),
            slots: self.slots,
        }
    }
}

impl From<&haulier_core::WorkerAbout> for AboutWorker {
    fn from(about: &haulier_core::WorkerAbout) -> Self {
        Self {
            version: about.version.clone(),
            queues: about.queues.iter().cloned().map(Text).collect(),
            kinds: about.kinds.iter().cloned().map(Text).collect(),
            slots: about.slots,
        }
    }
}

impl From<&haulier_core::Lease> for Lease {
    fn from(lease: &haulier_core::Lease) -> Self {
        let task = &lease.task;
        let payload = Body::of(&task.payload);
        Self {
            task: Text(lease.key.task),
            epoch: Epoch(lease.key.epoch),
            attempt: lease.attempt,
            max_attempts: task.policy.max_attempts,
            losses: lease.losses,
            ttl: Span(lease.ttl),
            timeout: Span(task.policy.timeout),
            queue: Text(task.queue.clone()),
            kind: Text(task.kind.clone()),
            priority: task.priority.get(),
            enqueued_at: Instant(lease.enqueued_at),
            content_type: task.payload.content_type.to_string(),
            payload: payload.json,
            payload_base64: payload.base64,
            headers: Pairs(task.headers.clone()),
            labels: Pairs(task.labels.clone()),
            checkpoints: lease.checkpoints.iter().map(|done| Checkpoint::new(done, true)).collect(),
        }
    }
}

impl Checkpoint {
    /// A step, with its value if that was read.
    pub fn new(checkpoint: &haulier_core::Checkpoint, with_value: bool) -> Self {
        let body = if with_value { Body::of_bytes(&checkpoint.value) } else { Body::default() };
        Self { name: checkpoint.name.to_string(), value: body.json, value_base64: body.base64 }
    }

    fn into_core(self, path: &str) -> Result<haulier_core::Checkpoint, Error> {
        let body = Body { json: self.value, base64: self.value_base64 };
        let value = body.into_payload(None, &join(path, "value"))?;
        let value = value.map_or(Bytes::from_static(b"null"), |payload| payload.bytes);
        Ok(haulier_core::Checkpoint { name: self.name.into(), value })
    }
}

impl From<&haulier_core::Progress> for Progress {
    fn from(progress: &haulier_core::Progress) -> Self {
        Self { fraction: progress.fraction, note: progress.note.to_string() }
    }
}

impl Progress {
    fn into_core(self, path: &str) -> Result<haulier_core::Progress, Error> {
        if !(0.0..=1.0).contains(&self.fraction) {
            return Err(Error::invalid(join(path, "fraction"), "goes from 0 to 1"));
        }
        let note = haulier_core::lease::cut(&self.note);
        Ok(haulier_core::Progress { fraction: self.fraction, note })
    }
}

impl Beat {
    /// The beat for the store.
    ///
    /// # Errors
    /// A progress or checkpoint that cannot be one, with its path.
    pub fn into_core(self) -> Result<haulier_core::Beat, Error> {
        let leases = self.leases.into_iter().enumerate();
        Ok(haulier_core::Beat {
            worker: self.worker.0,
            about: self.about.map(|about| Arc::new(about.into_core())),
            ttl: self.ttl.map_or(limits::LEASE_TTL_DEFAULT, |ttl| ttl.0),
            leases: leases
                .map(|(at, lease)| lease.into_core(&format!("leases[{at}]")))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl BeatLease {
    fn into_core(self, path: &str) -> Result<haulier_core::LeaseBeat, Error> {
        let done = self.checkpoints.into_iter().enumerate();
        Ok(haulier_core::LeaseBeat {
            key: LeaseKey { task: self.task.0, epoch: self.epoch.0 },
            progress: self
                .progress
                .map(|progress| progress.into_core(&join(path, "progress")))
                .transpose()?,
            checkpoints: done
                .map(|(at, done)| done.into_core(&format!("{path}.checkpoints[{at}]")))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl BeatReply {
    /// The reply to a beat that listed `keys`.
    pub fn new(reply: &haulier_core::BeatReply, keys: &[LeaseKey]) -> Self {
        let leases = keys.iter().zip(&reply.held).map(|(key, held)| HeldLease {
            task: Text(key.task),
            epoch: Epoch(key.epoch),
            held: Word(*held),
        });
        Self { directive: Word(reply.directive), leases: leases.collect() }
    }
}
