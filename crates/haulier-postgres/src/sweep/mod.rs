//! What time alone does: pauses end, leases run out, tasks expire, finished tasks are removed and
//! their ids forgotten, counts are added up.
//!
//! Every server sweeps. A sweep looks with one statement at the first of everything, and does only
//! what is due, in transactions of a bounded size. Each step is done by one server at a time: the
//! others do not wait for it, they do something else. Nothing here decides by a server's calendar;
//! see `time`.

mod due;
mod floor;
mod forget;
mod plan;
mod retain;
mod time;
mod timers;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use haulier_core::probe::sometimes;
use haulier_core::{Result, Swept, limits};
use tokio::sync::Mutex;
use tokio::try_join;

use crate::db::{Failed, Params, Tx, sql};
use crate::now::span;
use crate::store::Inner;
use crate::workers;
use due::{AHEAD, Begun, Due, Floors};
use time::{GAP, Moment, Seen, TOLERANCE, Time, Watch};

pub(crate) use forget::{Removal, remove};

/// A node that is not heard of any more is deleted after this long.
const NODE_FORGOTTEN_AFTER: i64 = 60_000;
/// A node says this often that it is there.
const NODE_HEARD_EVERY: i64 = 1_000;
/// What is due, but held by somebody else, is looked at again after this long.
const HELD: Duration = Duration::from_millis(50);
/// Counts are added up this often while many tasks are completed. Each time leaves rows behind that
/// are gone, and every sum walks over them until the last transaction has ended that began before.
const ADDED_UP_EVERY: Duration = Duration::from_secs(1);
/// Silent workers are looked for this often.
const WORKERS_EVERY: Duration = Duration::from_secs(1);

/// What a server remembers from one sweep to the next. One sweep of a server at a time.
#[derive(Debug, Default)]
pub(crate) struct Sweeper(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    /// Of which database the rest is remembered; see [`crate::db::Db::era`].
    era: u64,
    watch: Option<Watch>,
    /// Whether the last sweep failed.
    failing: bool,
    floors: Floors,
    /// Queues that complete many tasks: looks at each since the last one from the beginning.
    busy: HashMap<i32, u32>,
    /// When counts were added up last.
    added_up_at: Option<Duration>,
    /// When silent workers are looked for again.
    workers_at: Option<Duration>,
}

/// The steps of a sweep, each with a lock of its own.
#[derive(Debug, Clone, Copy)]
enum Step {
    Expire,
    Timers,
    Kept,
    Tally,
    Retain,
    Forget,
}

/// Takes the lock of a step; `false` if another server is at it.
async fn lock(tx: &Tx<'_>, step: Step) -> Result<bool, Failed> {
    Ok(tx.one(sql!("sweep_lock"), &[&(step as i32)]).await?.try_get("got")?)
}

/// A server has opened the store. If no other one is there, time goes on where it stood, and every
/// lease lasts its full ttl again, never less than was promised; workers are forgotten.
pub(crate) async fn arrive(inner: &Arc<Inner>) -> Result<()> {
    let mut memory = inner.sweeper.0.lock().await;
    let node = &inner.node;
    let before = inner.clock.monotonic();
    let seen = inner
        .db
        .write("open", |tx| async move {
            let row = tx.one(sql!("arrive"), &[node, &GAP]).await?;
            let (mut seen, others) = (time::seen(&row)?, row.try_get::<_, bool>("others")?);
            let alone = !others || seen.gap() > GAP;
            if alone && !(-TOLERANCE..=GAP).contains(&seen.gap()) {
                let leases = seen.leases;
                let slip = seen.clock - leases;
                let wall = seen.clock.max(seen.wall);
                tx.execute(sql!("sweep_time"), &[&wall, &slip, &leases, &seen.slip]).await?;
                seen = Seen { wall, slip, ..seen };
            }
            let leases = seen.told().max(seen.leases);
            if alone {
                heal(&tx, leases).await?;
                tx.execute(sql!("worker_forget_all"), &[]).await?;
                tx.execute(sql!("node_forget"), &[&i64::MAX]).await?;
            }
            tx.execute(sql!("node_heard"), &[node, &leases]).await?;
            Ok(seen)
        })
        .await?;
    let moment = Moment { before, after: inner.clock.monotonic() };
    let watch = Some(Watch::start(&seen, moment));
    *memory = Memory { era: inner.db.era(), watch, ..Memory::default() };
    Ok(())
}

/// A server is closing the store in good order.
pub(crate) async fn leave(inner: &Arc<Inner>) -> Result<()> {
    inner.db.write_one("close", sql!("node_leave"), &[&inner.node]).await?;
    Ok(())
}

/// Nobody could renew a lease for a while: each lasts its full ttl again.
async fn heal(tx: &Tx<'_>, leases: i64) -> Result<(), Failed> {
    let grace = span(limits::STOP_GRACE);
    if tx.execute(sql!("lease_heal"), &[&leases, &grace]).await? > 0 {
        sometimes("gap healed");
    }
    Ok(())
}

/// One bounded slice of everything.
pub(crate) async fn sweep(inner: &Arc<Inner>, budget: usize) -> Result<Swept> {
    slice(inner, budget, true).await
}

/// One bounded slice of what brings tasks into line, for whoever waits for them.
pub(crate) async fn promote(inner: &Arc<Inner>, budget: usize) -> Result<Swept> {
    slice(inner, budget, false).await
}

async fn slice(inner: &Arc<Inner>, budget: usize, all: bool) -> Result<Swept> {
    let mut memory = inner.sweeper.0.lock().await;
    let began = inner.clock.monotonic();
    let era = inner.db.era();
    if memory.era != era {
        // Another database may have what was done with in the one before. Time goes on.
        let Memory { watch, failing, .. } = *memory;
        *memory = Memory { era, watch, failing, ..Memory::default() };
    }
    let begun = memory.floors.begin(began);
    let done = Swept::default();
    let is_time = |at: Duration| began.saturating_sub(at) >= ADDED_UP_EVERY;
    let adds_up = all && (memory.busy.is_empty() || memory.added_up_at.is_none_or(is_time));
    let slice = Slice { inner, memory: &mut memory, began, begun, adds_up, left: budget, done };
    let swept = slice.run(all).await;
    memory.failing = swept.is_err();
    swept
}

/// A sweep that is going on.
struct Slice<'a> {
    inner: &'a Arc<Inner>,
    memory: &'a mut Memory,
    /// By the server's own clock.
    began: Duration,
    /// Where its looks begin.
    begun: Begun,
    /// Whether it is to see if there are counts to be added up.
    adds_up: bool,
    /// Tasks that it may still touch.
    left: usize,
    done: Swept,
}

impl Slice<'_> {
    async fn run(mut self, all: bool) -> Result<Swept> {
        let mut due = self.look().await?;
        let brought = self.bring_about(&due).await?;
        let kept = all && self.keep_house(&due).await?;
        let worked = brought || kept;
        if worked {
            due = self.look().await?;
        }
        self.memory.floors.reach(&due);
        let idle = limits::WORKER_FORGOTTEN_AFTER;
        self.done.next = match due.next(all) {
            Duration::ZERO if worked => Duration::ZERO,
            later => later.clamp(HELD, idle),
        };
        Ok(self.done)
    }

    /// Looks at what is due, and mends the time.
    async fn look(&mut self) -> Result<Due> {
        loop {
            let (clock, node, remembered) =
                (&self.inner.clock, &self.inner.node, self.memory.watch);
            let Begun { wake, expires, deadline, kept, gone } = self.begun;
            let adds_up = self.adds_up;
            let before = clock.monotonic();
            let look = |tx: Tx<'static>| async move {
                let floors: Params<'_> =
                    &[node, &wake, &expires, &deadline, &kept, &gone, &AHEAD, &adds_up];
                let (row, ()) = try_join!(biased; tx.one(sql!("sweep_due"), floors), tx.commit())?;
                let moment = Moment { before, after: clock.monotonic() };
                let seen = time::seen(&row)?;
                let watch = remembered.unwrap_or_else(|| Watch::start(&seen, moment));
                let (time, watch) = watch.look(&seen, moment);
                Ok((seen, Due::read(&row, time)?, watch))
            };
            let (seen, due, watch) = self.inner.db.read("sweep", look).await?;
            let kept = self.keep_time(&seen, &due).await?;
            if kept {
                self.memory.watch = Some(watch);
            }
            // What was seen does not reach as far as the time has gone: now that that is kept, it
            // will.
            if kept && due.time.leases <= seen.told().max(seen.leases) + AHEAD {
                return Ok(due);
            }
        }
    }

    /// Writes the time down, if it has to be, and that this node is there. `false` if another sweep
    /// has seen a jump of the calendar meanwhile: then look again.
    async fn keep_time(&self, seen: &Seen, due: &Due) -> Result<bool> {
        let Time { wall, slip, leases, stood } = due.time;
        let silent = |at: i64| leases.saturating_sub(at) >= NODE_HEARD_EVERY;
        // Nobody could sweep, and so nobody could renew. A sweep may take its time.
        let away = stood > if self.memory.failing { 0 } else { GAP };
        if !due.time.is_news(seen) && !due.heard_at.is_none_or(silent) && !away {
            return Ok(true);
        }
        let (node, before) = (&self.inner.node, seen.slip);
        let write = |tx: Tx<'static>| async move {
            if tx.execute(sql!("sweep_time"), &[&wall, &slip, &leases, &before]).await? == 0 {
                return Ok(false);
            }
            let forgotten = leases.saturating_sub(NODE_FORGOTTEN_AFTER);
            let (heard, silent): (Params<'_>, Params<'_>) = (&[node, &leases], &[&forgotten]);
            try_join!(
                biased;
                tx.execute(sql!("node_heard"), heard),
                tx.execute(sql!("node_forget"), silent),
            )?;
            if away {
                heal(&tx, leases).await?;
            }
            Ok(true)
        };
        self.inner.db.write("sweep", write).await
    }

    /// What brings tasks into line, or ends them. Whether there was anything.
    async fn bring_about(&mut self, due: &Due) -> Result<bool> {
        let mut worked = false;
        if due.expires() {
            worked |= timers::expire(self).await?;
        }
        if due.comes_into_line() {
            worked |= timers::come_into_line(self, due).await?;
        }
        Ok(worked)
    }

    /// What keeps the store from growing. Whether there was anything.
    async fn keep_house(&mut self, due: &Due) -> Result<bool> {
        let mut worked = false;
        if due.is_kept_no_longer() {
            worked |= forget::kept_no_longer(self).await?;
        }
        if due.is_fresh() || due.frees_a_key() {
            worked |= retain::add_up(self).await?;
            self.memory.added_up_at = Some(self.began);
        }
        self.adds_up = false;
        worked |= retain::look(self).await?;
        if due.forgets() {
            worked |= forget::batches(self).await?;
        }
        self.forget_workers().await?;
        Ok(worked)
    }

    /// Workers that were not heard of for long. There are never many, so this is done seldom.
    async fn forget_workers(&mut self) -> Result<()> {
        let due = self.memory.workers_at.is_none_or(|at| self.began >= at);
        if due {
            self.inner
                .db
                .write("sweep", |tx| async move { workers::forget_silent(&tx).await })
                .await?;
            self.memory.workers_at = Some(self.began + WORKERS_EVERY);
        }
        Ok(())
    }

    /// Tasks were touched.
    fn spend(&mut self, tasks: usize) {
        self.left = self.left.saturating_sub(tasks);
    }

    fn limit(&self) -> i64 {
        i64::try_from(self.left).unwrap_or(i64::MAX)
    }
}
