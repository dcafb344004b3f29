//! Storing tasks that have to be looked at before: under the locks that make what is seen stay as
//! it is, in one transaction for all of them.
//!
//! Locks come in this order: room of queues, lines of queues, keys, tasks.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use haulier_core::{Durability, Enqueued, Event, OnConflict, Result, TaskId};
use tokio::try_join;
use uuid::Uuid;

use super::columns::{All, Columns, More};
use super::decide::{Key, Plan, Room, World};
use super::{Given, plain};
use crate::change::{self, InLine};
use crate::db::{Failed, Params, Tx, sql};
use crate::known::Known;
use crate::now::{Now, millis};
use crate::row::{self, Reader, content_type_column, uuid};
use crate::store::Inner;
use crate::text::escape;

/// Stores each of these tasks or says why not.
pub(super) async fn insert(
    inner: &Inner,
    given: &[Given<'_>],
    answers: &mut [Option<Enqueued>],
    in_line: &mut InLine,
) -> Result<()> {
    let durability = inner.durability();
    let stored = inner.db.write("enqueue", |tx| async move { once(&tx, given, durability).await });
    let (found, lines, called_off) = stored.await?;
    for (at, answer) in found {
        answers[at] = Some(answer);
    }
    for (queue, place) in lines.iter() {
        in_line.add(queue, place);
    }
    if called_off {
        inner.hub.finished();
    }
    Ok(())
}

type Stored = (Vec<(usize, Enqueued)>, InLine, bool);

async fn once(tx: &Tx<'_>, given: &[Given<'_>], durability: Durability) -> Result<Stored, Failed> {
    let keys: Vec<Option<Key>> = given.iter().map(key).collect();
    let (now, rooms, mut holders) = lock(tx, given, &keys).await?;
    let ours: HashSet<Key> =
        holders.iter().filter(|(_, (_, ours))| *ours).map(|(key, _)| key.clone()).collect();
    let (known, same) = look(tx, given, &mut holders).await?;
    let holders = holders.into_iter().map(|(key, (task, _))| (key, task)).collect();
    let plan = World::new(now.wall, durability, known, same, holders, rooms).decide(given, &keys);
    let in_line = store(tx, &plan, &now).await?;
    let cancelled = call_off(tx, &plan.replaced, &now).await?;
    keep_keys(tx, &plan, &ours).await?;
    Ok((plan.answers, in_line, cancelled))
}

fn key(given: &Given<'_>) -> Option<Key> {
    Some((given.queue?, escape(&given.task.unique.as_ref()?.key).into_owned()))
}

/// Whom a key belongs to, and whether we wrote that just now.
type Holders = HashMap<Key, (TaskId, bool)>;

/// Takes the locks of queues and keys, and reads what only they make certain.
async fn lock(
    tx: &Tx<'_>,
    given: &[Given<'_>],
    keys: &[Option<Key>],
) -> Result<(Now, HashMap<i32, Room>, Holders), Failed> {
    let queues: Vec<i32> =
        given.iter().filter_map(|given| given.queue).collect::<BTreeSet<_>>().into_iter().collect();
    let replaces = |given: &&Given<'_>| {
        given.task.unique.as_ref().is_some_and(|it| it.on_conflict == OnConflict::Replace)
    };
    let lines: BTreeSet<i32> =
        given.iter().filter(replaces).filter_map(|given| given.queue).collect();
    let lines: Vec<i32> = lines.into_iter().collect();
    let mut first: BTreeMap<&Key, Uuid> = BTreeMap::new();
    for (given, key) in given.iter().zip(keys) {
        if let Some(key) = key {
            first.entry(key).or_insert_with(|| uuid(given.task.id));
        }
    }
    let key_queues: Vec<i32> = first.keys().map(|key| key.0).collect();
    let key_texts: Vec<&str> = first.keys().map(|key| &*key.1).collect();
    let key_tasks: Vec<Uuid> = first.values().copied().collect();
    let (queues, lines): (Params<'_>, Params<'_>) = (&[&queues], &[&lines]);
    let take: Params<'_> = &[&key_queues, &key_texts, &key_tasks];
    let lock: Params<'_> = &[&key_queues, &key_texts];
    let (rooms, _, taken, held, now) = try_join!(
        biased;
        tx.query(sql!("room_lock"), queues),
        tx.query(sql!("line_lock"), lines),
        tx.query(sql!("holder_take"), take),
        tx.query(sql!("holder_lock"), lock),
        tx.now(),
    )?;
    let mut most = HashMap::new();
    for row in &rooms {
        most.insert(row.try_get::<_, i32>("no")?, row.try_get::<_, i64>("max_tasks")?);
    }
    let mut ours = HashSet::new();
    for row in &taken {
        ours.insert((row.try_get::<_, i32>("queue")?, row.try_get::<_, String>("key")?));
    }
    let mut holders = Holders::new();
    for row in &held {
        let key: Key = (row.try_get("queue")?, row.try_get("key")?);
        let mine = ours.contains(&key);
        holders.insert(key, (row::id(row.try_get("task")?), mine));
    }
    Ok((now, room(tx, most).await?, holders))
}

/// How full queues with `max_tasks` are.
async fn room(tx: &Tx<'_>, most: HashMap<i32, i64>) -> Result<HashMap<i32, Room>, Failed> {
    if most.is_empty() {
        return Ok(HashMap::new());
    }
    let queues: Vec<i32> = most.keys().copied().collect();
    let mut pending = HashMap::new();
    for row in tx.query(sql!("queue_pending"), &[&queues]).await? {
        pending.insert(row.try_get::<_, i32>("queue")?, row.try_get::<_, i64>("pending")?);
    }
    let room = |(queue, most)| {
        (queue, Room { pending: pending.get(&queue).copied().unwrap_or_default(), most })
    };
    Ok(most.into_iter().map(room).collect())
}

/// Reads the tasks that are met: by their ids, and because they hold keys. Who might have to give
/// way is locked.
async fn look(
    tx: &Tx<'_>,
    given: &[Given<'_>],
    holders: &mut Holders,
) -> Result<(Vec<Known>, HashSet<usize>), Failed> {
    let holding: Vec<Uuid> = holders
        .values()
        .filter(|(_, ours)| !ours)
        .map(|(task, _)| uuid(*task))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let mut ids: Vec<Uuid> = given.iter().map(|given| uuid(given.task.id)).collect();
    ids.extend(&holding);
    let (holding, ids): (Params<'_>, Params<'_>) = (&[&holding], &[&ids]);
    let (_, rows) = try_join!(
        biased;
        tx.query(sql!("task_lock"), holding),
        tx.query(sql!("standing"), ids),
    )?;
    let reader = Reader::of(&rows);
    let known: Vec<Known> = rows.iter().map(|row| reader.known(row)).collect::<Result<_, _>>()?;
    let there: HashSet<TaskId> = known.iter().map(|task| task.id).collect();
    let again: Vec<&Given<'_>> =
        given.iter().filter(|given| there.contains(&given.task.id)).collect();
    Ok((known, same(tx, &again).await?))
}

/// Which of these tasks are the same work as what is stored under their ids.
async fn same(tx: &Tx<'_>, given: &[&Given<'_>]) -> Result<HashSet<usize>, Failed> {
    if given.is_empty() {
        return Ok(HashSet::new());
    }
    let ats: Vec<i64> =
        given.iter().map(|given| i64::try_from(given.at).unwrap_or(i64::MAX)).collect();
    let ids: Vec<Uuid> = given.iter().map(|given| uuid(given.task.id)).collect();
    let queues: Vec<Option<i32>> = given.iter().map(|given| given.queue).collect();
    let kinds: Vec<&str> = given.iter().map(|given| given.task.kind.as_str()).collect();
    let payloads: Vec<&[u8]> = given.iter().map(|given| &*given.task.payload.bytes).collect();
    let types: Vec<Option<&str>> =
        given.iter().map(|given| content_type_column(&given.task.payload)).collect();
    let rows =
        tx.query(sql!("task_same"), &[&ats, &ids, &queues, &kinds, &payloads, &types]).await?;
    let at = |row: &tokio_postgres::Row| -> Result<usize, Failed> {
        Ok(usize::try_from(row.try_get::<_, i64>("at")?).unwrap_or(usize::MAX))
    };
    rows.iter().map(at).collect()
}

/// Stores the tasks of a plan, in their order.
async fn store(tx: &Tx<'_>, plan: &Plan<'_>, now: &Now) -> Result<InLine, Failed> {
    let mut in_line = InLine::default();
    if plan.stored.is_empty() {
        return Ok(in_line);
    }
    let all = All {
        wall: Some(millis(now.wall)),
        unlimited: false,
        columns: Columns::of(&plan.stored),
        more: More::of(&plan.stored),
    };
    let rows = tx.query(sql!("enqueue"), &all.params()).await?;
    let stored = plain::read(&rows, &mut in_line)?.unwrap_or_default();
    // Somebody else stored one of them a moment ago: it has to be compared.
    if stored.len() < plan.stored.len() {
        return Err(Failed::Again);
    }
    Ok(in_line)
}

/// Cancels tasks that give way.
async fn call_off(tx: &Tx<'_>, tasks: &[TaskId], now: &Now) -> Result<bool, Failed> {
    if tasks.is_empty() {
        return Ok(false);
    }
    let ids: Vec<Uuid> = tasks.iter().map(|id| uuid(*id)).collect();
    let rows = tx.query(sql!("standing"), &[&ids]).await?;
    let reader = Reader::of(&rows);
    let mut known: Vec<Known> =
        rows.iter().map(|row| reader.known(row)).collect::<Result<_, _>>()?;
    for task in &mut known {
        task.carry_out(Event::Cancel, now).map_err(haulier_core::Error::from)?;
    }
    change::save(tx, now, &known).await?;
    Ok(true)
}

/// Writes down who holds keys now, and takes back what was written for tasks that did not get
/// theirs.
async fn keep_keys(tx: &Tx<'_>, plan: &Plan<'_>, ours: &HashSet<Key>) -> Result<(), Failed> {
    let queues: Vec<i32> = plan.taken.keys().map(|key| key.0).collect();
    let texts: Vec<&str> = plan.taken.keys().map(|key| &*key.1).collect();
    let tasks: Vec<Uuid> = plan.taken.values().map(|id| uuid(*id)).collect();
    let unused: Vec<&Key> = ours.iter().filter(|key| !plan.taken.contains_key(*key)).collect();
    let unused_queues: Vec<i32> = unused.iter().map(|key| key.0).collect();
    let unused_texts: Vec<&str> = unused.iter().map(|key| &*key.1).collect();
    let set = async {
        if queues.is_empty() {
            return Ok(0);
        }
        tx.execute(sql!("holder_set"), &[&queues, &texts, &tasks]).await
    };
    let drop = async {
        if unused_queues.is_empty() {
            return Ok(0);
        }
        tx.execute(sql!("holder_drop"), &[&unused_queues, &unused_texts]).await
    };
    try_join!(set, drop)?;
    Ok(())
}
