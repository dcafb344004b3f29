//! Looking: single tasks, pages of them, queues. Nothing here changes anything.

use std::collections::BTreeMap;
use std::time::Duration;

use haulier_core::{
    Error, Filter, Include, Page, PageRequest, QueueName, QueueSettings, QueueStats, Result, State,
    StateCounts, TaskId, TaskView, Timestamp, limits,
};

use crate::control::settings;
use crate::db::whole;
use crate::definition::Definition;
use crate::enqueue::id;
use crate::pack::{Pack, Value, misread};
use crate::record::{Parts, Record};
use crate::store::Inner;
use crate::{notify, script};

/// Tasks that one script looks at for a page.
const CHUNK: usize = 500;
/// Tasks that one script reads with their large parts, and without: a script's answer is whole in
/// Redis and here.
const LARGE_AT_ONCE: usize = 8;
const BARE_AT_ONCE: usize = 100;
/// Queues of which one script finds the oldest available task.
const QUEUES_AT_ONCE: usize = 100;

fn write_ids(args: &mut Pack, ids: &[TaskId]) {
    args.list(ids, |args, id| {
        args.bytes(id.to_bytes());
    });
}

/// Tasks with these ids, once all that are known are final or `wait` is over.
pub(crate) async fn get(
    inner: &Inner,
    ids: Vec<TaskId>,
    include: Include,
    wait: Duration,
) -> Result<Vec<Option<TaskView>>> {
    if !wait.is_zero() {
        let mut end = inner.clock.sleep(wait);
        let mut finishes = inner.hub.finishes();
        while !are_final(inner, &ids).await? {
            tokio::select! {
                _ = finishes.changed() => {}
                () = inner.pace.sleep(notify::tick(inner)) => {}
                () = &mut end => break,
            }
        }
    }
    views(inner, &ids, include).await.map(|(_, views)| views)
}

async fn are_final(inner: &Inner, ids: &[TaskId]) -> Result<bool> {
    let mut args = Pack::new();
    write_ids(&mut args, ids);
    for number in inner.read(&script::STATES, args).await?.list()? {
        // Unknown ones are waited for by nobody.
        if number.int()? >= 0 && !crate::enqueue::state(&number)?.is_final() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A task, from its definition and its standing, if it has one.
fn record(id: TaskId, definition: Value, standing: Value) -> Result<Record> {
    let definition = Definition::read(id, &definition.bytes()?)?;
    Record::read(definition, standing.maybe().map(Value::bytes).transpose()?)
}

/// Tasks as they stand, and the calendar's time.
async fn views(
    inner: &Inner,
    ids: &[TaskId],
    include: Include,
) -> Result<(Timestamp, Vec<Option<TaskView>>)> {
    let mut args = Pack::new();
    args.array(3).bool(include.payload).bool(include.result);
    write_ids(&mut args, ids);
    let [wall, now, found] = inner.read(&script::GET, args).await?.tuple()?;
    let (wall, now) = (Timestamp(wall.count()?), now.count()?);
    let found = found.list()?;
    if found.len() != ids.len() {
        return Err(misread());
    }
    let view = |(id, found): (&TaskId, Value)| {
        let Some(found) = found.maybe() else { return Ok(None) };
        let [definition, standing, payload, progress, checkpoints, result, failures] =
            found.tuple()?;
        let parts = Parts {
            payload,
            with_payload: include.payload,
            result,
            progress,
            checkpoints,
            checkpoint_values: include.checkpoints,
            failures,
        };
        record(*id, definition, standing)?.view(parts, now).map(Some)
    };
    let views = ids.iter().zip(found).map(view).collect::<Result<_>>()?;
    Ok((wall, views))
}

/// One page of a listing, newest first.
pub(crate) async fn list(inner: &Inner, filter: Filter, page: PageRequest) -> Result<Page> {
    if page.size == 0 || page.size > limits::PAGE_MAX {
        let detail = format!("is {}; it goes from 1 to {}", page.size, limits::PAGE_MAX);
        return Err(Error::invalid("page.size", detail));
    }
    let mut below = match &page.after {
        Some(token) => read_token(token)?,
        None => Vec::new(),
    };
    let mut matching = Vec::new();
    let (mut examined, mut more) = (0, true);
    while more && matching.len() < page.size && examined < limits::PAGE_EXAMINED_MAX {
        let ask = CHUNK.min(limits::PAGE_EXAMINED_MAX - examined);
        let (now, chunk) = chunk(inner, &below, ask + 1).await?;
        more = chunk.len() > ask;
        let length = chunk.len();
        for (at, (place, candidate)) in chunk.into_iter().take(ask).enumerate() {
            examined += 1;
            below = place;
            let Some((id, record)) = candidate else { continue };
            if !filter.matches(&record.subject(), now) {
                continue;
            }
            matching.push((below.clone(), id));
            if matching.len() == page.size {
                more = at + 1 < length;
                break;
            }
        }
    }
    let next = if more { Some(token(&below)?) } else { None };
    let (mut tasks, mut bytes) = (Vec::new(), 0);
    let mut shown = Vec::new();
    let large = page.include != Include::default();
    for some in matching.chunks(if large { LARGE_AT_ONCE } else { BARE_AT_ONCE }) {
        let ids: Vec<TaskId> = some.iter().map(|(_, id)| *id).collect();
        let (now, views) = views(inner, &ids, page.include).await?;
        for ((place, _), view) in some.iter().zip(views) {
            // What has changed meanwhile is shown as it stands now, if it still matches.
            let Some(view) = view.filter(|view| matches(&filter, view, now)) else { continue };
            bytes += view.bytes();
            if bytes > limits::PAGE_BYTES_MAX && !tasks.is_empty() {
                return Ok(Page { tasks, next: Some(token(&shown)?) });
            }
            tasks.push(view);
            shown.clone_from(place);
        }
    }
    Ok(Page { tasks, next })
}

fn matches(filter: &Filter, view: &TaskView, now: Timestamp) -> bool {
    let subject = haulier_core::filter::Subject {
        queue: view.task.queue.as_str(),
        kind: view.task.kind.as_str(),
        state: view.standing.state,
        reason: view.standing.reason,
        enqueued_at: view.enqueued_at,
        labels: &view.task.labels,
    };
    filter.matches(&subject, now)
}

/// A task's age and id, with what a filter looks at; nothing if it is gone.
type Candidate = (Vec<u8>, Option<(TaskId, Record)>);

async fn chunk(inner: &Inner, below: &[u8], most: usize) -> Result<(Timestamp, Vec<Candidate>)> {
    let mut args = Pack::new();
    args.array(2).bytes(below).int(whole(most as u64));
    let [wall, found] = inner.read(&script::LIST, args).await?.tuple()?;
    let candidate = |value: Value| {
        let [place, definition, standing] = value.tuple()?;
        let place = place.bytes()?;
        let task = id(Value::Bytes(place.slice(place.len().min(8)..)))?;
        let known = definition.maybe();
        let record = known.map(|definition| record(task, definition, standing)).transpose()?;
        Ok((place.to_vec(), record.map(|record| (task, record))))
    };
    let candidates = found.list()?.into_iter().map(candidate).collect::<Result<_>>()?;
    Ok((Timestamp(wall.count()?), candidates))
}

/// Where a page ended, for users: the age and id that the index is ordered by.
fn token(place: &[u8]) -> Result<String> {
    let (at, id) = place.split_at_checked(8).ok_or_else(misread)?;
    let at = u64::from_be_bytes(at.try_into().map_err(|_| misread())?);
    let id = TaskId::from_bytes(id.try_into().map_err(|_| misread())?);
    Ok(format!("{at}.{id}"))
}

fn read_token(token: &str) -> Result<Vec<u8>> {
    let parts = token.split_once('.');
    let read = parts.and_then(|(at, id)| Some((at.parse::<u64>().ok()?, TaskId::parse(id).ok()?)));
    let (at, id) =
        read.ok_or_else(|| Error::invalid("page.after", "is not the `next` of an earlier page"))?;
    Ok([&at.to_be_bytes()[..], &id.to_bytes()[..]].concat())
}

/// Every queue that has something to show, by name.
pub(crate) async fn queues(inner: &Inner) -> Result<Vec<QueueStats>> {
    let mut stats: BTreeMap<QueueName, QueueStats> = BTreeMap::new();
    let mut cursor = 0_u64;
    loop {
        let mut command = redis::cmd("HSCAN");
        command.arg(inner.db.keys.queue()).arg(cursor).arg("COUNT").arg(1_000);
        let (next, found): (u64, Vec<Vec<u8>>) = inner.db.command("queues", &command).await?;
        // One field is no queue, but a mark.
        for pair in found.chunks_exact(2).filter(|pair| !pair[0].is_empty()) {
            let queue = read_queue(&pair[0], pair[1].clone())?;
            // A queue may be found twice.
            stats.insert(queue.queue.clone(), queue);
        }
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    stats.retain(|_, queue| queue.counts.total() > 0 || queue.settings != QueueSettings::default());
    let mut stats: Vec<QueueStats> = stats.into_values().collect();
    find_oldest(inner, &mut stats).await?;
    Ok(stats)
}

/// A queue's record; the order is that of `flush_queues` in `prelude.lua`.
fn read_queue(name: &[u8], record: Vec<u8>) -> Result<QueueStats> {
    let name = std::str::from_utf8(name).map_err(|_| misread())?;
    let [paused, concurrency, max_tasks, retain, numbers, accepted, removed, finished, _served] =
        Value::read(record.into())?.tuple()?;
    let mut counts = StateCounts::default();
    for (state, number) in State::ALL.into_iter().zip(numbers.list()?) {
        *counts.slot(state) = number.count()?;
    }
    Ok(QueueStats {
        queue: QueueName::new(name).map_err(|_| misread())?,
        counts,
        oldest_available: None,
        settings: settings(&paused, &concurrency, &max_tasks, retain)?,
        accepted: accepted.count()?,
        removed: removed.count()?,
        finished: finished.count()?,
    })
}

async fn find_oldest(inner: &Inner, stats: &mut [QueueStats]) -> Result<()> {
    let mut waiting: Vec<&mut QueueStats> =
        stats.iter_mut().filter(|queue| queue.counts.get(State::Available) > 0).collect();
    for some in waiting.chunks_mut(QUEUES_AT_ONCE) {
        let mut args = Pack::new();
        args.texts(some.iter().map(|queue| &queue.queue));
        let ages = inner.read(&script::OLDEST, args).await?.list()?;
        for (queue, age) in some.iter_mut().zip(ages) {
            queue.oldest_available = age.count().ok().map(Duration::from_millis);
        }
    }
    Ok(())
}
