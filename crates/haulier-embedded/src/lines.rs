//! Queues, kinds and the lines of available tasks: one for each queue, kind and priority. A list
//! runs through the slots themselves, so that a task joins, leaves and is called off in one step.
//!
//! A queue that is idle holds no memory beyond its name and settings.

use std::cmp::Reverse;
use std::collections::VecDeque;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use haulier_core::{Kind, Priority, QueueName, QueueSettings, State, StateCounts, Timestamp};

use crate::codec::{narrow, wide};
use crate::index::{Index, NONE, SlotId};

/// The number of a queue or kind, for as long as the store is open.
pub type NameId = u32;

/// A first-in, first-out list through the slots.
#[derive(Debug, Clone, Copy)]
pub struct List {
    head: SlotId,
    tail: SlotId,
    len: u64,
}

impl Default for List {
    fn default() -> Self {
        Self { head: NONE, tail: NONE, len: 0 }
    }
}

impl List {
    /// The first slot.
    pub fn head(&self) -> Option<SlotId> {
        (self.head != NONE).then_some(self.head)
    }

    /// The slots, first to last.
    pub fn iter<'a>(&self, index: &'a Index) -> impl Iterator<Item = SlotId> + 'a {
        std::iter::successors(self.head(), |slot| {
            let next = index[*slot].next;
            (next != NONE).then_some(next)
        })
    }

    /// The last slot.
    pub fn last(&self) -> Option<SlotId> {
        (self.tail != NONE).then_some(self.tail)
    }

    /// How many there are.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Adds a slot at the end.
    pub fn push(&mut self, index: &mut Index, slot: SlotId) {
        index[slot].prev = self.tail;
        index[slot].next = NONE;
        match self.tail {
            NONE => self.head = slot,
            tail => index[tail].next = slot,
        }
        self.tail = slot;
        self.len += 1;
    }

    /// Adds a slot in front of the first one that is `younger`, looking from the oldest.
    pub fn insert(
        &mut self,
        index: &mut Index,
        slot: SlotId,
        younger: impl Fn(&Index, SlotId) -> bool,
    ) {
        let mut next = self.head;
        while next != NONE && !younger(index, next) {
            next = index[next].next;
        }
        if next == NONE {
            return self.push(index, slot);
        }
        let prev = index[next].prev;
        (index[slot].prev, index[slot].next) = (prev, next);
        index[next].prev = slot;
        match prev {
            NONE => self.head = slot,
            prev => index[prev].next = slot,
        }
        self.len += 1;
    }

    /// Takes a slot out, wherever it stands.
    pub fn unlink(&mut self, index: &mut Index, slot: SlotId) {
        let (prev, next) = (index[slot].prev, index[slot].next);
        match prev {
            NONE => self.head = next,
            prev => index[prev].next = next,
        }
        match next {
            NONE => self.tail = prev,
            next => index[next].prev = prev,
        }
        self.len -= 1;
    }
}

/// What tasks of one queue, kind and priority have in common.
#[derive(Debug)]
pub struct Line {
    /// The queue.
    pub queue: NameId,
    /// The kind.
    pub kind: NameId,
    /// The priority.
    pub priority: Priority,
    /// The available ones.
    ready: List,
    /// Tasks in any state; an unused line is given up.
    tasks: u64,
}

/// A queue.
#[derive(Debug)]
pub struct QueueState {
    /// Its name.
    pub name: QueueName,
    /// What operators have set.
    pub settings: QueueSettings,
    /// Where the settings stand in the log.
    pub settings_at: Option<crate::place::Position>,
    /// Tasks by state.
    pub counts: StateCounts,
    /// Tasks accepted since the store was opened, and those that it found then.
    pub accepted: u64,
    /// Tasks forgotten since.
    pub removed: u64,
    /// Tasks that became final since.
    pub finished: u64,
    /// Its completed tasks that may go by count, oldest first.
    pub completed: List,
    /// Its completed tasks that still hold their unique keys.
    pub held: u64,
    /// It is noted for the next sweep that it keeps too many.
    pub overfull: bool,
    /// When a task of it was granted last, counted in grants.
    pub last_grant: u64,
    ready: Ready,
}

/// What lines are compared by: priority, then the order of the first task.
type Rank = (Reverse<u8>, u64);

/// The lines of a queue that have available tasks, the best first. Few queues have many, and where
/// they do, those that change are near the front.
#[derive(Debug, Default)]
struct Ready {
    lines: VecDeque<(Rank, u32)>,
}

impl Ready {
    fn insert(&mut self, rank: Rank, line: u32) {
        let at = self.lines.partition_point(|(other, _)| *other < rank);
        self.lines.insert(at, (rank, line));
    }

    /// A line has another first task, or none.
    fn change(&mut self, before: Rank, after: Option<Rank>) {
        let Ok(at) = self.lines.binary_search_by_key(&before, |(rank, _)| *rank) else { return };
        let behind = self.lines.get(at + 1).map(|(rank, _)| *rank);
        match after {
            Some(after) if after > before && behind.is_none_or(|behind| after < behind) => {
                self.lines[at].0 = after;
            }
            _ => {
                let line = self.lines.remove(at).map(|(_, line)| line);
                if let (Some(rank), Some(line)) = (after, line) {
                    self.insert(rank, line);
                }
            }
        }
    }
}

impl QueueState {
    /// Whether one of its tasks may be leased now, as far as its settings go.
    pub fn may_lease(&self) -> bool {
        let running = self.counts.get(State::Running);
        !self.settings.paused
            && self.settings.concurrency.is_none_or(|limit| running < u64::from(limit))
    }

    /// Its oldest completed task, if it keeps more than it should.
    pub fn excess(&self) -> Option<SlotId> {
        let kept = self.completed.len() + self.held;
        self.completed.head().filter(|_| kept > self.settings.retain.completed_count)
    }

    /// Whether anybody would miss it in a listing.
    pub fn is_listed(&self) -> bool {
        self.counts.total() > 0 || self.settings != QueueSettings::default()
    }
}

/// All names and lines.
#[derive(Debug, Default)]
pub struct Lines {
    /// The queues, by number.
    pub queues: Vec<QueueState>,
    queue_ids: HashMap<QueueName, NameId, RandomState>,
    kinds: Vec<Kind>,
    kind_ids: HashMap<Kind, NameId, RandomState>,
    all: Vec<Line>,
    free: Vec<u32>,
    ids: HashMap<(NameId, NameId, Priority), u32, RandomState>,
    /// The line that was asked for last: most tasks of a batch stand in one.
    last: Option<(QueueName, Kind, Priority, u32)>,
}

impl Lines {
    /// The number of a queue, if it has one.
    pub fn find_queue(&self, name: &str) -> Option<NameId> {
        self.queue_ids.get(name).copied()
    }

    /// The number of a queue, from now on at least.
    pub fn queue(&mut self, name: &QueueName) -> NameId {
        if let Some(id) = self.queue_ids.get(name) {
            return *id;
        }
        let id = narrow(self.queues.len());
        self.queues.push(QueueState {
            name: name.clone(),
            settings: QueueSettings::default(),
            settings_at: None,
            counts: StateCounts::default(),
            accepted: 0,
            removed: 0,
            finished: 0,
            completed: List::default(),
            held: 0,
            overfull: false,
            last_grant: 0,
            ready: Ready::default(),
        });
        self.queue_ids.insert(name.clone(), id);
        id
    }

    /// The number of a kind, if it has one.
    pub fn find_kind(&self, name: &str) -> Option<NameId> {
        self.kind_ids.get(name).copied()
    }

    fn kind_id(&mut self, name: &Kind) -> NameId {
        if let Some(id) = self.kind_ids.get(name) {
            return *id;
        }
        let id = narrow(self.kinds.len());
        self.kinds.push(name.clone());
        self.kind_ids.insert(name.clone(), id);
        id
    }

    /// How many queues and kinds have names.
    pub fn name_count(&self) -> usize {
        self.queues.len().max(self.kinds.len())
    }

    /// The line of that queue, kind and priority, if it is the one that was asked for last.
    pub fn same_line(&self, queue: &QueueName, kind: &Kind, priority: Priority) -> Option<u32> {
        let last = self.last.as_ref();
        let same = last.filter(|last| last.2 == priority && last.0 == *queue && last.1 == *kind);
        same.map(|(.., line)| *line)
    }

    /// The line of that queue, kind and priority.
    pub fn line(&mut self, queue: &QueueName, kind: &Kind, priority: Priority) -> u32 {
        if let Some(line) = self.same_line(queue, kind, priority) {
            return line;
        }
        let line = self.find_or_add(queue, kind, priority);
        self.last = Some((queue.clone(), kind.clone(), priority, line));
        line
    }

    fn find_or_add(&mut self, queue: &QueueName, kind: &Kind, priority: Priority) -> u32 {
        let (queue, kind) = (self.queue(queue), self.kind_id(kind));
        if let Some(line) = self.ids.get(&(queue, kind, priority)) {
            return *line;
        }
        let new = Line { queue, kind, priority, ready: List::default(), tasks: 0 };
        let line = if let Some(line) = self.free.pop() {
            self.all[wide(line)] = new;
            line
        } else {
            self.all.push(new);
            narrow(self.all.len() - 1)
        };
        self.ids.insert((queue, kind, priority), line);
        line
    }

    /// What stands behind a line's number.
    pub fn get(&self, line: u32) -> &Line {
        &self.all[wide(line)]
    }

    /// The queue of a line.
    pub fn queue_of(&self, line: u32) -> &QueueState {
        &self.queues[wide(self.get(line).queue)]
    }

    /// The queue of a line.
    pub fn queue_of_mut(&mut self, line: u32) -> &mut QueueState {
        let queue = self.get(line).queue;
        &mut self.queues[wide(queue)]
    }

    /// The name of a line's kind.
    pub fn kind_of(&self, line: u32) -> &Kind {
        &self.kinds[wide(self.get(line).kind)]
    }

    /// A task joins a line, in some state.
    pub fn join(&mut self, line: u32) {
        self.all[wide(line)].tasks += 1;
    }

    /// A task is gone; the last one gives up the line.
    pub fn leave(&mut self, line: u32) {
        let gone = &mut self.all[wide(line)];
        gone.tasks -= 1;
        if gone.tasks == 0 {
            self.ids.remove(&(gone.queue, gone.kind, gone.priority));
            self.free.push(line);
            self.last = None;
        }
    }

    fn rank(&self, index: &Index, line: u32) -> Option<Rank> {
        let line = self.get(line);
        line.ready.head().map(|head| (Reverse(line.priority.get()), index[head].order()))
    }

    /// An available task goes to the end of its line.
    pub fn push_ready(&mut self, index: &mut Index, slot: SlotId) {
        let line = index[slot].line;
        let first = self.get(line).ready.head().is_none();
        self.all[wide(line)].ready.push(index, slot);
        if first && let Some(rank) = self.rank(index, line) {
            self.queue_of_mut(line).ready.insert(rank, line);
        }
    }

    /// A task is no longer available.
    pub fn unlink_ready(&mut self, index: &mut Index, slot: SlotId) {
        let line = index[slot].line;
        let first = self.get(line).ready.head() == Some(slot);
        let before = self.rank(index, line).filter(|_| first);
        self.all[wide(line)].ready.unlink(index, slot);
        if let Some(before) = before {
            let after = self.rank(index, line);
            self.queue_of_mut(line).ready.change(before, after);
        }
    }

    /// The best available task of a queue among these kinds (empty: all), with its priority.
    pub fn best(&self, index: &Index, queue: NameId, kinds: &[NameId]) -> Option<(u8, SlotId)> {
        let ready = &self.queues[wide(queue)].ready.lines;
        let head = |line: &Line| Some((line.priority.get(), line.ready.head()?));
        if kinds.is_empty() || ready.len() <= kinds.len() * Priority::COUNT {
            let mut lines = ready.iter().map(|(_, line)| self.get(*line));
            return lines
                .find(|line| kinds.is_empty() || kinds.contains(&line.kind))
                .and_then(head);
        }
        // A queue of many kinds and a worker of few: ask for its lines by name.
        (0..10).rev().filter_map(|number| Priority::new(number).ok()).find_map(|priority| {
            let lines = kinds.iter().filter_map(|kind| self.ids.get(&(queue, *kind, priority)));
            let heads = lines.filter_map(|line| head(self.get(*line)));
            heads.min_by_key(|(_, slot)| index[*slot].order())
        })
    }

    /// Since when the oldest available task of a queue has been available. The first of a line is
    /// the oldest but for leases whose end was noticed late: those behind it are looked at, too.
    pub fn oldest(&self, index: &Index, queue: NameId) -> Option<Timestamp> {
        const LOOKED_AT: usize = 32;
        let lines = self.queues[wide(queue)].ready.lines.iter().map(|(_, line)| line);
        let firsts = lines.flat_map(|line| self.get(*line).ready.iter(index).take(LOOKED_AT));
        firsts.map(|slot| index.due_at(slot)).min()
    }
}
