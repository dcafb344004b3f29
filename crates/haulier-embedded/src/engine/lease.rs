//! Handing tasks to workers: whose turn it is, which task, and its fence. [`Engine::grant`] is the
//! place where a task gets its holder.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use haulier_core::{
    Epoch, Error, Event, LeaseKey, Result, State, Task, Timestamp, Want, WorkerId, limits,
    transition,
};

use crate::codec::wide;
use crate::detail::Step;
use crate::engine::change::Holder;
use crate::engine::{Engine, Now, refuse};
use crate::index::SlotId;
use crate::lines::NameId;
use crate::log::Tail;
use crate::parts::Envelope;
use crate::place::{Extent, Position};
use crate::record::{Change, Happened};

/// Most leases that one call gets, so that what it writes is bounded; the caller asks again.
pub const LEASES_MAX: usize = limits::ITEMS_MAX;

/// When the tasks of one call have as many bytes, it gets no more of them, so that what is read for
/// it is bounded, too; the caller asks again.
const LEASES_BYTES_MAX: u64 = 4 * limits::FRAME_BYTES_MAX as u64;

/// What a lease may be held back for without getting that time back. Less than any ttl.
const HELD_BACK_MAX: Duration = Duration::from_millis(25);

/// A lease whose task may still have to be read.
#[derive(Debug)]
pub struct Granted {
    /// The fence.
    pub key: LeaseKey,
    /// What to do.
    pub body: Body,
    /// Which attempt this is.
    pub attempt: u32,
    /// Leases that ran out so far.
    pub losses: u32,
    /// How long it lasts without a beat.
    pub ttl: Duration,
    /// When the task was accepted.
    pub enqueued_at: Timestamp,
    /// What earlier deliveries saved.
    pub checkpoints: Vec<Step>,
    /// What of it has to be durable before anybody may get it.
    pub after: Position,
}

/// What a task is, or where that stands.
#[derive(Debug, Clone)]
pub enum Body {
    /// In memory.
    Here(Arc<Task>),
    /// On the disk.
    There(Extent, Envelope),
}

/// A want while it is being served.
struct Asking {
    holder: Holder,
    /// Queues with what may still come from each.
    queues: Vec<(NameId, u32)>,
    kinds: Vec<NameId>,
    left: u32,
    last_grant: u64,
    got: Vec<Granted>,
}

/// Whose turn it is. Several wants of a worker share its turn; its first that is open speaks for
/// it.
struct Turns {
    /// The open wants of each worker.
    open: Vec<VecDeque<usize>>,
    /// Last grant, want, and whose: the least is next, so that equals come in the order of the
    /// request.
    order: BinaryHeap<Reverse<(u64, usize, usize)>>,
}

impl Turns {
    fn new(asking: &[Asking]) -> Self {
        let mut seats: HashMap<&WorkerId, usize> = HashMap::new();
        let mut open: Vec<VecDeque<usize>> = Vec::new();
        for (at, one) in asking.iter().enumerate() {
            let seat = *seats.entry(&one.holder.worker).or_insert(open.len());
            if seat == open.len() {
                open.push(VecDeque::new());
            }
            open[seat].push_back(at);
        }
        let mut turns = Self { open, order: BinaryHeap::new() };
        for seat in 0..turns.open.len() {
            let first = turns.open[seat].front().map_or(0, |at| asking[*at].last_grant);
            turns.wait(seat, first);
        }
        turns
    }

    /// The want that is served next, and its worker's seat.
    fn next(&mut self) -> Option<(u64, usize, usize)> {
        self.order.pop().map(|Reverse(turn)| turn)
    }

    /// A worker gets another turn after those who were granted something longer ago.
    fn wait(&mut self, seat: usize, last_grant: u64) {
        if let Some(at) = self.open[seat].front() {
            self.order.push(Reverse((last_grant, *at, seat)));
        }
    }

    /// A want can get nothing more.
    fn close(&mut self, seat: usize, last_grant: u64) {
        self.open[seat].pop_front();
        self.wait(seat, last_grant);
    }
}

impl Engine {
    /// Checks wants as a call.
    ///
    /// # Errors
    /// There are too many, or one breaks a limit.
    pub fn check_wants(wants: &[Want]) -> Result<()> {
        if wants.len() > limits::ITEMS_MAX {
            return Err(Error::invalid("wants", format!("at most {}", limits::ITEMS_MAX)));
        }
        wants.iter().try_for_each(Want::check).or_else(refuse)
    }

    /// Serves wants one task at a time in turn, beginning with the worker whose last grant is
    /// longest ago; several wants of a worker share its turn. The wants have been checked.
    pub fn share(&mut self, now: Now, wants: &[Want], records: &mut Tail) -> Vec<Vec<Granted>> {
        let mut asking: Vec<Asking> = wants.iter().map(|want| self.ask(now, want)).collect();
        let mut turns = Turns::new(&asking);
        let (mut budget, mut bytes) = (LEASES_MAX, 0);
        while budget > 0
            && bytes < LEASES_BYTES_MAX
            && let Some((last_grant, at, seat)) = turns.next()
        {
            let one = &mut asking[at];
            if let Some((slot, from)) = self.pick(one) {
                bytes += u64::from(self.index[slot].definition().len);
                self.serve_one(now, one, slot, from, records);
                turns.wait(seat, self.grants);
                budget -= 1;
            } else {
                turns.close(seat, last_grant);
            }
        }
        for one in asking.iter().filter(|one| !one.got.is_empty()) {
            if let Some(worker) = self.workers.find(&one.holder.worker) {
                worker.last_grant = worker.last_grant.max(one.last_grant);
            }
        }
        asking.into_iter().map(|one| one.got).collect()
    }

    fn serve_one(
        &mut self,
        now: Now,
        one: &mut Asking,
        slot: SlotId,
        from: usize,
        records: &mut Tail,
    ) {
        one.queues[from].1 -= 1;
        one.left -= 1;
        self.grants += 1;
        self.lines.queues[wide(one.queues[from].0)].last_grant = self.grants;
        one.last_grant = self.grants;
        one.got.extend(self.grant(now, slot, &one.holder, records));
    }

    fn ask(&mut self, now: Now, want: &Want) -> Asking {
        let kinds: Vec<NameId> =
            want.kinds.iter().filter_map(|kind| self.lines.find_kind(kind.as_str())).collect();
        // Kinds that nobody has enqueued yet: nothing fits, which is not the same as everything.
        let nothing = kinds.is_empty() && !want.kinds.is_empty();
        let queues = want.queues.iter().filter_map(|wanted| {
            let queue = self.lines.find_queue(wanted.queue.as_str())?;
            (wanted.max > 0 && !nothing).then_some((queue, wanted.max))
        });
        Asking {
            queues: queues.collect(),
            kinds,
            left: want.max,
            last_grant: self.workers.hear(&want.worker, now.mono).last_grant,
            holder: Holder { worker: want.worker.clone(), ttl: want.ttl },
            got: Vec::new(),
        }
    }

    /// The next task of a want: its highest priority; among queues of that, the one whose last
    /// grant is longest ago.
    fn pick(&self, asking: &Asking) -> Option<(SlotId, usize)> {
        if asking.left == 0 {
            return None;
        }
        let mut best: Option<(u8, u64, SlotId, usize)> = None;
        for (at, (queue, left)) in asking.queues.iter().enumerate() {
            let state = &self.lines.queues[wide(*queue)];
            if *left == 0 || !state.may_lease() {
                continue;
            }
            if let Some((priority, slot)) = self.lines.best(&self.index, *queue, &asking.kinds) {
                let last = state.last_grant;
                if best.is_none_or(|(other, before, ..)| {
                    priority > other || (priority == other && last < before)
                }) {
                    best = Some((priority, last, slot, at));
                }
            }
        }
        best.map(|(_, _, slot, at)| (slot, at))
    }

    /// Hands a task to a worker, with an epoch larger than all before.
    fn grant(
        &mut self,
        now: Now,
        slot: SlotId,
        holder: &Holder,
        records: &mut Tail,
    ) -> Option<Granted> {
        let (generation, floor) = (self.generation, self.epoch_floor);
        let (place, due_at) = (&self.index[slot], self.index.due_at(slot));
        let (id, enqueued_at, definition) = (place.id, place.enqueued_at(), place.definition());
        let line = place.line;
        let detail = self.details.entry(slot);
        let max_attempts = detail.rules.unwrap_or_default().max_attempts;
        let standing = transition(detail.standing(place), max_attempts, Event::Lease).ok()?;
        let epoch: Epoch = detail.epoch.max(floor).next(generation);
        let is_first = detail.epoch == Epoch(0);
        let change = Change { id, happened: Happened::Leased, epoch, standing, due_at };
        let checkpoints = detail.checkpoints.clone();
        self.happen(now, slot, change, Some(holder), None, records);
        // Were this lease forgotten in a crash, the key of the delivery before it would be good
        // again, although somebody has a newer one (I3): it has to be durable, too.
        let rests_on = if is_first {
            definition.position()
        } else {
            Position::from_u64(records.end().to_u64().saturating_sub(1))
        };
        let newest = checkpoints.iter().map(|step| step.value.position());
        let body = match self.cache.take(slot, line) {
            Some(task) => Body::Here(task),
            None => self.body(slot),
        };
        Some(Granted {
            key: LeaseKey { task: id, epoch },
            body,
            attempt: standing.attempt,
            losses: standing.losses,
            ttl: holder.ttl,
            enqueued_at,
            after: newest.fold(rests_on, Position::max),
            checkpoints,
        })
    }

    /// Prolongs leases that were held back for long by that time; `false` if it was not worth it.
    pub fn give_time_back(&mut self, now: Now, held: &[Vec<Granted>], since: Duration) -> bool {
        let by = now.mono.saturating_sub(since);
        if by < HELD_BACK_MAX {
            return false;
        }
        for lease in held.iter().flatten() {
            self.prolong(lease.key, by);
        }
        true
    }

    /// The queues among these that have something to lease, for whoever waits there.
    pub fn has_ready(&self, queue: NameId) -> bool {
        let state = &self.lines.queues[wide(queue)];
        state.may_lease() && state.counts.get(State::Available) > 0
    }

    /// The number of a queue, from now on at least: somebody waits for its tasks.
    pub fn queue_number(&mut self, queue: &haulier_core::QueueName) -> NameId {
        self.lines.queue(queue)
    }
}
