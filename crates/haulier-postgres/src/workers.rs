//! Workers as they were heard of last, by whichever server: in a table, so that all servers list
//! the same, and in no way durable: forgotten when they have been silent for long and hold nothing.
//!
//! Rows are written in the order of their ids, so that no two writers wait for each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use haulier_core::{
    Directive, Error, Kind, QueueName, Refusal, Result, WorkerAbout, WorkerId, WorkerView, limits,
};
use tokio_postgres::Row;

use crate::db::{Failed, Tx, sql};
use crate::now::span;
use crate::store::Inner;
use crate::text;

/// Notes signs of life, and says which of the workers nobody knew.
pub(crate) async fn heard(
    inner: &Inner,
    workers: &BTreeSet<WorkerId>,
) -> Result<BTreeSet<WorkerId>> {
    let ids: Vec<&str> = workers.iter().map(WorkerId::as_str).collect();
    let rows = inner.db.write_one("lease", sql!("worker_heard"), &[&ids]).await?;
    let new = rows.iter().filter(|row| row.try_get("is_new").unwrap_or(true));
    let new: BTreeSet<&str> = new.filter_map(|row| row.try_get("id").ok()).collect();
    if !new.is_empty() {
        let most = i64::try_from(limits::WORKERS_MAX).unwrap_or(i64::MAX);
        inner.db.write_one("lease", sql!("worker_crowd"), &[&most]).await?;
    }
    Ok(workers.iter().filter(|worker| new.contains(worker.as_str())).cloned().collect())
}

/// Notes beats, which bring all news, and says what operators want of each worker.
pub(crate) async fn beaten(
    tx: &Tx<'_>,
    beats: &[(&WorkerId, Option<&WorkerAbout>)],
) -> Result<Vec<Directive>, Failed> {
    let mut newest: BTreeMap<&str, Option<&WorkerAbout>> = BTreeMap::new();
    for (worker, about) in beats {
        let known = newest.entry(worker.as_str()).or_default();
        *known = about.or(*known);
    }
    let ids: Vec<&str> = newest.keys().copied().collect();
    let said = |part: fn(&WorkerAbout) -> String| -> Vec<Option<String>> {
        newest.values().map(|about| about.map(part)).collect()
    };
    let versions = said(|about| text::escape(&about.version).into_owned());
    let queues = said(|about| joined(about.queues.iter().map(QueueName::as_str)));
    let kinds = said(|about| joined(about.kinds.iter().map(Kind::as_str)));
    let slots: Vec<Option<i64>> =
        newest.values().map(|about| about.map(|about| i64::from(about.slots))).collect();
    let rows = tx.query(sql!("worker_beaten"), &[&ids, &versions, &queues, &kinds, &slots]).await?;
    let mut directives: BTreeMap<&str, Directive> = BTreeMap::new();
    let mut crowd = false;
    for row in &rows {
        directives.insert(row.try_get("id")?, directive(row.try_get("directive")?));
        crowd |= row.try_get::<_, bool>("is_new")?;
    }
    if crowd {
        let most = i64::try_from(limits::WORKERS_MAX).unwrap_or(i64::MAX);
        tx.execute(sql!("worker_crowd"), &[&most]).await?;
    }
    let of = |worker: &WorkerId| directives.get(worker.as_str()).copied().unwrap_or_default();
    Ok(beats.iter().map(|(worker, _)| of(worker)).collect())
}

/// Names have no commas.
fn joined<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(",")
}

/// There is something that these workers should know. After the commit the hub is told, too.
pub(crate) async fn tell(tx: &Tx<'_>, workers: &[&WorkerId]) -> Result<(), Failed> {
    let mut ids: Vec<&str> = workers.iter().map(|worker| worker.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    tx.execute(sql!("worker_tell"), &[&ids]).await?;
    Ok(())
}

/// Forgets who has been silent for too long and holds nothing; how many that were.
pub(crate) async fn forget_silent(tx: &Tx<'_>) -> Result<u64, Failed> {
    tx.execute(sql!("worker_forget"), &[&span(limits::WORKER_FORGOTTEN_AFTER)]).await
}

/// Every worker that is known, by id.
pub(crate) async fn workers(inner: &Arc<Inner>) -> Result<Vec<WorkerView>> {
    let silence = span(limits::WORKER_FORGOTTEN_AFTER);
    let rows = inner.db.read_one("workers", sql!("worker_views"), &[&silence]).await?;
    rows.iter().map(|row| view(row).map_err(unreadable)).collect()
}

/// Tells workers what to do; `false` for those that nobody knows.
pub(crate) async fn direct(
    inner: &Arc<Inner>,
    workers: Vec<WorkerId>,
    directive: Directive,
) -> Result<Vec<bool>> {
    let ids: Vec<&str> = workers.iter().map(WorkerId::as_str).collect();
    let silence = span(limits::WORKER_FORGOTTEN_AFTER);
    let number = number(directive);
    let rows =
        inner.db.write_one("direct", sql!("worker_direct"), &[&ids, &number, &silence]).await?;
    let known: BTreeSet<&str> = rows.iter().filter_map(|row| row.try_get(0).ok()).collect();
    let answers: Vec<bool> = workers.iter().map(|worker| known.contains(worker.as_str())).collect();
    let told = workers.iter().zip(&answers).filter(|(_, known)| **known);
    told.for_each(|(worker, _)| inner.hub.news(worker));
    Ok(answers)
}

const fn number(directive: Directive) -> i16 {
    match directive {
        Directive::Run => 0,
        Directive::Quiet => 1,
        Directive::Stop => 2,
    }
}

const fn directive(number: i16) -> Directive {
    match number {
        1 => Directive::Quiet,
        2 => Directive::Stop,
        _ => Directive::Run,
    }
}

/// Why a row cannot be read.
enum Unreadable {
    Column(tokio_postgres::Error),
    Name(Refusal),
}

impl From<tokio_postgres::Error> for Unreadable {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Column(error)
    }
}

impl From<Refusal> for Unreadable {
    fn from(refusal: Refusal) -> Self {
        Self::Name(refusal)
    }
}

fn unreadable(why: Unreadable) -> Error {
    let error = Error::internal("a worker in the database cannot be read; somebody changed it");
    match why {
        Unreadable::Column(source) => error.caused_by(source),
        Unreadable::Name(source) => error.caused_by(source),
    }
}

fn view(row: &Row) -> Result<WorkerView, Unreadable> {
    let millis =
        |column| -> Result<u64, Unreadable> { Ok(row.try_get::<_, i64>(column)?.unsigned_abs()) };
    Ok(WorkerView {
        worker: WorkerId::new(row.try_get::<_, &str>("id")?)?,
        about: about(row)?.map(Arc::new),
        directive: directive(row.try_get("directive")?),
        leases: millis("leases")?,
        silent_for: Duration::from_millis(millis("silent")?),
    })
}

/// What it told of itself, if it did.
fn about(row: &Row) -> Result<Option<WorkerAbout>, Unreadable> {
    let Some(version) = row.try_get::<_, Option<&str>>("version")? else { return Ok(None) };
    let queues: Option<Vec<&str>> = row.try_get("queues")?;
    let kinds: Option<Vec<&str>> = row.try_get("kinds")?;
    let slots: Option<i64> = row.try_get("slots")?;
    Ok(Some(WorkerAbout {
        version: text::unescape(version).to_string(),
        queues: queues
            .unwrap_or_default()
            .into_iter()
            .map(QueueName::new)
            .collect::<Result<_, _>>()?,
        kinds: kinds.unwrap_or_default().into_iter().map(Kind::new).collect::<Result<_, _>>()?,
        slots: u32::try_from(slots.unwrap_or_default()).unwrap_or(u32::MAX),
    }))
}
