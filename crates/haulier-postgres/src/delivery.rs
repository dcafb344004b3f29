//! Deliveries as they are remembered: the last twenty of a task, whichever rows tell of them.

use std::collections::HashMap;

use haulier_core::{
    Cause, Delivery, Ended, Epoch, Failure, Settled, State, TaskId, Timestamp, WorkerId, limits,
};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::db::{Failed, Tx, sql};
use crate::known::{Grant, Known, Plain};
use crate::now::timestamp;
use crate::row;
use crate::text::unescape;

/// The answer [`Settled::Cancelled`] as it stands in a table.
const CANCELLED: i16 = -1;

/// One delivery, with the answer that its settlement got, for whoever asks again (I8).
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub epoch: Epoch,
    pub attempt: u32,
    pub worker: WorkerId,
    pub leased_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub ended: Option<Ended>,
    pub failure: Option<Failure>,
    pub late: bool,
    pub answer: Option<Settled>,
}

impl Record {
    /// One that runs.
    pub(crate) fn of_grant(grant: &Grant) -> Self {
        Self {
            epoch: grant.epoch,
            attempt: grant.attempt,
            worker: grant.worker.clone(),
            leased_at: grant.leased_at,
            ended_at: None,
            ended: None,
            failure: None,
            late: false,
            answer: None,
        }
    }

    /// The one that completed a task.
    pub(crate) fn of_plain(known: &Known, plain: Plain) -> Self {
        let late = plain.late;
        Self {
            epoch: known.epoch,
            attempt: known.standing.attempt,
            worker: plain.worker,
            leased_at: plain.leased_at,
            ended_at: known.finished_at,
            ended: Some(Ended::Complete),
            failure: None,
            late,
            answer: Some(Settled::Applied { state: State::Completed, late }),
        }
    }

    fn read(row: &Row) -> Result<Self, Failed> {
        let late = row.try_get("late")?;
        let cause: Option<i16> = row.try_get("cause")?;
        let text = |column| -> Result<_, Failed> {
            Ok(row.try_get::<_, Option<&str>>(column)?.map(unescape).unwrap_or_default())
        };
        let failure = match cause.and_then(cause_of) {
            None => None,
            Some(cause) => Some(Failure {
                cause,
                class: text("class")?,
                message: text("message")?,
                trace: text("trace")?,
            }),
        };
        let ended: i16 = row.try_get("ended")?;
        let answer: Option<i16> = row.try_get("answer")?;
        Ok(Self {
            epoch: Epoch(row.try_get::<_, i64>("epoch")?.unsigned_abs()),
            attempt: row.try_get::<_, i32>("attempt")?.unsigned_abs(),
            worker: row::worker(row.try_get("worker")?)?,
            leased_at: timestamp(row.try_get("leased_at")?),
            ended_at: Some(timestamp(row.try_get("ended_at")?)),
            ended: usize::try_from(ended).ok().and_then(|at| Ended::ALL.get(at)).copied(),
            failure,
            late,
            answer: answer.map(|answer| match row::state(answer) {
                Some(state) => Settled::Applied { state, late },
                None => Settled::Cancelled,
            }),
        })
    }

    /// How it ended, as a table keeps it.
    pub(crate) fn ended_column(&self) -> i16 {
        let at = |ended| Ended::ALL.iter().position(|known| *known == ended);
        let at = self.ended.and_then(at).unwrap_or_default();
        i16::try_from(at).unwrap_or_default()
    }

    /// What the settlement was answered, as a table keeps it.
    pub(crate) fn answer_column(&self) -> Option<i16> {
        match self.answer.as_ref()? {
            Settled::Applied { state, .. } => Some(*state as i16),
            _ => Some(CANCELLED),
        }
    }

    /// What is shown of it.
    pub(crate) fn delivery(&self) -> Delivery {
        Delivery {
            epoch: self.epoch,
            attempt: self.attempt,
            worker: self.worker.clone(),
            leased_at: self.leased_at,
            ended_at: self.ended_at,
            ended: self.ended,
            failure: self.failure.clone(),
            late: self.late,
        }
    }
}

/// The sort of a failure, as a table keeps it.
pub(crate) const fn cause_column(cause: Cause) -> i16 {
    match cause {
        Cause::Error => 0,
        Cause::Timeout => 1,
        Cause::Panic => 2,
        Cause::Decode => 3,
    }
}

fn cause_of(number: i16) -> Option<Cause> {
    match number {
        0 => Some(Cause::Error),
        1 => Some(Cause::Timeout),
        2 => Some(Cause::Panic),
        3 => Some(Cause::Decode),
        _ => None,
    }
}

/// The rows of `delivery` of several tasks.
#[derive(Debug, Default)]
pub(crate) struct Recorded(HashMap<TaskId, Vec<Record>>);

impl Recorded {
    /// Those of the tasks that have any.
    pub(crate) async fn read(
        tx: &Tx<'_>,
        tasks: impl Iterator<Item = &Known>,
    ) -> Result<Self, Failed> {
        let ids: Vec<Uuid> =
            tasks.filter(|task| task.has_deliveries).map(|task| row::uuid(task.id)).collect();
        if ids.is_empty() { Ok(Self::default()) } else { Self::of_ids(tx, &ids).await }
    }

    /// Those of these tasks.
    pub(crate) async fn of_ids(tx: &Tx<'_>, ids: &[Uuid]) -> Result<Self, Failed> {
        let mut recorded: HashMap<TaskId, Vec<Record>> = HashMap::new();
        for row in tx.query(sql!("deliveries"), &[&ids]).await? {
            let record = Record::read(&row)?;
            recorded.entry(row::id(row.try_get("task")?)).or_default().push(record);
        }
        Ok(Self(recorded))
    }

    /// What is remembered of a task's deliveries, oldest first. A delivery is forgotten when the
    /// twentieth after it begins.
    pub(crate) fn of(&self, task: &Known) -> Vec<Record> {
        let mut all = self.0.get(&task.id).cloned().unwrap_or_default();
        all.extend(task.plain.clone().map(|plain| Record::of_plain(task, plain)));
        all.extend(task.grant.as_ref().map(Record::of_grant));
        all.drain(..all.len().saturating_sub(limits::DELIVERIES_MAX));
        all
    }
}
