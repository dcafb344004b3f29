//! Rows and core's nouns. Columns are found by their names, once a result, so that a statement
//! selects what it needs, in any order; parts that it does not select come back empty.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use haulier_core::control::Retain;
use haulier_core::{
    Backoff, Checkpoint, DeadReason, Delivery, Epoch, Error, Kind, LeaseView, OnConflict, Payload,
    Policy, Priority, Progress, QueueName, Standing, State, Task, TaskId, TaskView, Timestamp,
    Unique, Until, WorkerId,
};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use crate::db::Failed;
use crate::known::{Grant, Known, Plain};
use crate::now::{Now, timestamp};
use crate::text::unescape;

/// A column that was not selected.
const NOWHERE: usize = usize::MAX;

macro_rules! reader {
    ($($column:ident),* $(,)?) => {
        /// Where the columns of `standing` and `whole`, and of a claim, are in a result.
        #[derive(Debug)]
        pub(crate) struct Reader { $($column: usize),* }

        impl Reader {
            /// For these rows.
            pub(crate) fn of(rows: &[Row]) -> Self {
                let columns = rows.first().map(Row::columns).unwrap_or_default();
                let find = |name: &str| {
                    columns.iter().position(|column| column.name() == name).unwrap_or(NOWHERE)
                };
                Self { $($column: find(stringify!($column))),* }
            }
        }
    };
}

reader! {
    id, queue, state, reason, priority, attempt, losses, started, cancel_requested, epoch,
    enqueued_at, due_at, finished_at, finish, expires_at, has_deliveries, leased_at, worker,
    late, max_attempts, timeout, retain, unique_key, unique_window, unique_until, lease_epoch,
    lease_deadline, lease_ends, lease_stops, lease_ttl, lease_leased_at, lease_attempt,
    lease_worker, retain_completed, retain_cancelled, retain_dead, gone, queue_name, kind, payload,
    content_type, backoff, expires_in, headers, labels, unique_conflict, result, result_type,
    progress, progress_note, checkpoints, checkpoint_values, granted, nth,
}

/// What a column says, or nothing if it was not selected.
fn part<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Result<Option<T>, Failed> {
    if at == NOWHERE { Ok(None) } else { Ok(row.try_get(at)?) }
}

fn get<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Result<T, Failed> {
    Ok(row.try_get(at)?)
}

impl Reader {
    /// The task's id.
    pub(crate) fn id(&self, row: &Row) -> Result<TaskId, Failed> {
        Ok(id(get(row, self.id)?))
    }

    /// Where the task stands, for whoever decides about it.
    pub(crate) fn known(&self, row: &Row) -> Result<Known, Failed> {
        let grant = self.grant(row)?;
        let state = state(get(row, self.state)?);
        let leased_at: Option<i64> = get(row, self.leased_at)?;
        let plain = match (leased_at, part(row, self.worker)?) {
            (Some(at), Some(by)) if state == Some(State::Completed) => Some(Plain {
                leased_at: timestamp(at),
                worker: worker(by)?,
                late: get(row, self.late)?,
            }),
            _ => None,
        };
        let standing = Standing {
            state: if grant.is_some() { State::Running } else { state.unwrap_or(State::Completed) },
            reason: if state == Some(State::Dead) { reason(get(row, self.reason)?) } else { None },
            attempt: match &grant {
                Some(grant) => grant.attempt,
                None => count(get(row, self.attempt)?),
            },
            losses: count(get(row, self.losses)?),
            cancel_requested: match &grant {
                Some(grant) => grant.stops.is_some(),
                None => get(row, self.cancel_requested)?,
            },
            started: grant.is_some() || get(row, self.started)?,
        };
        let ended = Epoch(get::<i64>(row, self.epoch)?.unsigned_abs());
        Ok(Known {
            id: self.id(row)?,
            queue: get(row, self.queue)?,
            priority: priority(get(row, self.priority)?)?,
            standing,
            before: standing.state,
            epoch: grant.as_ref().map_or(ended, |grant| grant.epoch),
            enqueued_at: timestamp(get(row, self.enqueued_at)?),
            due_at: timestamp(get(row, self.due_at)?),
            finished_at: get::<Option<i64>>(row, self.finished_at)?.map(timestamp),
            expires_at: get::<Option<i64>>(row, self.expires_at)?.map(timestamp),
            finish: get(row, self.finish)?,
            has_deliveries: get(row, self.has_deliveries)?,
            policy: self.policy(row)?,
            unique: self.unique(row)?,
            grant,
            plain,
            retain: Retain {
                completed: span(get(row, self.retain_completed)?),
                cancelled: span(get(row, self.retain_cancelled)?),
                dead: span(get(row, self.retain_dead)?),
                ..Retain::default()
            },
            gone: get(row, self.gone)?,
            result: None,
            clear: false,
            finished: false,
            records: Vec::new(),
        })
    }

    fn grant(&self, row: &Row) -> Result<Option<Grant>, Failed> {
        let Some(epoch) = part::<i64>(row, self.lease_epoch)? else { return Ok(None) };
        Ok(Some(Grant {
            epoch: Epoch(epoch.unsigned_abs()),
            deadline: get(row, self.lease_deadline)?,
            ends: get(row, self.lease_ends)?,
            stops: get(row, self.lease_stops)?,
            ttl: get(row, self.lease_ttl)?,
            leased_at: timestamp(get(row, self.lease_leased_at)?),
            attempt: count(get(row, self.lease_attempt)?),
            worker: worker(get(row, self.lease_worker)?)?,
        }))
    }

    fn policy(&self, row: &Row) -> Result<Policy, Failed> {
        let plain = Policy::default();
        let backoff = part::<Vec<i64>>(row, self.backoff)?;
        Ok(Policy {
            max_attempts: part::<i32>(row, self.max_attempts)?.map_or(plain.max_attempts, count),
            backoff: match backoff.as_deref() {
                Some(&[base, max, factor, jitter]) => Backoff {
                    base: span(base),
                    max: span(max),
                    factor_permille: u32::try_from(factor).unwrap_or_default(),
                    jitter_permille: u32::try_from(jitter).unwrap_or_default(),
                },
                _ => plain.backoff,
            },
            timeout: part::<i64>(row, self.timeout)?.map_or(plain.timeout, span),
            retain: part::<i64>(row, self.retain)?.map(span),
        })
    }

    fn unique(&self, row: &Row) -> Result<Option<Unique>, Failed> {
        let Some(key) = part::<&str>(row, self.unique_key)? else { return Ok(None) };
        Ok(Some(Unique {
            key: unescape(key),
            window: span(part::<i64>(row, self.unique_window)?.unwrap_or_default()),
            until: match part::<i16>(row, self.unique_until)? {
                Some(0) => Until::Start,
                _ => Until::Finish,
            },
            on_conflict: match part::<i16>(row, self.unique_conflict)? {
                Some(1) => OnConflict::Reject,
                Some(2) => OnConflict::Replace,
                _ => OnConflict::Return,
            },
        }))
    }

    /// The task as it was handed over.
    pub(crate) fn task(&self, row: &Row) -> Result<Task, Failed> {
        let queue = QueueName::new(get::<&str>(row, self.queue_name)?).map_err(Error::from)?;
        self.task_of(row, &queue, &mut Shared::default())
    }

    /// The same, where its queue is known, and one of many.
    pub(crate) fn task_of(
        &self,
        row: &Row,
        queue: &QueueName,
        shared: &mut Shared,
    ) -> Result<Task, Failed> {
        Ok(Task {
            id: self.id(row)?,
            queue: queue.clone(),
            kind: shared.kind(get(row, self.kind)?)?,
            payload: Payload {
                bytes: bytes(part(row, self.payload)?),
                content_type: shared.content_type(part(row, self.content_type)?),
            },
            priority: priority(get(row, self.priority)?)?,
            policy: self.policy(row)?,
            expires_in: part::<i64>(row, self.expires_in)?.map(span),
            headers: pairs(part(row, self.headers)?),
            labels: pairs(part(row, self.labels)?),
        })
    }

    /// What a claim says of the delivery that begins: its epoch, and which attempt it is.
    pub(crate) fn granted(&self, row: &Row) -> Result<(Epoch, u32), Failed> {
        Ok((Epoch(get::<i64>(row, self.granted)?.unsigned_abs()), count(get(row, self.nth)?)))
    }

    /// How often the task's lease ran out, and when it was accepted.
    pub(crate) fn past(&self, row: &Row) -> Result<(u32, Timestamp), Failed> {
        Ok((count(get(row, self.losses)?), timestamp(get(row, self.enqueued_at)?)))
    }

    /// Steps that are done; their values only if those were selected.
    pub(crate) fn checkpoints(&self, row: &Row) -> Result<Vec<Checkpoint>, Failed> {
        let Some(names) = part::<Vec<&str>>(row, self.checkpoints)? else { return Ok(Vec::new()) };
        let values = part::<Vec<&[u8]>>(row, self.checkpoint_values)?.unwrap_or_default();
        let mut values = values.into_iter();
        let checkpoint =
            |name: &str| Checkpoint { name: unescape(name), value: bytes(values.next()) };
        Ok(names.into_iter().map(checkpoint).collect())
    }

    /// The task as it stands, with its deliveries.
    pub(crate) fn view(
        &self,
        row: &Row,
        deliveries: Vec<Delivery>,
        now: &Now,
    ) -> Result<TaskView, Failed> {
        let known = self.known(row)?;
        let result = part::<&[u8]>(row, self.result)?.map(|result| bytes(Some(result)));
        let result_type = part(row, self.result_type)?;
        let fraction = part::<f64>(row, self.progress)?;
        let note = part::<&str>(row, self.progress_note)?.map(unescape);
        Ok(TaskView {
            task: Arc::new(self.task(row)?),
            standing: known.standing,
            epoch: known.epoch,
            enqueued_at: known.enqueued_at,
            due_at: known.due_at,
            finished_at: known.finished_at,
            unique: known.unique,
            lease: known.grant.map(|grant| LeaseView {
                worker: grant.worker,
                expires_in: span(grant.deadline.saturating_sub(now.leases)),
            }),
            progress: fraction
                .map(|fraction| Progress { fraction, note: note.unwrap_or_default() }),
            checkpoints: self.checkpoints(row)?,
            result: result.map(|bytes| Payload { bytes, content_type: content_type(result_type) }),
            deliveries,
        })
    }
}

/// What most tasks of a result have in common, so that it is made once.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    kind: Option<Kind>,
    content_type: Option<Arc<str>>,
}

impl Shared {
    fn kind(&mut self, name: &str) -> Result<Kind, Failed> {
        match &self.kind {
            Some(kind) if kind.as_str() == name => Ok(kind.clone()),
            _ => Ok(self.kind.insert(Kind::new(name).map_err(Error::from)?).clone()),
        }
    }

    fn content_type(&mut self, column: Option<&str>) -> Arc<str> {
        match &self.content_type {
            Some(known) if **known == *column.unwrap_or(Payload::JSON) => Arc::clone(known),
            _ => Arc::clone(self.content_type.insert(content_type(column))),
        }
    }
}

/// The id that a table keeps.
pub(crate) fn id(id: Uuid) -> TaskId {
    TaskId::from_bytes(id.into_bytes())
}

/// An id for a table.
pub(crate) fn uuid(id: TaskId) -> Uuid {
    Uuid::from_bytes(id.to_bytes())
}

/// A span of milliseconds; none is negative.
pub(crate) fn span(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}

/// The state of that number; `None` if only the id is known.
pub(crate) fn state(number: i16) -> Option<State> {
    usize::try_from(number).ok().and_then(|number| State::ALL.get(number)).copied()
}

/// The worker of that name.
pub(crate) fn worker(name: &str) -> Result<WorkerId, Failed> {
    Ok(WorkerId::new(name).map_err(Error::from)?)
}

/// The content type for a table: JSON, as most are, takes no room.
pub(crate) fn content_type_column(payload: &Payload) -> Option<&str> {
    (!payload.is_json()).then_some(&*payload.content_type)
}

fn content_type(column: Option<&str>) -> Arc<str> {
    column.unwrap_or(Payload::JSON).into()
}

fn bytes(column: Option<&[u8]>) -> Bytes {
    column.map(Bytes::copy_from_slice).unwrap_or_default()
}

fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}

fn priority(number: i16) -> Result<Priority, Failed> {
    let number = u8::try_from(number).unwrap_or(u8::MAX);
    Ok(Priority::new(number).map_err(Error::from)?)
}

/// Why a task is dead, from a table.
pub(crate) fn reason(number: Option<i16>) -> Option<DeadReason> {
    let number = usize::try_from(number?).ok()?;
    DeadReason::ALL.get(number).copied()
}

/// Names and values, from a table.
pub(crate) fn pairs(column: Option<Vec<&str>>) -> haulier_core::Pairs {
    let column = column.unwrap_or_default();
    column.chunks_exact(2).map(|pair| (unescape(pair[0]), unescape(pair[1]))).collect()
}

/// A timestamp that may be missing, for a table.
pub(crate) fn maybe(at: Option<Timestamp>) -> Option<i64> {
    at.map(crate::now::millis)
}
