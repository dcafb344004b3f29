//! Writing back what was decided about tasks whose rows are locked: their own rows, their leases,
//! their deliveries, the order of completions and the counts, each in one statement for all of
//! them. Places in line are given out in the order of the tasks.

use std::borrow::Cow;
use std::collections::BTreeMap;

use haulier_core::{DeadReason, Failure, State};
use tokio::try_join;
use uuid::Uuid;

use crate::db::{Failed, Params, Tx, sql};
use crate::delivery::{Record, cause_column};
use crate::known::Known;
use crate::now::{Now, millis};
use crate::row::{content_type_column, maybe, uuid};
use crate::tally::Tally;
use crate::text::escape;

/// Who came into line: of each queue the smallest place, to be told once it is committed.
#[derive(Debug, Default, Clone)]
pub(crate) struct InLine(BTreeMap<i32, i64>);

impl InLine {
    /// A task came into line.
    pub(crate) fn add(&mut self, queue: i32, place: i64) {
        let smallest = self.0.entry(queue).or_insert(place);
        *smallest = place.min(*smallest);
    }

    /// Queues with their smallest places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i32, i64)> {
        self.0.iter().map(|(queue, place)| (*queue, *place))
    }
}

/// Writes back tasks to which events were applied; `finish` of those that were completed is set.
/// A task whose lease goes on has only its end of renewals written.
pub(crate) async fn save(tx: &Tx<'_>, now: &Now, tasks: &[Known]) -> Result<InLine, Failed> {
    // Eight statements at once are large, and rarely needed.
    Box::pin(save_all(tx, now, tasks)).await
}

async fn save_all(tx: &Tx<'_>, now: &Now, tasks: &[Known]) -> Result<InLine, Failed> {
    let (running, moved): (Vec<&Known>, Vec<&Known>) =
        tasks.iter().partition(|task| task.standing.state == State::Running);
    if moved.is_empty() {
        stop(tx, &running).await?;
        return Ok(InLine::default());
    }
    let uncounted = moved
        .iter()
        .filter(|task| task.before == State::Completed && task.standing.state != State::Completed)
        .filter_map(|task| Some((uuid(task.id), task.queue, task.finish?)));
    let uncounted: Vec<(Uuid, i32, i64)> = uncounted.collect();
    let mut tally = Tally::default();
    for task in &moved {
        tally.moved(task.queue, task.before, task.standing.state);
        if task.finished {
            tally.finished(task.queue);
        }
    }
    // Polled together they travel together; none needs another one's answer.
    let ((), (), in_line, (), (), (), (), ()) = try_join!(
        biased;
        stop(tx, &running),
        end_leases(tx, &moved),
        rows(tx, &moved),
        results(tx, &moved),
        record(tx, &moved),
        complete(tx, now, &moved),
        uncount(tx, &uncounted),
        tally.save(tx),
    )?;
    Ok(in_line)
}

fn ids(tasks: &[&Known]) -> Vec<Uuid> {
    tasks.iter().map(|task| uuid(task.id)).collect()
}

fn column<T>(tasks: &[&Known], of: impl Fn(&Known) -> T) -> Vec<T> {
    tasks.iter().map(|task| of(task)).collect()
}

/// Tells running tasks by when they have to stop.
async fn stop(tx: &Tx<'_>, tasks: &[&Known]) -> Result<(), Failed> {
    if tasks.is_empty() {
        return Ok(());
    }
    let stops = column(tasks, |task| task.grant.as_ref().and_then(|grant| grant.stops));
    tx.execute(sql!("lease_stop"), &[&ids(tasks), &stops]).await?;
    Ok(())
}

async fn end_leases(tx: &Tx<'_>, tasks: &[&Known]) -> Result<(), Failed> {
    let ran: Vec<Uuid> = tasks
        .iter()
        .filter(|task| task.before == State::Running)
        .map(|task| uuid(task.id))
        .collect();
    if !ran.is_empty() {
        tx.execute(sql!("lease_end"), &[&ran]).await?;
    }
    Ok(())
}

async fn rows(tx: &Tx<'_>, tasks: &[&Known]) -> Result<InLine, Failed> {
    let foreign = tx.is_foreign();
    let signed = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let saved = tx
        .query(
            sql!("task_save"),
            &[
                &ids(tasks),
                &column(tasks, |task| millis(task.due_at)),
                &column(tasks, |task| i64::try_from(task.epoch.0).unwrap_or(i64::MAX)),
                &column(tasks, |task| maybe(task.finished_at)),
                &column(tasks, |task| {
                    task.finish.filter(|_| task.standing.state == State::Completed)
                }),
                &column(tasks, |task| {
                    // Somebody else's transaction may be long: a sweep brings its tasks into line.
                    let comes_later = foreign && task.standing.state == State::Available;
                    if comes_later { Some(0) } else { maybe(task.wake_at()) }
                }),
                &column(tasks, |task| maybe(task.keep_until())),
                &column(tasks, |task| maybe(task.expires_at)),
                &column(tasks, |task| task.line().filter(|_| !foreign)),
                &column(tasks, |task| signed(task.standing.attempt)),
                &column(tasks, |task| signed(task.standing.losses)),
                &column(tasks, |task| task.standing.state as i32),
                &column(tasks, |task| task.standing.reason.map(reason_column)),
                &column(tasks, |task| task.standing.started),
                &column(tasks, |task| task.standing.cancel_requested),
                &column(tasks, |task| !task.records.is_empty()),
                &column(tasks, |task| task.clear),
            ],
        )
        .await?;
    let mut in_line = InLine::default();
    for row in &saved {
        if row.try_get::<_, Option<i32>>("line")?.is_some() {
            in_line.add(row.try_get("queue")?, row.try_get("place")?);
        }
    }
    Ok(in_line)
}

fn reason_column(reason: DeadReason) -> i16 {
    let at = DeadReason::ALL.iter().position(|known| *known == reason);
    i16::try_from(at.unwrap_or_default()).unwrap_or_default()
}

async fn results(tx: &Tx<'_>, tasks: &[&Known]) -> Result<(), Failed> {
    let with: Vec<_> =
        tasks.iter().filter_map(|task| Some((uuid(task.id), task.result.as_ref()?))).collect();
    if with.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = with.iter().map(|(id, _)| *id).collect();
    let bytes: Vec<&[u8]> = with.iter().map(|(_, result)| &*result.bytes).collect();
    let types: Vec<Option<&str>> =
        with.iter().map(|(_, result)| content_type_column(result)).collect();
    tx.execute(sql!("task_result"), &[&ids, &bytes, &types]).await?;
    Ok(())
}

/// Records deliveries that have ended, and forgets those that are too many.
async fn record(tx: &Tx<'_>, tasks: &[&Known]) -> Result<(), Failed> {
    let all: Vec<(Uuid, &Record)> = tasks
        .iter()
        .flat_map(|task| task.records.iter().map(|record| (uuid(task.id), record)))
        .collect();
    if all.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = all.iter().map(|(id, _)| *id).collect();
    let of_ids: Params<'_> = &[&ids];
    try_join!(biased; put(tx, &ids, &all), tx.execute(sql!("delivery_forget"), of_ids))?;
    Ok(())
}

async fn put(tx: &Tx<'_>, ids: &[Uuid], all: &[(Uuid, &Record)]) -> Result<u64, Failed> {
    tx.execute(
        sql!("delivery_save"),
        &[
            &ids,
            &each(all, |record| i64::try_from(record.epoch.0).unwrap_or(i64::MAX)),
            &each(all, |record| i32::try_from(record.attempt).unwrap_or(i32::MAX)),
            &each(all, |record| record.worker.as_str().to_owned()),
            &each(all, |record| millis(record.leased_at)),
            &each(all, |record| maybe(record.ended_at).unwrap_or_default()),
            &each(all, Record::ended_column),
            &each(all, |record| record.failure.as_ref().map(|why| cause_column(why.cause))),
            &texts(all, |why| &why.class),
            &texts(all, |why| &why.message),
            &texts(all, |why| &why.trace),
            &each(all, |record| record.late),
            &each(all, Record::answer_column),
        ],
    )
    .await
}

fn texts<'a>(
    all: &[(Uuid, &'a Record)],
    of: impl Fn(&'a Failure) -> &'a str,
) -> Vec<Option<Cow<'a, str>>> {
    all.iter().map(|(_, record)| record.failure.as_ref().map(|why| escape(of(why)))).collect()
}

fn each<T>(all: &[(Uuid, &Record)], of: impl Fn(&Record) -> T) -> Vec<T> {
    all.iter().map(|(_, record)| of(record)).collect()
}

/// Puts completed tasks into the order of completions, each by itself.
async fn complete(tx: &Tx<'_>, now: &Now, tasks: &[&Known]) -> Result<(), Failed> {
    let done: Vec<&Known> = tasks
        .iter()
        .filter(|task| task.finished && task.standing.state == State::Completed)
        .copied()
        .collect();
    if done.is_empty() {
        return Ok(());
    }
    let queues = column(&done, |task| task.queue);
    let finishes = column(&done, |task| task.finish);
    let held = column(&done, |task| maybe(task.held_until(now)));
    let at = millis(now.wall);
    tx.execute(sql!("completion_single"), &[&ids(&done), &queues, &finishes, &held, &at]).await?;
    Ok(())
}

/// Takes completed tasks, each with its queue and its `finish`, out of the order of completions:
/// they are done again, or gone. A completion of which none is left goes, too.
pub(crate) async fn uncount(tx: &Tx<'_>, tasks: &[(Uuid, i32, i64)]) -> Result<(), Failed> {
    if tasks.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = tasks.iter().map(|(id, ..)| *id).collect();
    let queues: Vec<i32> = tasks.iter().map(|(_, queue, _)| *queue).collect();
    let finishes: Vec<i64> = tasks.iter().map(|(.., finish)| *finish).collect();
    let (of_ids, left): (Params<'_>, Params<'_>) =
        (&[&ids, &queues, &finishes], &[&queues, &finishes]);
    try_join!(
        biased;
        tx.execute(sql!("completion_drop"), of_ids),
        tx.execute(sql!("completion_empty"), left),
    )?;
    Ok(())
}
