//! Verbs in an application's own transaction: what they do becomes true when that commits, together
//! with whatever else the application wrote in it, and never was if it rolls back.
//!
//! An application's transaction may stay open for minutes. So none of these takes a lock that
//! anybody waits for but those who want the same task or the same unique key: no queue's mutex, no
//! place in line. Handing over and completing are the SQL functions of the schema, which any
//! language may call as well.

use haulier_core::{
    Code, Durability, Enqueued, Error, LeaseKey, NewTask, OnConflict, Payload, Policy, QueueName,
    Refusal, Result, Settled, Settlement, Start, State, Until, limits,
};
use tokio_postgres::{Row, Transaction};

use crate::db::{Failed, sql};
use crate::now::{millis, span};
use crate::row::{self, uuid};
use crate::settle::settle_on;
use crate::store::{PgStore, check_items};
use crate::text::{array, escape, numbers};

/// An end of a lease was not accepted: the lease is over.
const STALE: &str = "HL006";
/// The same, because the task was cancelled.
const CANCELLED: &str = "HL007";

impl PgStore {
    /// Hands tasks over in a transaction of the application's own, on any connection to the same
    /// database: they are there when it commits. One answer each, as from
    /// [`haulier_core::Queue::enqueue`]; a refusal leaves the transaction as it was.
    ///
    /// A server brings them into line when it sees them, within a quarter of a second after the
    /// commit, or at once if [`PgStore::wake`] is called then. `max_tasks` counts what is committed.
    /// A unique key whose holder would have to be cancelled ([`OnConflict::Replace`]) is refused,
    /// for that would stop the whole queue until the application commits.
    ///
    /// # Errors
    /// If the call failed as a whole. When the database failed it, the transaction is lost, too:
    /// roll back, and begin again if the error is retryable.
    pub async fn enqueue_in(
        &self,
        tx: &Transaction<'_>,
        tasks: Vec<NewTask>,
    ) -> Result<Vec<Enqueued>> {
        check_items("tasks", tasks.len())?;
        let inner = &self.inner;
        inner.check_open()?;
        let bytes_max = inner.options.payload_bytes_max;
        let mut answers: Vec<Option<Enqueued>> =
            tasks.iter().map(|task| task.check(bytes_max).err().map(Enqueued::Refused)).collect();
        self.find_queues(&tasks, &mut answers).await?;
        let asked = |at: &usize| answers[*at].is_none();
        let places: Vec<usize> = (0..tasks.len()).filter(asked).collect();
        let given: Vec<&NewTask> = places.iter().map(|at| &tasks[*at]).collect();
        if !given.is_empty() {
            let rows = try_enqueue(self, tx, &given).await;
            let rows = rows.map_err(|failed| failed.told("enqueue_in"))?;
            for (at, row) in places.into_iter().zip(&rows) {
                let answer = answer(row, inner.durability());
                answers[at] = Some(answer.map_err(|failed| failed.told("enqueue_in"))?);
            }
        }
        let missing = || Error::internal("enqueue_in: a task got no answer");
        answers.into_iter().map(|answer| answer.ok_or_else(missing)).collect()
    }

    /// Makes the queues that are not there yet, apart from the application's transaction: nobody
    /// who names the same one shall have to wait for it.
    async fn find_queues(&self, tasks: &[NewTask], answers: &mut [Option<Enqueued>]) -> Result<()> {
        let queues: Vec<&QueueName> = tasks.iter().map(|task| &task.queue).collect();
        let numbers = self.inner.names.numbers(&self.inner.db, &queues).await?;
        for (answer, number) in answers.iter_mut().zip(numbers) {
            if answer.is_none() && number.is_none() {
                let most = limits::QUEUES_MAX;
                let message = format!("the store has {most} queues already; use one of them");
                *answer = Some(Enqueued::Refused(Refusal::new(Code::StorageFull, message)));
            }
        }
        Ok(())
    }

    /// Completes a task in a transaction of the application's own, on any connection to the same
    /// database: the task is completed when that commits, and what else was written in it is there
    /// only then. Make it the last statement before the commit: whoever wants to do something else
    /// with the task waits until the transaction ends.
    ///
    /// The settlement that a worker sends afterwards for the same lease changes nothing, and gets the
    /// answer that the transaction got (I8).
    ///
    /// # Errors
    /// [`Code::Final`] if the lease is over or its task was cancelled: the transaction cannot commit
    /// any more, so that its effect vanishes. Otherwise what the database says, which is the end of
    /// the transaction, too.
    pub async fn complete_in(
        &self,
        tx: &Transaction<'_>,
        key: LeaseKey,
        result: Option<Payload>,
    ) -> Result<()> {
        let inner = &self.inner;
        inner.check_open()?;
        let bytes_max = inner.options.payload_bytes_max;
        result.as_ref().map_or(Ok(()), |result| result.check("result", bytes_max))?;
        let foreign = inner.db.foreign(tx);
        let answer = foreign
            .query(
                sql!("complete_in"),
                &[
                    &uuid(key.task),
                    &i64::try_from(key.epoch.0).unwrap_or(i64::MAX),
                    &result.as_ref().map(|result| &*result.bytes),
                    &result.as_ref().map(|result| &*result.content_type),
                    &i64::try_from(bytes_max).unwrap_or(i64::MAX),
                ],
            )
            .await;
        match answer {
            Ok(_) => Ok(()),
            Err(failed) => {
                Err(not_completed(key, &failed).unwrap_or_else(|| failed.told("complete_in")))
            }
        }
    }

    /// Ends leases in a transaction of the application's own, in whatever way: one answer each, as
    /// from [`haulier_core::Queue::settle`], which become true when the transaction commits. Look at
    /// them: an effect that came with [`Settled::Stale`] or [`Settled::Cancelled`] should be rolled
    /// back. [`PgStore::complete_in`] does so by itself.
    ///
    /// A lease that ran out is stale here, though nobody may have taken the task since: to accept it
    /// as late would stop the whole queue until the application commits.
    ///
    /// # Errors
    /// As [`PgStore::enqueue_in`].
    pub async fn settle_in(
        &self,
        tx: &Transaction<'_>,
        ends: Vec<Settlement>,
    ) -> Result<Vec<Settled>> {
        check_items("settlements", ends.len())?;
        let inner = &self.inner;
        inner.check_open()?;
        let bytes_max = inner.options.payload_bytes_max;
        let settled = settle_on(&inner.db.foreign(tx), &ends, bytes_max).await;
        let (answers, _told_by_wake) = settled.map_err(|failed| failed.told("settle_in"))?;
        Ok(answers)
    }

    /// Brings into line what transactions of applications have handed over and committed, and wakes
    /// whoever waits for that or for an end that was settled in one; without it that happens within
    /// a second. To be called after the commit.
    ///
    /// # Errors
    /// What the database says. The tasks come into line in any case.
    pub async fn wake(&self) -> Result<()> {
        self.inner.check_open()?;
        self.inner.hub.finished();
        while crate::sweep::promote(&self.inner, limits::ITEMS_MAX).await?.next.is_zero() {}
        Ok(())
    }
}

/// Why a lease was not accepted, if that is what failed.
fn not_completed(key: LeaseKey, failed: &Failed) -> Option<Error> {
    let Failed::Db(error) = failed else { return None };
    let why = match error.as_db_error()?.code().code() {
        STALE => "its lease is over: the task is given to another worker, or was",
        CANCELLED => "it was cancelled",
        _ => return None,
    };
    let text = format!("task {} cannot be completed, because {why}; roll back", key.task);
    Some(Error::new(Code::Final, text))
}

/// Asks for all tasks at once; they meet each other in their order.
async fn try_enqueue(
    store: &PgStore,
    tx: &Transaction<'_>,
    tasks: &[&NewTask],
) -> Result<Vec<Row>, Failed> {
    let plain = Policy::default();
    let most = store.inner.options.payload_bytes_max;
    let unique = |task: &NewTask| task.unique.clone();
    store
        .inner
        .db
        .foreign(tx)
        .query(
            sql!("try_enqueue"),
            &[
                &column(tasks, |task| uuid(task.id)),
                &column(tasks, |task| task.queue.as_str()),
                &column(tasks, |task| task.kind.as_str()),
                &column(tasks, |task| &*task.payload.bytes),
                &column(tasks, |task| &*task.payload.content_type),
                &column(tasks, |task| i32::from(task.priority.get())),
                &column(tasks, |task| match task.start {
                    Start::After(delay) => Some(span(delay)),
                    Start::Now | Start::At(_) => None,
                }),
                &column(tasks, |task| match task.start {
                    Start::At(at) => Some(millis(at)),
                    Start::Now | Start::After(_) => None,
                }),
                &column(tasks, |task| {
                    let most = i32::try_from(task.policy.max_attempts).unwrap_or(i32::MAX);
                    (task.policy.max_attempts != plain.max_attempts).then_some(most)
                }),
                &column(tasks, |task| {
                    (task.policy.timeout != plain.timeout).then(|| span(task.policy.timeout))
                }),
                &column(tasks, |task| {
                    let backoff = &task.policy.backoff;
                    (*backoff != plain.backoff).then(|| {
                        let permille = [backoff.factor_permille, backoff.jitter_permille];
                        let [factor, jitter] = permille.map(i64::from);
                        numbers(&[span(backoff.base), span(backoff.max), factor, jitter])
                    })
                }),
                &column(tasks, |task| task.expires_in.map(span)),
                &column(tasks, |task| task.policy.retain.map(span)),
                &column(tasks, |task| pairs(&task.headers)),
                &column(tasks, |task| pairs(&task.labels)),
                &column(tasks, |task| unique(task).map(|unique| escape(&unique.key).into_owned())),
                &column(tasks, |task| unique(task).map(|unique| span(unique.window))),
                &column(tasks, |task| {
                    unique(task).map(|unique| match unique.until {
                        Until::Start => "start",
                        Until::Finish => "finish",
                    })
                }),
                &column(tasks, |task| {
                    unique(task).map(|unique| match unique.on_conflict {
                        OnConflict::Return => "return",
                        OnConflict::Reject => "reject",
                        OnConflict::Replace => "replace",
                    })
                }),
                &i64::try_from(most).unwrap_or(i64::MAX),
            ],
        )
        .await
}

fn column<'a, T>(tasks: &[&'a NewTask], of: impl Fn(&'a NewTask) -> T) -> Vec<T> {
    tasks.iter().map(|task| of(task)).collect()
}

/// Names with values as the literal of an array; nothing if there are none.
fn pairs(pairs: &haulier_core::Pairs) -> Option<String> {
    let texts = pairs.iter().flat_map(|(name, value)| [name, value]);
    (!pairs.is_empty()).then(|| array(texts))
}

/// What the function answered.
fn answer(row: &Row, durability: Durability) -> Result<Enqueued, Failed> {
    if let Some(state) = row.try_get::<_, Option<&str>>("code")? {
        let code = match state {
            "HL002" => Code::TooLarge,
            "HL003" => Code::IdConflict,
            "HL004" => Code::UniqueConflict,
            "HL005" => Code::QueueFull,
            "HL008" => Code::NotSupported,
            _ => Code::Invalid,
        };
        let (message, hint): (&str, &str) = (row.try_get("message")?, row.try_get("hint")?);
        return Ok(Enqueued::Refused(Refusal::new(code, format!("{message}. {hint}"))));
    }
    let id = row::id(row.try_get("id")?);
    let state = row.try_get::<_, Option<&str>>("state")?.and_then(State::parse);
    Ok(match (row.try_get("inserted")?, state) {
        (true, Some(state)) => Enqueued::Inserted { id, state, durability },
        (_, state) => Enqueued::Existing { id, state, durability },
    })
}
