//! Completed tasks that are kept no longer: thousands of them go by one number, their queue's mark.
//!
//! A queue is looked at when something has completed in it, when the oldest is kept for long
//! enough, and when its settings change; never merely because it is there. Whoever takes a single
//! task out of the completed ones holds the queue's row of `retention`, as a look does.

use std::collections::{BTreeMap, HashMap};

use haulier_core::{Result, State};
use tokio::try_join;

use super::forget::{Removal, remove};
use super::plan::{Batch, Plan, Queue};
use super::{Slice, Step, lock};
use crate::db::{Failed, Params, Tx, sql};
use crate::now::millis;
use crate::tally::Tally;

/// Queues that one look goes through.
const QUEUES: i64 = 64;
/// Queues whose counts are added up at a time.
const SUMS: i64 = 1_024;
/// A look that removes so many tasks is one of many.
const MANY: usize = 500;
/// Tasks that a look may remove where many are: most of them go with the rows of their batches.
const MOST: usize = 16_000;
/// Looks at a busy queue that pass over what lies below its mark, between two that do not.
const PASSES: u32 = 32;

/// Adds counts up, and has those queues looked at in which something was completed, or a key became
/// free.
pub(super) async fn add_up(slice: &mut Slice<'_>) -> Result<bool> {
    let run = |tx: Tx<'static>| async move {
        if !lock(&tx, Step::Tally).await? {
            return Ok(false);
        }
        let wall = millis(tx.now().await?.wall);
        let (some, free): (Params<'_>, Params<'_>) = (&[&SUMS], &[&wall, &SUMS]);
        let (fresh, freed) = try_join!(
            biased;
            tx.query(sql!("tally_fresh"), some),
            tx.query(sql!("completion_free"), free),
        )?;
        let column = |rows: &[tokio_postgres::Row]| -> Result<Vec<i32>, Failed> {
            Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
        };
        let (fresh, mut looks) = (column(&fresh)?, column(&freed)?);
        for row in tx.query(sql!("tally_sum"), &[&fresh]).await? {
            if row.try_get::<_, i64>("completed")? > 0 {
                looks.push(row.try_get("queue")?);
            }
        }
        if !looks.is_empty() {
            tx.execute(sql!("retention_look"), &[&looks]).await?;
        }
        Ok(!fresh.is_empty() || !looks.is_empty())
    };
    slice.inner.db.write("sweep", run).await
}

/// What a look did.
#[derive(Debug, Default)]
struct Looked {
    queues: bool,
    /// Of each queue, how many tasks went.
    gone: Vec<(i32, usize)>,
}

/// Looks at the queues that are due.
pub(super) async fn look(slice: &mut Slice<'_>) -> Result<bool> {
    let busy = &slice.memory.busy;
    let budget = if busy.is_empty() { slice.left } else { slice.left.max(MOST) };
    let looked = slice.inner.db.write("sweep", |tx| look_at_some(tx, budget, busy)).await?;
    for &(queue, gone) in &looked.gone {
        slice.spend(gone);
        slice.done.pruned += gone as u64;
        let busy = &mut slice.memory.busy;
        if gone >= MANY {
            let passes = busy.entry(queue).or_default();
            *passes = (*passes + 1) % PASSES;
        } else {
            busy.remove(&queue);
        }
    }
    Ok(looked.queues)
}

async fn look_at_some(
    tx: Tx<'static>,
    budget: usize,
    busy: &HashMap<i32, u32>,
) -> Result<Looked, Failed> {
    let (got, now) = try_join!(biased; lock(&tx, Step::Retain), tx.now())?;
    let wall = millis(now.wall);
    if !got {
        return Ok(Looked::default());
    }
    let due = tx.query(sql!("retention_due"), &[&wall, &QUEUES]).await?;
    if due.is_empty() {
        return Ok(Looked::default());
    }
    let mut queues: BTreeMap<i32, Queue> = BTreeMap::new();
    for row in &due {
        queues.insert(
            row.try_get("queue")?,
            Queue {
                below: row.try_get("gone_below")?,
                retain: row.try_get("retain_completed")?,
                most: row.try_get("retain_count")?,
                ..Queue::default()
            },
        );
    }
    read(&tx, &mut queues, wall, budget, busy).await?;
    let (mut left, mut plans) = (budget, BTreeMap::new());
    for (number, queue) in &queues {
        let plan = queue.plan(wall, left);
        left -= plan.tasks();
        plans.insert(*number, plan);
    }
    let looked = Looked {
        queues: true,
        gone: plans.iter().map(|(queue, plan)| (*queue, plan.tasks())).collect(),
    };
    carry_out(&tx, &now, &queues, &plans).await?;
    Ok(looked)
}

/// Reads how many there are, and the first of them.
async fn read(
    tx: &Tx<'_>,
    queues: &mut BTreeMap<i32, Queue>,
    wall: i64,
    budget: usize,
    busy: &HashMap<i32, u32>,
) -> Result<(), Failed> {
    let numbers: Vec<i32> = queues.keys().copied().collect();
    for row in tx.query(sql!("retention_counts"), &[&numbers]).await? {
        if let Some(queue) = queues.get_mut(&row.try_get("queue")?) {
            queue.completed = row.try_get("completed")?;
        }
    }
    let (mut floors, mut below, mut over, mut excess) = (vec![], vec![], vec![], vec![]);
    for (number, queue) in queues.iter() {
        let is_busy = busy.get(number).copied() > Some(0);
        floors.push(if is_busy { queue.below } else { 0 });
        below.push(queue.below);
        over.push(wall.saturating_sub(queue.retain));
        excess.push(queue.completed.saturating_sub(queue.most).max(0));
    }
    let each = (budget / queues.len()).max(16);
    let limit = i64::try_from(each).unwrap_or(i64::MAX);
    let asked: Params<'_> = &[&numbers, &floors, &below, &over, &excess, &limit];
    let heads = tx.query(sql!("retention_heads"), asked).await?;
    for row in &heads {
        let Some(queue) = queues.get_mut(&row.try_get("queue")?) else { continue };
        let tasks = row.try_get::<_, i32>("tasks")?.unsigned_abs() as usize;
        let batch = Batch {
            first: row.try_get("first")?,
            at: row.try_get("at")?,
            tasks,
            single: row.try_get("single")?,
        };
        if row.try_get("free")? {
            queue.free.push(batch);
            queue.more_free = queue.free.len() == each;
        } else {
            queue.plain.push(batch);
            queue.more_plain = queue.plain.len() == each;
        }
    }
    Ok(())
}

/// Lets go what is to go.
async fn carry_out(
    tx: &Tx<'_>,
    now: &crate::now::Now,
    queues: &BTreeMap<i32, Queue>,
    plans: &BTreeMap<i32, Plan>,
) -> Result<(), Failed> {
    let singles = alone(tx, plans).await?;
    let planned: usize = plans.values().map(|plan| plan.singles.len()).sum();
    remove(tx, now, &singles).await?;
    // Somebody is at one of them: it will be there again, or not, in a moment.
    let soon = (singles.len() < planned).then(|| millis(now.wall.after(super::HELD)));
    let rests = rests(tx, plans).await?;
    let (mut gone, mut marks, mut tally) = (Gone::default(), Marks::default(), Tally::default());
    for (queue, plan) in plans {
        let mut below = queues.get(queue).map_or(0, |queue| queue.below);
        for batch in &plan.whole {
            gone.add(*queue, batch, batch.tasks);
            below = below.max(after(batch.first));
        }
        if let Some((batch, going)) = &plan.part {
            gone.add(*queue, batch, *going);
            below = below.max(rests.get(queue).copied().unwrap_or(batch.first));
        }
        let tasks = plan.tasks() - plan.singles.len();
        tally.removed(*queue, State::Completed, i64::try_from(tasks).unwrap_or_default());
        marks.add(*queue, below, plan.look_at.into_iter().chain(soon).min());
    }
    let wall = millis(now.wall);
    let parts: Vec<(i32, Batch, usize)> = plans
        .iter()
        .filter_map(|(queue, plan)| plan.part.map(|(batch, going)| (*queue, batch, going)))
        .collect();
    if !parts.is_empty() {
        let queues: Vec<i32> = parts.iter().map(|(queue, ..)| *queue).collect();
        let firsts: Vec<i64> = parts.iter().map(|(_, batch, _)| batch.first).collect();
        let begin: Vec<i64> =
            queues.iter().map(|queue| rests.get(queue).copied().unwrap_or_default()).collect();
        let going: Vec<i32> = parts.iter().map(|(.., going)| count(*going)).collect();
        tx.execute(sql!("completion_split"), &[&queues, &firsts, &begin, &going]).await?;
    }
    let going: Params<'_> = &[&gone.queues, &gone.firsts, &wall, &gone.going];
    let marked: Params<'_> = &[&marks.queues, &marks.below, &marks.look_at];
    try_join!(
        biased;
        tx.execute(sql!("completion_gone"), going),
        tx.execute(sql!("retention_set"), marked),
        tally.save(tx),
    )?;
    Ok(())
}

/// What comes after all tasks of a batch: the first that the next call's batch could have.
fn after(first: i64) -> i64 {
    (first / 1_024 + 1) * 1_024
}

fn count(tasks: usize) -> i32 {
    i32::try_from(tasks).unwrap_or(i32::MAX)
}

/// Rows of completions whose tasks are gone.
#[derive(Debug, Default)]
struct Gone {
    queues: Vec<i32>,
    firsts: Vec<i64>,
    going: Vec<i32>,
}

impl Gone {
    fn add(&mut self, queue: i32, batch: &Batch, going: usize) {
        self.queues.push(queue);
        self.firsts.push(batch.first);
        self.going.push(count(going));
    }
}

/// How far retention has come.
#[derive(Debug, Default)]
struct Marks {
    queues: Vec<i32>,
    below: Vec<i64>,
    look_at: Vec<Option<i64>>,
}

impl Marks {
    fn add(&mut self, queue: i32, below: i64, look_at: Option<i64>) {
        self.queues.push(queue);
        self.below.push(below);
        self.look_at.push(look_at);
    }
}

/// The tasks of the singles that go, as far as nobody else is at them.
async fn alone(tx: &Tx<'_>, plans: &BTreeMap<i32, Plan>) -> Result<Vec<Removal>, Failed> {
    let singles = plans
        .iter()
        .flat_map(|(queue, plan)| plan.singles.iter().map(|batch| (*queue, batch.first)));
    let (queues, firsts): (Vec<i32>, Vec<i64>) = singles.unzip();
    if queues.is_empty() {
        return Ok(Vec::new());
    }
    let rows = tx.query(sql!("completion_single_lock"), &[&queues, &firsts]).await?;
    rows.iter().map(Removal::read).collect()
}

/// Where the rest of each batch begins of which only some tasks go.
async fn rests(tx: &Tx<'_>, plans: &BTreeMap<i32, Plan>) -> Result<HashMap<i32, i64>, Failed> {
    let parts: Vec<(i32, Batch, usize)> = plans
        .iter()
        .filter_map(|(queue, plan)| plan.part.map(|(batch, going)| (*queue, batch, going)))
        .collect();
    let mut rests = HashMap::new();
    if parts.is_empty() {
        return Ok(rests);
    }
    let queues: Vec<i32> = parts.iter().map(|(queue, ..)| *queue).collect();
    let firsts: Vec<i64> = parts.iter().map(|(_, batch, _)| batch.first).collect();
    let going: Vec<i32> = parts.iter().map(|(.., going)| count(*going)).collect();
    for row in tx.query(sql!("completion_rest"), &[&queues, &firsts, &going]).await? {
        rests.insert(row.try_get("queue")?, row.try_get("finish")?);
    }
    Ok(rests)
}
