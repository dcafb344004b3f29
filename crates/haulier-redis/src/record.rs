//! Where a task stands, as scripts write it, and what is shown of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use haulier_core::filter::Subject;
use haulier_core::{
    DeadReason, Delivery, Ended, Epoch, Error, Failure, LeaseView, Result, Standing, State,
    TaskView, Timestamp, WorkerId,
};

use crate::about::{read_checkpoints, read_failure, read_payload, read_progress};
use crate::definition::{Definition, state};
use crate::fields::{Fields, text};
use crate::lease::epoch;
use crate::pack::{Value, misread};

const CANCEL: u8 = 1;
const STARTED: u8 = 2;
const LATE: u8 = 4;
const HAS_DELIVERY: u8 = 16;
const HAS_GRANT: u8 = 32;

/// A task as it stands; the order of a standing's fields is that of `STANDING` in `prelude.lua`.
#[derive(Debug)]
pub(crate) struct Record {
    definition: Definition,
    standing: Standing,
    epoch: Epoch,
    due_at: Timestamp,
    finished_at: Option<Timestamp>,
    /// The holder, and when its lease ends.
    grant: Option<(WorkerId, u64)>,
    deliveries: Vec<Delivery>,
}

/// The large parts of a task that were read along.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The payload, if it is kept apart and was asked for.
    pub payload: Value,
    /// Whether the payload was asked for.
    pub with_payload: bool,
    pub result: Value,
    pub progress: Value,
    pub checkpoints: Value,
    pub checkpoint_values: bool,
    pub failures: Value,
}

/// What a new lease says of itself.
#[derive(Debug)]
pub(crate) struct Granted {
    pub epoch: Epoch,
    pub attempt: u32,
    pub losses: u32,
}

impl Granted {
    /// Reads it from the standing.
    pub fn read(standing: Bytes) -> Result<Self> {
        let mut fields = Fields::of(standing);
        // State, reason, flags, two of the newest delivery, two times, the order.
        fields.bytes(29)?;
        Ok(Self { epoch: Epoch(fields.long()?), attempt: fields.count()?, losses: fields.count()? })
    }
}

fn worker(name: &str) -> Result<WorkerId> {
    WorkerId::new(name).map_err(|_| misread())
}

impl Record {
    /// Reads a task; without a standing it is as it was taken in.
    pub fn read(definition: Definition, standing: Option<Bytes>) -> Result<Self> {
        match standing {
            Some(standing) => Self::read_standing(definition, standing),
            None => Ok(Self {
                standing: Standing::new(definition.state == State::Available),
                epoch: Epoch(0),
                due_at: definition.due_at,
                finished_at: None,
                grant: None,
                deliveries: Vec::new(),
                definition,
            }),
        }
    }

    fn read_standing(definition: Definition, bytes: Bytes) -> Result<Self> {
        let mut fields = Fields::of(bytes);
        let state = state(fields.byte()?)?;
        let reason = match fields.small()? {
            -1 => None,
            number => Some(reason(number)?),
        };
        let flags = fields.byte()?;
        let (how, _answer) = (fields.small()?, fields.small()?);
        let finished_at = fields.maybe_long()?.map(Timestamp);
        let ended_at = fields.maybe_long()?.map(Timestamp);
        let _order = fields.long()?;
        let epoch = Epoch(fields.long()?);
        let (attempt, losses) = (fields.count()?, fields.count()?);
        let _enqueued = fields.long()?;
        let due_at = Timestamp(fields.long()?);
        let _expires = fields.long()?;
        let leased_at = Timestamp(fields.long()?);
        let delivered_as = fields.count()?;
        let (_ttl, deadline) = (fields.long()?, fields.long()?);
        let (_ends, _stops) = (fields.long()?, fields.long()?);
        let (holder, _queue) = (fields.name()?, fields.name()?);
        let older = fields.rest();
        let mut deliveries = Vec::new();
        if flags & HAS_DELIVERY != 0 {
            if !older.is_empty() {
                let older = Value::read(older)?.list()?;
                deliveries = older.into_iter().map(delivery).collect::<Result<_>>()?;
            }
            deliveries.push(Delivery {
                epoch,
                attempt: delivered_as,
                worker: worker(text(&holder)?)?,
                leased_at,
                ended_at,
                ended: ended(how.into())?,
                failure: None,
                late: flags & LATE != 0,
            });
        }
        let grant = match flags & HAS_GRANT {
            0 => None,
            _ => Some((worker(text(&holder)?)?, deadline)),
        };
        let standing = Standing {
            state,
            reason,
            attempt,
            losses,
            cancel_requested: flags & CANCEL != 0,
            started: flags & STARTED != 0,
        };
        Ok(Self { definition, standing, epoch, due_at, finished_at, grant, deliveries })
    }

    /// What a filter looks at.
    pub fn subject(&self) -> Subject<'_> {
        let Definition { task, enqueued_at, .. } = &self.definition;
        Subject {
            queue: task.queue.as_str(),
            kind: task.kind.as_str(),
            state: self.standing.state,
            reason: self.standing.reason,
            enqueued_at: *enqueued_at,
            labels: &task.labels,
        }
    }

    /// The task as it stands; `now` is the time that leases count on.
    pub fn view(self, parts: Parts, now: u64) -> Result<TaskView> {
        let mut definition = self.definition;
        if let Some(apart) = parts.payload.maybe() {
            definition.task.payload.bytes = apart.bytes()?;
        }
        if parts.with_payload && !definition.is_sound() {
            let id = definition.task.id;
            let text = format!("task {id} is damaged in Redis: its checksum does not hold");
            return Err(Error::internal(text));
        }
        let Definition { mut task, enqueued_at, unique, .. } = definition;
        if !parts.with_payload {
            task.payload.bytes = Bytes::new();
        }
        let failures = parts.failures.list()?.into_iter().map(read_failure);
        let failures: Vec<Option<Failure>> = failures.collect::<Result<_>>()?;
        let mut deliveries = self.deliveries;
        for (delivery, failure) in deliveries.iter_mut().zip(failures) {
            delivery.failure = failure;
        }
        let lease = self.grant.map(|(worker, deadline)| LeaseView {
            worker,
            expires_in: Duration::from_millis(deadline.saturating_sub(now)),
        });
        Ok(TaskView {
            task: Arc::new(task),
            standing: self.standing,
            epoch: self.epoch,
            enqueued_at,
            due_at: self.due_at,
            finished_at: self.finished_at,
            unique,
            lease,
            progress: read_progress(parts.progress)?,
            checkpoints: read_checkpoints(parts.checkpoints, parts.checkpoint_values)?,
            result: read_payload(parts.result)?,
            deliveries,
        })
    }
}

fn reason(number: i8) -> Result<DeadReason> {
    let number = usize::try_from(number).map_err(|_| misread())?;
    DeadReason::ALL.get(number).copied().ok_or_else(misread)
}

fn ended(number: i64) -> Result<Option<Ended>> {
    match number {
        -1 => Ok(None),
        number => {
            let number = usize::try_from(number).map_err(|_| misread())?;
            Ended::ALL.get(number).copied().map(Some).ok_or_else(misread)
        }
    }
}

/// A delivery before the newest.
fn delivery(value: Value) -> Result<Delivery> {
    let [high, low, attempt, by, leased_at, ended_at, how, late, _answer, _has_failure] =
        value.tuple()?;
    let ended_at = match ended_at.int()? {
        -1 => None,
        _ => Some(Timestamp(ended_at.count()?)),
    };
    Ok(Delivery {
        epoch: epoch(&high, &low)?,
        attempt: attempt.count()?,
        worker: worker(by.text()?)?,
        leased_at: Timestamp(leased_at.count()?),
        ended_at,
        ended: ended(how.int()?)?,
        failure: None,
        late: late.bool()?,
    })
}
