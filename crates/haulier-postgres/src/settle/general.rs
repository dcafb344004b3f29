//! Ending leases one by one, under locks, by core's rules. A key answers for one delivery: once it
//! has been settled the answer stays the same (I8); while it runs, or has run out and nobody took
//! the task since, it may be settled; everything else is stale (I3).
//!
//! Locks come in this order: lines of queues, leases, tasks.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use haulier_core::probe::{planted, sometimes};
use haulier_core::{
    Ended, Event, Failure, Outcome, Payload, Result, Settled, Settlement, State, TaskId,
};
use tokio::try_join;
use uuid::Uuid;

use super::{Effects, Ends, number};
use crate::change;
use crate::db::{Failed, Params, Tx, sql};
use crate::delivery::{Record, Recorded};
use crate::known::{Ending, Known};
use crate::now::Now;
use crate::row::{Reader, uuid};
use crate::store::Inner;

/// What is done about a key whose lease ran out although nobody took the task since.
#[derive(Debug, Clone)]
enum Late {
    /// It is taken, if the task's line is among these: the caller holds their locks.
    Take(Vec<i32>),
    /// It is stale: the caller's transaction may last, and must not hold up a line.
    Refuse,
}

/// Ends each lease or says why not.
pub(super) async fn settle(
    inner: &Inner,
    ends: &[Ends<'_>],
    base: Option<i64>,
    answers: &mut [Option<Settled>],
    effects: &mut Effects,
) -> Result<()> {
    let bytes_max = inner.options.payload_bytes_max;
    let mut late = Late::Take(Vec::new());
    // Lines are locked only once a late settlement turns up, which is rare; then from the start.
    loop {
        let locked = &late;
        let once = inner.db.write("settle", |tx| async move {
            Box::pin(once(&tx, ends, base, locked, bytes_max)).await
        });
        match once.await? {
            Once::Lines(queues) => late = Late::Take(queues),
            Once::Done(told, done) => {
                for (at, answer) in told {
                    answers[at] = Some(answer);
                }
                effects.freed.extend(done.freed);
                effects.finished |= done.finished;
                for (queue, place) in done.in_line.iter() {
                    effects.in_line.add(queue, place);
                }
                return Ok(());
            }
        }
    }
}

/// Ends leases in a transaction that may be somebody else's; with them, what to tell once it is
/// committed.
pub(crate) async fn settle_on(
    tx: &Tx<'_>,
    ends: &[Settlement],
    bytes_max: usize,
) -> Result<(Vec<Settled>, Effects), Failed> {
    let ends: Vec<Ends<'_>> = number(ends).collect();
    match Box::pin(once(tx, &ends, None, &Late::Refuse, bytes_max)).await? {
        Once::Done(told, effects) => {
            Ok((told.into_iter().map(|(_, answer)| answer).collect(), effects))
        }
        Once::Lines(_) => Err(haulier_core::Error::internal("a late settlement was taken").into()),
    }
}

/// What came of one transaction.
enum Once {
    Done(Vec<(usize, Settled)>, Effects),
    /// Nothing: these lines have to be locked before.
    Lines(Vec<i32>),
}

/// A task with what is remembered of its deliveries.
struct Task {
    known: Known,
    deliveries: Vec<Record>,
    changed: bool,
}

async fn once(
    tx: &Tx<'_>,
    ends: &[Ends<'_>],
    base: Option<i64>,
    late: &Late,
    bytes_max: usize,
) -> Result<Once, Failed> {
    let (now, mut tasks) = Box::pin(look(tx, ends, late)).await?;
    let mut needed = BTreeSet::new();
    let mut answers = Vec::with_capacity(ends.len());
    // In the order of the call: it is the order in which tasks come into line again.
    let mut order: Vec<TaskId> = Vec::new();
    for end in ends {
        let answer = match tasks.get_mut(&end.end.key.task) {
            None => Settled::Stale,
            Some(task) => {
                let was = task.changed;
                let answer = task.settle(end, late, bytes_max, &now, &mut needed);
                if task.changed && !was {
                    order.push(task.known.id);
                }
                answer
            }
        };
        answers.push((end.at, answer));
    }
    if !needed.is_empty() {
        if let Late::Take(locked) = late {
            needed.extend(locked);
        }
        return Ok(Once::Lines(needed.into_iter().collect()));
    }
    let mut changed: Vec<Known> =
        order.iter().filter_map(|id| tasks.remove(id)).map(|task| task.known).collect();
    let effects = write(tx, &now, base, &mut changed).await?;
    Ok(Once::Done(answers, effects))
}

/// Takes the locks and reads the tasks.
async fn look(
    tx: &Tx<'_>,
    ends: &[Ends<'_>],
    late: &Late,
) -> Result<(Now, HashMap<TaskId, Task>), Failed> {
    let ids: BTreeSet<Uuid> = ends.iter().map(|end| uuid(end.end.key.task)).collect();
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let lines = match late {
        Late::Take(lines) if !lines.is_empty() => Some(lines),
        Late::Take(_) | Late::Refuse => None,
    };
    let lock_lines = async {
        match lines {
            None => Ok(()),
            Some(lines) => tx.query(sql!("line_lock"), &[lines]).await.map(|_| ()),
        }
    };
    let of_ids: Params<'_> = &[&ids];
    let ((), _, _, rows, recorded, now) = try_join!(
        biased;
        lock_lines,
        tx.query(sql!("lease_lock"), of_ids),
        tx.query(sql!("task_lock"), of_ids),
        tx.query(sql!("standing"), of_ids),
        Recorded::of_ids(tx, &ids),
        tx.now(),
    )?;
    let reader = Reader::of(&rows);
    let mut tasks = HashMap::with_capacity(rows.len());
    for row in &rows {
        let known = reader.known(row)?;
        if !known.gone {
            let deliveries = recorded.of(&known);
            tasks.insert(known.id, Task { known, deliveries, changed: false });
        }
    }
    Ok((now, tasks))
}

/// Writes back what was decided, and ends the transaction if there was something.
async fn write(
    tx: &Tx<'_>,
    now: &Now,
    base: Option<i64>,
    changed: &mut [Known],
) -> Result<Effects, Failed> {
    let mut effects = Effects::default();
    if changed.is_empty() {
        return Ok(effects);
    }
    if changed.iter().any(|task| task.finish.is_some() && task.finished) {
        let base = match base {
            Some(base) => base,
            None => tx.one(sql!("finish"), &[]).await?.try_get("base")?,
        };
        for task in changed.iter_mut().filter(|task| task.finished) {
            task.finish = task.finish.map(|place| base + place);
        }
    }
    // The end travels with what is written.
    (effects.in_line, ()) = try_join!(biased; change::save(tx, now, changed), tx.commit())?;
    effects.freed =
        changed.iter().map(|task| task.queue).collect::<BTreeSet<_>>().into_iter().collect();
    effects.finished = changed.iter().any(|task| task.finished);
    Ok(effects)
}

/// What a key is good for.
enum Key {
    /// It was settled before, with this answer.
    Settled(Settled),
    /// Its lease runs.
    Running,
    /// Its lease ran out, and the task still waits for the next one.
    RanOut,
    Stale,
}

impl Task {
    fn judge(&self, end: &Ends<'_>) -> Key {
        let epoch = if planted("old-key-settles") { self.known.epoch } else { end.end.key.epoch };
        let newest = self.known.epoch == epoch;
        let Some(record) = self.deliveries.iter().find(|record| record.epoch == epoch) else {
            return Key::Stale;
        };
        match (&record.answer, record.ended) {
            (Some(answer), _) => Key::Settled(answer.clone()),
            (None, None) if newest => Key::Running,
            (None, Some(Ended::Lost))
                if newest && self.known.standing.state == State::Available =>
            {
                Key::RanOut
            }
            (None, Some(Ended::Lost)) => {
                sometimes("settle races expiry");
                Key::Stale
            }
            _ => Key::Stale,
        }
    }

    /// Ends the lease, or says why not. A line that has to be locked before is `needed`.
    fn settle(
        &mut self,
        end: &Ends<'_>,
        late: &Late,
        bytes_max: usize,
        now: &Now,
        needed: &mut BTreeSet<i32>,
    ) -> Settled {
        let is_late = match self.judge(end) {
            Key::Settled(answer) => {
                sometimes("repeat answered");
                return answer;
            }
            Key::Stale => {
                sometimes("stale refused");
                return Settled::Stale;
            }
            Key::Running => false,
            Key::RanOut => match late {
                Late::Refuse => return Settled::Stale,
                Late::Take(locked) => {
                    if !locked.contains(&self.known.queue) {
                        needed.insert(self.known.queue);
                        return Settled::Stale;
                    }
                    true
                }
            },
        };
        let outcome = &end.end.outcome;
        if let Err(refusal) = outcome.check(bytes_max) {
            return Settled::Refused(refusal);
        }
        self.carry_out(end, is_late, now)
    }

    fn carry_out(&mut self, end: &Ends<'_>, late: bool, now: &Now) -> Settled {
        let outcome = &end.end.outcome;
        let overruled = self.known.standing.cancel_requested && *outcome != Outcome::Cancelled;
        if late {
            sometimes("late settle accepted");
        }
        if overruled {
            sometimes("cancel races complete");
        }
        let ended = if overruled { Ended::Cancelled } else { Ended::from(outcome) };
        let Parts { event, result, failure, delay } = Parts::of(outcome);
        // The table refuses a late settlement of a task that was rerun since: nobody's lease ran
        // out.
        let Ok(left) = self.known.carry_out(event, now) else { return Settled::Stale };
        let state = self.known.standing.state;
        match state {
            State::Completed => {
                self.known.result = result.cloned();
                self.known.finish = Some(end.completion);
            }
            State::Available => self.known.due_at = now.wall,
            State::Scheduled | State::Retryable => self.known.due_at = now.wall.after(delay),
            State::Running | State::Cancelled | State::Dead => {}
        }
        let answer = if overruled { Settled::Cancelled } else { Settled::Applied { state, late } };
        let epoch = end.end.key.epoch;
        let record = self.deliveries.iter_mut().find(|record| record.epoch == epoch);
        if let Some(record) = record {
            let ending =
                Ending { ended, failure: failure.cloned(), late, answer: Some(answer.clone()) };
            self.known.record(left.unwrap_or_else(|| record.clone()), ending, now);
            if let Some(kept) = self.known.records.last() {
                *record = kept.clone();
            }
        }
        self.changed = true;
        answer
    }
}

/// An outcome taken apart.
struct Parts<'a> {
    event: Event,
    result: Option<&'a Payload>,
    failure: Option<&'a Failure>,
    delay: Duration,
}

impl<'a> Parts<'a> {
    fn of(outcome: &'a Outcome) -> Self {
        let parts = |event| Self { event, result: None, failure: None, delay: Duration::ZERO };
        match outcome {
            Outcome::Complete { result } => {
                Self { result: result.as_ref(), ..parts(Event::Complete) }
            }
            Outcome::Fail { failure, retry_in } => Self {
                failure: Some(failure),
                delay: retry_in.unwrap_or_default(),
                ..parts(Event::Fail { retry: retry_in.is_some() })
            },
            Outcome::Reject { failure } => Self { failure: Some(failure), ..parts(Event::Reject) },
            Outcome::Snooze { delay } => Self { delay: *delay, ..parts(Event::Snooze) },
            Outcome::Release => parts(Event::Release),
            Outcome::Cancelled => parts(Event::Stopped),
        }
    }
}
