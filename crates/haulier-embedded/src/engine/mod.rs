//! The state machine: every decision of the store, one file a noun of the traits.
//!
//! `apply(now, command, records) -> reply` changes the state in memory and says, in records, what
//! has to be written before anybody may hear of it. It is synchronous and deterministic: it knows
//! no thread, no clock, no file and no socket. A recovery feeds the same records to
//! [`Engine::replay`], which changes the state through the same functions ([`change`]).

mod audit;
mod beat;
mod cache;
mod change;
mod control;
mod enqueue;
mod inspect;
mod lease;
mod moving;
mod offer;
mod replay;
mod settle;
mod sweep;
mod workers;

use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use haulier_core::{
    Beat, BeatReply, Changed, Code, Directive, Epoch, Error, Filter, PageRequest, QueueName,
    QueueSettings, QueueStats, Refusal, Result, SettingsPatch, Settled, Settlement, Swept, TaskId,
    Timestamp, WorkerId, WorkerView, limits,
};

pub use change::Holder;
pub use enqueue::{Answer, existing, id_conflict};
pub use inspect::{Draft, DraftPage, token};
pub use lease::{Body, Granted, LEASES_MAX};
pub use offer::Offers;
pub use replay::Context;

use crate::detail::Detail;
use crate::details::Details;
use crate::index::{Index, SlotId};
use crate::lines::{Lines, NameId};
use crate::log::Tail;
use crate::parts::Envelope;
use crate::record::Rules;
use crate::remembered::Remembered;
use crate::timers::{Purpose, Timer, Timers};
use cache::Cache;
use change::Live;
use workers::Workers;

/// Both readings of the clock, taken once for a command.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The store's calendar, which never goes backwards.
    pub wall: Timestamp,
    /// The monotonic reading, on which leases count.
    pub mono: Duration,
}

/// What callers may ask.
#[derive(Debug)]
pub enum Command {
    /// See [`haulier_core::Queue::enqueue`].
    Enqueue(Offers),
    /// See [`haulier_core::Queue::beat`].
    Beat(Vec<Beat>),
    /// See [`haulier_core::Queue::settle`].
    Settle(Vec<Settlement>),
    /// See [`haulier_core::Control::cancel`].
    Cancel(Vec<TaskId>),
    /// See [`haulier_core::Control::rerun`].
    Rerun(Vec<TaskId>),
    /// See [`haulier_core::Control::delete`].
    Delete(Vec<TaskId>),
    /// See [`haulier_core::Control::configure`].
    Configure(QueueName, SettingsPatch),
    /// See [`haulier_core::Control::direct`].
    Direct(Vec<WorkerId>, Directive),
    /// See [`haulier_core::Inspect::get`].
    Get(Vec<TaskId>),
    /// See [`haulier_core::Inspect::list`].
    List(Filter, PageRequest),
    /// See [`haulier_core::Inspect::queues`].
    Queues,
    /// See [`haulier_core::Inspect::workers`].
    Workers,
    /// See [`haulier_core::Maintain::sweep`].
    Sweep(usize),
}

/// The engine's answers, in the order of [`Command`]. What stands on the disk is still to be read.
#[derive(Debug)]
pub enum Reply {
    Enqueued(Vec<Answer>),
    Beats(Vec<BeatReply>),
    Settled(Vec<Settled>),
    Changed(Vec<Changed>),
    Settings(Box<QueueSettings>),
    Directed(Vec<bool>),
    Got(Vec<Option<Draft>>),
    Page(DraftPage),
    Queues(Vec<QueueStats>),
    Workers(Vec<WorkerView>),
    Swept(Swept),
}

/// What happened that somebody may be waiting for. The store takes it after every command.
#[derive(Debug, Default)]
pub struct News {
    /// Queues in which tasks became available, or may be leased again.
    pub ready: Vec<NameId>,
    /// Tasks that became final or went.
    pub finished: Vec<TaskId>,
    /// Workers that should know something before their next beat.
    pub workers: Vec<WorkerId>,
}

/// The whole state of the store, in memory.
#[derive(Debug)]
pub struct Engine {
    index: Index,
    details: Details,
    lines: Lines,
    uniques: HashMap<(NameId, Arc<str>), SlotId, RandomState>,
    remembered: Remembered,
    /// On the calendar, in milliseconds.
    wall: Timers,
    /// On the monotonic clock, in nanoseconds.
    mono: Timers,
    /// On the calendar, for finished tasks: heeded by sweeps only.
    kept: Timers,
    timer_count: u64,
    workers: Workers,
    cache: Cache,
    live: Live,
    news: News,
    generation: u32,
    last_order: u64,
    grants: u64,
    /// Queues that may keep more completed tasks than they should.
    overfull: Vec<NameId>,
    /// The largest epoch of tasks that are gone: a namesake's must be larger.
    epoch_floor: Epoch,
    payload_bytes_max: usize,
    /// Most queues, and most kinds.
    names_max: usize,
    /// The largest time that a record has told.
    latest: Timestamp,
    /// Lists and lease timers are built when everything is read.
    replaying: bool,
    /// No room for new tasks: only what shrinks the log is taken.
    storage_full: bool,
}

impl Engine {
    /// An empty state, ready to replay a log.
    pub fn new(payload_bytes_max: usize, cache_bytes_max: usize) -> Self {
        Self {
            index: Index::default(),
            details: Details::default(),
            lines: Lines::default(),
            uniques: HashMap::default(),
            remembered: Remembered::default(),
            wall: Timers::default(),
            mono: Timers::default(),
            kept: Timers::default(),
            timer_count: 0,
            workers: Workers::default(),
            cache: Cache::new(cache_bytes_max),
            live: Live::default(),
            news: News::default(),
            generation: 0,
            last_order: 0,
            grants: 0,
            overfull: Vec::new(),
            epoch_floor: Epoch::default(),
            payload_bytes_max,
            names_max: limits::QUEUES_MAX,
            latest: Timestamp(0),
            replaying: true,
            storage_full: false,
        }
    }

    /// Knows at most so many queues, and so many kinds. What is known already stays.
    pub fn limit_names(&mut self, most: usize) {
        self.names_max = most;
    }

    /// Why there is no queue, and no kind, besides those that are known, if there is not.
    fn no_more_names(&self) -> Option<Refusal> {
        let most = self.names_max;
        (self.lines.name_count() >= most).then(|| {
            let message = format!("the store has {most} queues or kinds already; use one of them");
            Refusal::new(Code::StorageFull, message)
        })
    }

    /// Carries a command out. An error means that nothing of it was done.
    ///
    /// # Errors
    /// The command as a whole breaks a rule.
    pub fn apply(&mut self, now: Now, command: Command, records: &mut Tail) -> Result<Reply> {
        Ok(match command {
            Command::Enqueue(offers) => Reply::Enqueued(self.enqueue(now, offers, records)),
            Command::Beat(beats) => Reply::Beats(self.beat(now, beats, records)?),
            Command::Settle(ends) => Reply::Settled(self.settle(now, &ends, records)),
            Command::Cancel(ids) => Reply::Changed(self.cancel(now, &ids, records)),
            Command::Rerun(ids) => Reply::Changed(self.rerun(now, &ids, records)),
            Command::Delete(ids) => Reply::Changed(self.delete(now, &ids, records)),
            Command::Configure(queue, patch) => {
                Reply::Settings(Box::new(self.configure(now, &queue, &patch, records)?))
            }
            Command::Direct(workers, directive) => {
                Reply::Directed(self.direct(&workers, directive))
            }
            Command::Get(ids) => Reply::Got(ids.iter().map(|id| self.get(now, *id)).collect()),
            Command::List(filter, page) => Reply::Page(self.list(now, filter, &page)?),
            Command::Queues => Reply::Queues(self.queues(now)),
            Command::Workers => Reply::Workers(self.workers.views(now.mono)),
            Command::Sweep(budget) => Reply::Swept(self.sweep(now, budget, records)),
        })
    }

    /// What happened since this was asked last.
    pub fn take_news(&mut self) -> News {
        std::mem::take(&mut self.news)
    }

    /// Whether new tasks are refused because the disk is full.
    pub fn set_storage_full(&mut self, full: bool) {
        self.storage_full = full;
    }

    /// The largest time that was ever written.
    pub const fn latest(&self) -> Timestamp {
        self.latest
    }

    /// How many tasks there are, in any state.
    pub fn task_count(&self) -> usize {
        self.index.len()
    }

    fn timer(&mut self, at: u64, purpose: Purpose, slot: SlotId) -> Timer {
        self.timer_count += 1;
        Timer { at, number: self.timer_count, purpose, slot }
    }

    /// Sets a timer on the calendar.
    fn ring_at(&mut self, at: Timestamp, purpose: Purpose, slot: SlotId) {
        let timer = self.timer(at.0, purpose, slot);
        match purpose {
            Purpose::Forget | Purpose::FreeKey => self.kept.set(timer),
            _ => self.wall.set(timer),
        }
    }

    fn rules(&self, slot: SlotId) -> Rules {
        self.details.get(slot).and_then(|detail| detail.rules).unwrap_or_default()
    }

    fn detail(&mut self, slot: SlotId) -> &mut Detail {
        self.details.entry(slot)
    }

    fn envelope(&self, slot: SlotId) -> Envelope {
        let line = self.index[slot].line;
        Envelope {
            id: self.index[slot].id,
            queue: self.lines.queue_of(line).name.clone(),
            kind: self.lines.kind_of(line).clone(),
            priority: self.lines.get(line).priority,
        }
    }

    /// Where to find what a task is: in the cache, or on the disk.
    fn body(&self, slot: SlotId) -> Body {
        match self.cache.get(slot) {
            Some(task) => Body::Here(Arc::clone(task)),
            None => Body::There(self.index[slot].definition(), self.envelope(slot)),
        }
    }
}

/// A call that breaks a rule as a whole.
fn refuse<T>(refusal: haulier_core::Refusal) -> Result<T> {
    Err(Error::from(refusal))
}
