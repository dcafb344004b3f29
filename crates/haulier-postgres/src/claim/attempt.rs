//! One claim: a transaction in which tasks are found, shared out and leased.
//!
//! It takes two round trips. The first takes the mutexes of the queues, reads what their settings
//! let start, and looks through their lines; the second leases what was shared out, and ends. So
//! that nothing is decided on what was true before the mutexes were ours, each statement sees the
//! database as it is when it runs (`READ COMMITTED`), and they run in this order. Where it does not
//! matter who gets which task, looking and leasing are one statement: see `take`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures_util::future::{try_join, try_join_all, try_join5};
use haulier_core::probe::planted;
use haulier_core::{Kind, Lease, LeaseKey, Policy, QueueName, limits};
use tokio_postgres::Row;
use uuid::Uuid;

use super::share::{Ask, Candidate, Given, Offer, share};
use super::take::{self, take};
use super::tracks::{Key, Running};
use super::walk::{Found, Stretch, Walk};
use crate::db::{Failed, Tx, sql};
use crate::now::span;
use crate::row::{Reader, Shared};

/// What a claim is to do.
#[derive(Debug)]
pub(super) struct Job {
    /// Queues, in the order of their numbers, with when each was served last.
    pub queues: Vec<(i32, u64)>,
    /// What these queues are called.
    pub names: Vec<QueueName>,
    /// The mutex to wait for before the others are tried.
    pub wait_for: Option<i32>,
    pub asks: Vec<Ask>,
    /// How long each ask's leases last.
    pub ttls: Vec<i64>,
    pub walks: Vec<(Key, Walk)>,
    /// Grants before this claim.
    pub grants: u64,
    /// Whether to say which transactions run.
    pub wants_running: bool,
}

/// What a claim has done.
#[derive(Debug)]
pub(super) struct Claimed {
    /// Queues whose mutex it had.
    pub held: BTreeSet<i32>,
    /// Queues whose settings limit what runs.
    pub limited: BTreeSet<i32>,
    /// How far it looked, in those queues.
    pub walks: Vec<(Key, Walk)>,
    /// What was there to be had, by the numbers of the job's queues.
    pub offers: Vec<Offer>,
    pub given: Vec<Given>,
    pub leases: HashMap<Uuid, Lease>,
    pub running: Option<Running>,
}

/// Claims tasks.
pub(super) async fn claim(tx: Tx<'static>, job: &Job) -> Result<Claimed, Failed> {
    if let Some(turns) = take::turns(job)
        && let Some(claimed) = take(&tx, job, &turns).await?
    {
        return Ok(claimed);
    }
    look_and_share(&tx, job).await
}

async fn look_and_share(tx: &Tx<'_>, job: &Job) -> Result<Claimed, Failed> {
    let numbers: Vec<i32> = job.queues.iter().map(|(queue, _)| *queue).collect();
    let mut walks = job.walks.clone();
    let ((), held, rooms, running, mut found) = try_join5(
        wait_for(tx, job.wait_for),
        lock(tx, &numbers),
        rooms(tx, &numbers),
        running(tx, job.wants_running),
        look(tx, &walks),
    )
    .await?;
    let mut finds: Vec<BTreeMap<(i32, i64), Candidate>> = vec![BTreeMap::new(); numbers.len()];
    let is_open = |queue| held.contains(&queue) && rooms.get(&queue).is_some_and(Room::is_open);
    loop {
        let mut goes_on = false;
        for ((key, walk), found) in walks.iter_mut().zip(found.iter_mut()) {
            if held.contains(&key.0) {
                goes_on |= walk.go_on(found) && is_open(key.0);
            }
            let Ok(at) = numbers.binary_search(&key.0) else { continue };
            for task in found.drain(..).flat_map(|found| found.free) {
                keep(&mut finds[at], task);
            }
        }
        if !goes_on {
            break;
        }
        found = look(tx, &walks).await?;
    }
    walks.retain(|(key, _)| held.contains(&key.0));

    let mut offers: Vec<Offer> = job
        .queues
        .iter()
        .zip(finds)
        .map(|(&(queue, served), tasks)| {
            let room = rooms.get(&queue).filter(|_| held.contains(&queue)).map_or(0, Room::most);
            Offer { queue, served, room, tasks: tasks.into_values().collect() }
        })
        .collect();
    let mut asks = job.asks.clone();
    let given = share(&mut asks, &mut offers, job.grants);
    let leases =
        if given.is_empty() { HashMap::new() } else { grant(tx, job, &offers, &given).await? };
    let limited = rooms.iter().filter(|(_, room)| room.is_limited).map(|(queue, _)| *queue);
    let limited = limited.collect();
    Ok(Claimed { held, limited, walks, offers, given, leases, running })
}

/// Somebody who asked for certain kinds knows the kind of what he saw; others do not.
fn keep(tasks: &mut BTreeMap<(i32, i64), Candidate>, task: Candidate) {
    let known = tasks.entry((task.line, task.place)).or_insert_with(|| task.clone());
    if known.kind.is_empty() {
        known.kind = task.kind;
    }
}

/// What a queue's settings let start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    most: Option<i64>,
    pub is_limited: bool,
}

impl Room {
    pub const fn is_open(&self) -> bool {
        !matches!(self.most, Some(0))
    }

    pub fn most(&self) -> u64 {
        self.most.map_or(u64::MAX, i64::unsigned_abs)
    }
}

pub(super) async fn wait_for(tx: &Tx<'_>, queue: Option<i32>) -> Result<(), Failed> {
    if let Some(queue) = queue {
        tx.query(sql!("claim_wait"), &[&queue]).await?;
    }
    Ok(())
}

pub(super) async fn lock(tx: &Tx<'_>, queues: &[i32]) -> Result<BTreeSet<i32>, Failed> {
    let held: Vec<i32> = tx.one(sql!("claim_lock"), &[&queues]).await?.try_get("held")?;
    Ok(held.into_iter().collect())
}

pub(super) async fn rooms(tx: &Tx<'_>, queues: &[i32]) -> Result<HashMap<i32, Room>, Failed> {
    let rows = tx.query(sql!("claim_room"), &[&queues]).await?;
    let room = |row: &Row| {
        let room = Room { most: row.try_get("room")?, is_limited: row.try_get("is_limited")? };
        Ok((row.try_get("no")?, room))
    };
    rows.iter().map(room).collect()
}

pub(super) async fn running(tx: &Tx<'_>, is_wanted: bool) -> Result<Option<Running>, Failed> {
    if !is_wanted {
        return Ok(None);
    }
    let row = tx.one(sql!("claim_running"), &[]).await?;
    Ok(Some(Running { oldest: row.try_get("oldest")?, next: row.try_get("next")? }))
}

/// Looks through the stretches that are next on each way; one question for each set of kinds.
async fn look(tx: &Tx<'_>, walks: &[(Key, Walk)]) -> Result<Vec<Vec<Found>>, Failed> {
    let mut groups: BTreeMap<&Arc<[Kind]>, Vec<(usize, &Stretch)>> = BTreeMap::new();
    for (at, ((_, kinds), walk)) in walks.iter().enumerate() {
        let stretches = walk.looks().iter().map(|stretch| (at, stretch));
        groups.entry(kinds).or_default().extend(stretches);
    }
    groups.retain(|_, stretches| !stretches.is_empty());
    let asked = groups.iter().map(|(kinds, stretches)| look_for(tx, kinds, stretches));
    let answers = try_join_all(asked).await?;
    let mut found = vec![Vec::new(); walks.len()];
    for (stretches, answers) in groups.values().zip(answers) {
        for ((at, _), answer) in stretches.iter().zip(answers) {
            found[*at].push(answer);
        }
    }
    Ok(found)
}

async fn look_for(
    tx: &Tx<'_>,
    kinds: &[Kind],
    stretches: &[(usize, &Stretch)],
) -> Result<Vec<Found>, Failed> {
    fn column<T>(stretches: &[(usize, &Stretch)], of: impl Fn(&Stretch) -> T) -> Vec<T> {
        stretches.iter().map(|(_, stretch)| of(stretch)).collect()
    }
    let lines = column(stretches, |stretch| stretch.line);
    let afters = column(stretches, |stretch| stretch.after);
    let uptos = column(stretches, |stretch| stretch.upto);
    let rows = column(stretches, |stretch| stretch.rows);
    let names: Vec<&str> = kinds.iter().map(Kind::as_str).collect();
    let names = (!names.is_empty()).then_some(names);
    let rows = tx.query(sql!("claim_look"), &[&lines, &afters, &uptos, &rows, &names]).await?;
    let mut found = vec![Found::default(); stretches.len()];
    for row in &rows {
        let no = usize::try_from(row.try_get::<_, i64>(0)? - 1).unwrap_or(usize::MAX);
        let Some(found) = found.get_mut(no) else { continue };
        let place = row.try_get(2)?;
        found.reached = found.reached.max(Some(place));
        found.more |= row.try_get::<_, bool>(5)?;
        if row.try_get(4)? {
            let kind = row.try_get::<_, Option<&str>>(3)?.unwrap_or_default().to_owned();
            found.free.push(Candidate { line: lines[no], place, id: row.try_get(1)?, kind });
        }
    }
    Ok(found)
}

/// Leases what was given, and ends the transaction.
async fn grant(
    tx: &Tx<'_>,
    job: &Job,
    offers: &[Offer],
    given: &[Given],
) -> Result<HashMap<Uuid, Lease>, Failed> {
    let ids: Vec<Uuid> =
        given.iter().map(|given| offers[given.offer].tasks[given.task].id).collect();
    let workers: Vec<&str> =
        given.iter().map(|given| job.asks[given.ask].worker.as_str()).collect();
    let ttls: Vec<i64> = given.iter().map(|given| ttl(job, given)).collect();
    let (timeout, grace) = allowances();
    let (rows, ()) = try_join(
        tx.query(sql!("claim_grant"), &[&ids, &workers, &ttls, &timeout, &grace]),
        tx.commit(),
    )
    .await?;
    let mut leases = Leases::of(&rows);
    let lasts: HashMap<Uuid, i64> = ids.into_iter().zip(ttls).collect();
    rows.iter()
        .map(|row| {
            let id: Uuid = row.try_get("id")?;
            let queue = job.queues.binary_search_by_key(&row.try_get("queue")?, |(no, _)| *no);
            let name = &job.names[queue.unwrap_or_default()];
            let ttl = lasts.get(&id).copied().unwrap_or_default();
            Ok((id, leases.read(row, name, ttl)?))
        })
        .collect()
}

/// How long a lease lasts.
pub(super) fn ttl(job: &Job, given: &Given) -> i64 {
    let part = if planted("lease-ends-early") { 2 } else { 1 };
    job.ttls[given.ask] / part
}

/// How long a task may run if it does not say so itself, and how long it may take to stop.
pub(super) fn allowances() -> (i64, i64) {
    (span(Policy::default().timeout), span(limits::STOP_GRACE))
}

/// Reads leases from the rows that say what was leased.
#[derive(Debug)]
pub(super) struct Leases {
    reader: Reader,
    shared: Shared,
}

impl Leases {
    pub fn of(rows: &[Row]) -> Self {
        Self { reader: Reader::of(rows), shared: Shared::default() }
    }

    /// The lease of a task of this queue.
    pub fn read(&mut self, row: &Row, queue: &QueueName, ttl: i64) -> Result<Lease, Failed> {
        let task = Arc::new(self.reader.task_of(row, queue, &mut self.shared)?);
        let (granted, attempt) = self.reader.granted(row)?;
        let (losses, enqueued_at) = self.reader.past(row)?;
        let ttl = crate::row::span(ttl);
        let key = LeaseKey { task: task.id, epoch: granted };
        let checkpoints = self.reader.checkpoints(row)?;
        Ok(Lease { key, attempt, losses, ttl, enqueued_at, checkpoints, task })
    }
}
