//! A task's record as scripts write it, and what is shown of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use haulier_core::filter::Subject;
use haulier_core::{
    DeadReason, Delivery, Ended, Epoch, Failure, Kind, LeaseView, Payload, Policy, Priority,
    QueueName, Result, Standing, Task, TaskId, TaskView, Timestamp, Unique, Until, WorkerId,
};

use crate::about::{
    About, read_checkpoints, read_failure, read_maybe_span, read_payload, read_progress, read_span,
};
use crate::enqueue::state;
use crate::lease::epoch;
use crate::pack::{Value, misread};

/// What scripts keep of a task; the order is that of `encode` in `prelude.lua`.
#[derive(Debug)]
pub(crate) struct Record {
    queue: QueueName,
    kind: Kind,
    priority: Priority,
    standing: Standing,
    epoch: Epoch,
    enqueued_at: Timestamp,
    due_at: Timestamp,
    finished_at: Option<Timestamp>,
    max_attempts: u32,
    timeout: Duration,
    retain: Option<Duration>,
    unique: Option<Unique>,
    /// The holder, and when its lease ends.
    grant: Option<(WorkerId, u64)>,
    deliveries: Vec<Delivery>,
}

/// The large parts of a task that were read along.
#[derive(Debug)]
pub(crate) struct Parts {
    pub payload: Value,
    pub result: Value,
    pub progress: Value,
    pub checkpoints: Value,
    pub checkpoint_values: bool,
    pub failures: Value,
}

fn maybe_time(value: &Value) -> Result<Option<Timestamp>> {
    match value.int()? {
        -1 => Ok(None),
        _ => Ok(Some(Timestamp(value.count()?))),
    }
}

fn worker(value: &Value) -> Result<WorkerId> {
    WorkerId::new(value.text()?).map_err(|_| misread())
}

impl Record {
    pub fn read(blob: Bytes) -> Result<Self> {
        let parts = Value::read(blob)?.list()?;
        let mut parts = parts.into_iter();
        let mut next = || parts.next().ok_or_else(misread);
        let queue = QueueName::new(next()?.text()?).map_err(|_| misread())?;
        let kind = Kind::new(next()?.text()?).map_err(|_| misread())?;
        let priority = Priority::new(next()?.count()?).map_err(|_| misread())?;
        let state = state(&next()?)?;
        let reason = match next()?.int()? {
            -1 => None,
            number => Some(reason(number)?),
        };
        let standing = Standing {
            state,
            reason,
            attempt: next()?.count()?,
            losses: next()?.count()?,
            cancel_requested: next()?.bool()?,
            started: next()?.bool()?,
        };
        let epoch = epoch(&next()?, &next()?)?;
        let enqueued_at = Timestamp(next()?.count()?);
        let due_at = Timestamp(next()?.count()?);
        let finished_at = maybe_time(&next()?)?;
        let (_expires, _order) = (next()?, next()?);
        let (max_attempts, timeout) = (next()?.count()?, read_span(&next()?)?);
        let retain = read_maybe_span(&next()?)?;
        let (key, window, until_finish) = (next()?, next()?, next()?);
        let unique = match key.maybe() {
            None => None,
            Some(key) => Some(Unique {
                window: read_span(&window)?,
                until: if until_finish.bool()? { Until::Finish } else { Until::Start },
                ..Unique::new(key.text()?)
            }),
        };
        let grant = match next()?.maybe() {
            None => None,
            Some(grant) => {
                let [holder, _ttl, deadline, _ends, _stops] = grant.tuple()?;
                Some((worker(&holder)?, deadline.count()?))
            }
        };
        let deliveries = next()?.list()?.into_iter().map(delivery).collect::<Result<_>>()?;
        Ok(Self {
            queue,
            kind,
            priority,
            standing,
            epoch,
            enqueued_at,
            due_at,
            finished_at,
            max_attempts,
            timeout,
            retain,
            unique,
            grant,
            deliveries,
        })
    }

    /// What a filter looks at.
    pub fn subject<'a>(&'a self, about: &'a About) -> Subject<'a> {
        Subject {
            queue: self.queue.as_str(),
            kind: self.kind.as_str(),
            state: self.standing.state,
            reason: self.standing.reason,
            enqueued_at: self.enqueued_at,
            labels: &about.labels,
        }
    }

    /// The task as it stands; `now` is the time that leases count on.
    pub fn view(self, id: TaskId, about: About, parts: Parts, now: u64) -> Result<TaskView> {
        let payload = match parts.payload.maybe() {
            Some(bytes) => bytes.bytes()?,
            None => Bytes::new(),
        };
        let task = Task {
            id,
            queue: self.queue,
            kind: self.kind,
            payload: Payload { bytes: payload, content_type: about.content_type },
            priority: self.priority,
            policy: Policy {
                max_attempts: self.max_attempts,
                backoff: about.backoff,
                timeout: self.timeout,
                retain: self.retain,
            },
            expires_in: about.expires_in,
            headers: about.headers,
            labels: about.labels,
        };
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
            enqueued_at: self.enqueued_at,
            due_at: self.due_at,
            finished_at: self.finished_at,
            unique: self.unique.map(|unique| Unique { on_conflict: about.on_conflict, ..unique }),
            lease,
            progress: read_progress(parts.progress)?,
            checkpoints: read_checkpoints(parts.checkpoints, parts.checkpoint_values)?,
            result: read_payload(parts.result)?,
            deliveries,
        })
    }
}

fn reason(number: i64) -> Result<DeadReason> {
    let number = usize::try_from(number).map_err(|_| misread())?;
    DeadReason::ALL.get(number).copied().ok_or_else(misread)
}

fn delivery(value: Value) -> Result<Delivery> {
    let [high, low, attempt, by, leased_at, ended_at, ended, late, _answer, _has_failure] =
        value.tuple()?;
    let ended = match ended.int()? {
        -1 => None,
        number => {
            let number = usize::try_from(number).map_err(|_| misread())?;
            Some(Ended::ALL.get(number).copied().ok_or_else(misread)?)
        }
    };
    Ok(Delivery {
        epoch: epoch(&high, &low)?,
        attempt: attempt.count()?,
        worker: worker(&by)?,
        leased_at: Timestamp(leased_at.count()?),
        ended_at: maybe_time(&ended_at)?,
        ended,
        failure: None,
        late: late.bool()?,
    })
}
