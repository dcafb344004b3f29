//! The only functions that change a task. Commands and recovery both come through here, so that
//! what a restart finds is what was there.

use std::collections::BTreeMap;
use std::time::Duration;

use haulier_core::{
    Ended, Epoch, Standing, State, TaskId, Timestamp, Unique, WorkerId, limits::STOP_GRACE,
};

use crate::codec::wide;
use crate::detail::{Delivery, Holding, Keeping};
use crate::engine::{Engine, Now};
use crate::index::{Index, Slot, SlotId};
use crate::log::Tail;
use crate::parts;
use crate::place::Extent;
use crate::record::{Accepted, Change, Happened, Record, Rules};
use crate::snapshot::End;
use crate::timers::Purpose;

/// How much of the log is still needed.
#[derive(Debug, Default)]
pub struct Live {
    /// Bytes that a copy of everything would take, about.
    pub bytes: u64,
    /// Tasks whose definition stands in a segment.
    tasks: BTreeMap<u32, u64>,
}

impl Live {
    /// A record's own bytes, without its parts.
    const RECORD_BYTES: u64 = 64;

    /// A task stands on this definition.
    pub fn add(&mut self, definition: Extent) {
        self.bytes += Self::RECORD_BYTES + parts::footprint(wide(definition.len));
        *self.tasks.entry(definition.segment).or_default() += 1;
    }

    fn sub(&mut self, definition: Extent) {
        self.bytes -= Self::RECORD_BYTES + parts::footprint(wide(definition.len));
        if let Some(count) = self.tasks.get_mut(&definition.segment) {
            *count -= 1;
            if *count == 0 {
                self.tasks.remove(&definition.segment);
            }
        }
    }

    /// A task stands on another copy of its definition.
    pub fn move_definition(&mut self, from: Extent, to: Extent) {
        self.sub(from);
        self.add(to);
    }

    /// The oldest segment that a task needs.
    pub fn oldest(&self) -> Option<u32> {
        self.tasks.first_key_value().map(|(segment, _)| *segment)
    }
}

/// Who gets the leases of a change.
#[derive(Debug, Clone)]
pub struct Holder {
    /// The worker.
    pub worker: WorkerId,
    /// How long a lease lasts.
    pub ttl: Duration,
}

/// The monotonic reading as timers count it.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Engine {
    /// A task is there.
    pub(super) fn accept(
        &mut self,
        now: Timestamp,
        line: u32,
        accepted: &Accepted,
        definition: Extent,
    ) -> SlotId {
        let slot = Slot::new(accepted.id, definition, line, now, accepted.due_at);
        let slot = self.index.insert(slot);
        self.live.add(definition);
        self.lines.join(line);
        let queue = self.lines.queue_of_mut(line);
        queue.accepted += 1;
        *queue.counts.slot(State::Scheduled) += 1;
        if accepted.rules != Rules::default() {
            self.detail(slot).rules = Some(accepted.rules);
        }
        self.set_expiry(slot, accepted.expires_at);
        if let Some(unique) = &accepted.unique {
            self.hold_key(slot, unique.clone());
        }
        self.place(now, slot, Standing::new(accepted.due_at <= now), accepted.due_at);
        slot
    }

    pub(super) fn set_expiry(&mut self, slot: SlotId, expires_at: Option<Timestamp>) {
        if let Some(at) = expires_at {
            self.detail(slot).expires_at = Some(at);
            if !self.replaying {
                self.ring_at(at, Purpose::Expire, slot);
            }
        }
    }

    pub(super) fn hold_key(&mut self, slot: SlotId, unique: Unique) {
        let queue = self.lines.get(self.index[slot].line).queue;
        self.uniques.insert((queue, unique.key.clone()), slot);
        self.detail(slot).unique = Some(unique);
    }

    /// A task that is done again, or read again, holds its key again unless another one has it now.
    pub(super) fn hold_key_again(&mut self, now: Timestamp, slot: SlotId) {
        let Some(detail) = self.details.get(&slot) else { return };
        let Some(key) = detail.unique.as_ref().map(|unique| unique.key.clone()) else { return };
        let queue = self.lines.get(self.index[slot].line).queue;
        if self.key_holder(now, queue, &key).is_none() {
            self.uniques.insert((queue, key), slot);
        }
    }

    /// Writes that something happened to a task, and lets it happen.
    pub(super) fn happen(
        &mut self,
        now: Now,
        change: Change,
        holder: Option<&Holder>,
        part: Option<&[u8]>,
        records: &mut Tail,
    ) {
        if let Some(holder) = holder {
            records.hold(holder);
        }
        let record = Record::Changed(change);
        let extent = records.push(&record, part.as_slice(), now.wall, self.last_order).part();
        if let Some(slot) = self.index.find(change.id) {
            self.change(now, slot, &change, holder, part.and(extent));
        }
    }

    /// Something happened to a task.
    pub(super) fn change(
        &mut self,
        now: Now,
        slot: SlotId,
        change: &Change,
        holder: Option<&Holder>,
        part: Option<Extent>,
    ) {
        let before = self.details.get(&slot).map_or(0, |detail| detail.footprint());
        match change.happened {
            Happened::Leased => {
                if let Some(holder) = holder {
                    self.hand_over(now, slot, change, holder);
                }
            }
            Happened::Ended { how, late, overruled } => {
                let at = now.wall;
                let end = End { how, at, late, overruled, state: change.standing.state };
                self.end_delivery(slot, change.epoch, end, part);
                if how == Ended::Lost {
                    self.index[slot].set_due(change.due_at);
                }
            }
            Happened::Cancelled if change.standing.state == State::Running => {
                let detail = self.details.get_mut(&slot);
                if let Some(lease) = detail.and_then(|detail| detail.lease.as_mut()) {
                    lease.hard_end = lease.hard_end.min(now.mono + lease.ttl + STOP_GRACE);
                    self.news.workers.push(lease.worker.clone());
                }
            }
            Happened::Rerun => self.start_over(slot),
            Happened::Cancelled | Happened::Expired | Happened::Due => {}
        }
        let kept = change.happened == Happened::Due;
        let due_at = if kept { self.index[slot].due_at() } else { change.due_at };
        self.place(now.wall, slot, change.standing, due_at);
        if change.happened == Happened::Rerun {
            self.hold_key_again(now.wall, slot);
        }
        let after = self.details.get(&slot).map_or(0, |detail| detail.footprint());
        self.live.bytes = self.live.bytes + after - before;
    }

    fn hand_over(&mut self, now: Now, slot: SlotId, change: &Change, holder: &Holder) {
        let timeout = self.rules(slot).timeout;
        let deadline = now.mono + holder.ttl;
        let detail = self.detail(slot);
        detail.epoch = change.epoch;
        detail.lease = Some(Holding {
            worker: holder.worker.clone(),
            deadline,
            hard_end: now.mono + timeout + STOP_GRACE,
            ttl: holder.ttl,
            logged_ttl: holder.ttl,
            timer: 0,
        });
        detail.deliver(Delivery {
            epoch: change.epoch,
            attempt: change.standing.attempt,
            worker: holder.worker.clone(),
            leased_at: now.wall,
            end: None,
            failure: None,
        });
        self.workers.leased(&holder.worker);
        if !self.replaying {
            self.set_lease_timer(slot);
        }
    }

    /// Sets the timer that ends a lease; an earlier one means nothing any more.
    pub(super) fn set_lease_timer(&mut self, slot: SlotId) {
        let lease = self.details.get(&slot).and_then(|detail| detail.lease.as_ref());
        let Some(deadline) = lease.map(|lease| lease.deadline) else { return };
        let timer = self.timer(nanos(deadline), Purpose::Lease, slot);
        self.mono.set(timer);
        if let Some(lease) = self.details.get_mut(&slot).and_then(|it| it.lease.as_mut()) {
            lease.timer = timer.number;
        }
    }

    fn end_delivery(&mut self, slot: SlotId, epoch: Epoch, end: End, part: Option<Extent>) {
        let completed = end.state == State::Completed;
        let detail = self.details.entry(slot).or_default();
        if let Some(lease) = detail.lease.take() {
            self.workers.ended(&lease.worker);
        }
        if completed {
            detail.result = part;
        }
        if let Some(delivery) = detail.delivery(epoch) {
            delivery.end = Some(end);
            delivery.failure = if completed { None } else { part };
        }
    }

    /// A rerun does everything again; only the deliveries stay on record.
    fn start_over(&mut self, slot: SlotId) {
        self.leave_completed(slot);
        let detail = self.detail(slot);
        detail.finished_at = None;
        detail.expires_at = None;
        detail.result = None;
        detail.progress = None;
        detail.checkpoints.clear();
    }

    /// Puts a task where it stands from now on: in a line, under a timer, among the finished.
    pub(super) fn place(
        &mut self,
        now: Timestamp,
        slot: SlotId,
        standing: Standing,
        due_at: Timestamp,
    ) {
        let from = self.index[slot].state;
        let line = self.index[slot].line;
        if from == State::Available && !self.replaying {
            self.lines.unlink_ready(&mut self.index, slot);
        }
        let queue = self.lines.queue_of_mut(line);
        *queue.counts.slot(from) -= 1;
        *queue.counts.slot(standing.state) += 1;
        let name = self.lines.get(line).queue;
        if from == State::Running && self.lines.queue_of(line).settings.concurrency.is_some() {
            self.news.ready.push(name);
        }
        if standing.started || standing.cancel_requested || self.details.contains_key(&slot) {
            let detail = self.detail(slot);
            detail.attempt = standing.attempt;
            detail.losses = standing.losses;
            detail.cancel_requested = standing.cancel_requested;
            detail.started = standing.started;
        }
        let place = &mut self.index[slot];
        place.state = standing.state;
        place.reason = standing.reason;
        if !standing.state.is_final() && standing.state != State::Running {
            place.set_due(due_at);
        }
        self.last_order = (self.last_order + 1).max(due_at.min(now).0 << 16);
        place.order = self.last_order;
        match standing.state {
            State::Available if !self.replaying => {
                self.lines.push_ready(&mut self.index, slot);
                if self.news.ready.last() != Some(&name) {
                    self.news.ready.push(name);
                }
            }
            State::Scheduled | State::Retryable if !self.replaying => {
                self.ring_at(due_at, Purpose::Due, slot);
            }
            State::Completed | State::Cancelled | State::Dead if !from.is_final() => {
                self.finish(now, slot);
            }
            _ => {}
        }
    }

    fn finish(&mut self, now: Timestamp, slot: SlotId) {
        let id = self.index[slot].id;
        self.cache.take(slot);
        self.detail(slot).finished_at = Some(now);
        self.lines.queue_of_mut(self.index[slot].line).finished += 1;
        if !self.replaying {
            self.keep(now, slot);
            self.news.finished.push(id);
        }
    }

    /// Sets the timer that ends a finished task's keeping, and counts it among the completed.
    pub(super) fn keep(&mut self, now: Timestamp, slot: SlotId) {
        self.ring_at(self.forget_at(slot), Purpose::Forget, slot);
        if self.index[slot].state != State::Completed {
            return;
        }
        let held_until = self.held_until(slot);
        if held_until > now {
            self.ring_at(held_until, Purpose::FreeKey, slot);
            self.detail(slot).keeping = Keeping::Held;
            self.lines.queue_of_mut(self.index[slot].line).held += 1;
        } else {
            self.count(slot);
        }
        self.note_excess(slot);
    }

    /// A queue that keeps too many completed tasks is noted once, for the next sweep.
    fn note_excess(&mut self, slot: SlotId) {
        let line = self.index[slot].line;
        let queue = self.lines.queue_of_mut(line);
        if queue.excess().is_some() && !std::mem::replace(&mut queue.overfull, true) {
            self.overfull.push(self.lines.get(line).queue);
        }
    }

    /// A completed task holds no key any more: it may go by count.
    pub(super) fn free_key(&mut self, now: Timestamp, slot: SlotId) {
        let detail = self.details.get(&slot);
        let held = detail.is_some_and(|detail| detail.keeping == Keeping::Held);
        if held && self.held_until(slot) <= now {
            self.lines.queue_of_mut(self.index[slot].line).held -= 1;
            self.count(slot);
            self.note_excess(slot);
        }
    }

    fn count(&mut self, slot: SlotId) {
        self.detail(slot).keeping = Keeping::Counted;
        let details = &self.details;
        let age = |index: &Index, slot: SlotId| {
            (details.get(&slot).and_then(|detail| detail.finished_at), index[slot].order)
        };
        let own = age(&self.index, slot);
        let line = self.index[slot].line;
        let mut completed = self.lines.queue_of(line).completed;
        if completed.last().is_none_or(|last| age(&self.index, last) < own) {
            completed.push(&mut self.index, slot);
        } else {
            // Its key was held for longer than others were completed after it.
            completed.insert(&mut self.index, slot, |index, other| age(index, other) > own);
        }
        self.lines.queue_of_mut(line).completed = completed;
    }

    fn leave_completed(&mut self, slot: SlotId) {
        let Some(detail) = self.details.get_mut(&slot) else { return };
        let keeping = std::mem::take(&mut detail.keeping);
        let line = self.index[slot].line;
        match keeping {
            Keeping::ByTime => {}
            Keeping::Held => self.lines.queue_of_mut(line).held -= 1,
            Keeping::Counted => {
                let mut completed = self.lines.queue_of(line).completed;
                completed.unlink(&mut self.index, slot);
                self.lines.queue_of_mut(line).completed = completed;
            }
        }
    }

    /// Until when a finished task holds its unique key.
    fn held_until(&self, slot: SlotId) -> Timestamp {
        let unique = self.details.get(&slot).and_then(|detail| detail.unique.as_ref());
        let window = unique.map_or(Duration::ZERO, |unique| unique.window);
        self.index[slot].enqueued_at().after(window)
    }

    /// When a finished task is forgotten: by its own or its queue's retention, but never before its
    /// unique key is free (I4).
    pub(super) fn forget_at(&self, slot: SlotId) -> Timestamp {
        let place = &self.index[slot];
        let detail = self.details.get(&slot);
        let retain = &self.lines.queue_of(place.line).settings.retain;
        let span = self.rules(slot).retain.unwrap_or_else(|| retain.of(place.state));
        let finished = detail.and_then(|detail| detail.finished_at).unwrap_or_default();
        finished.after(span).max(self.held_until(slot))
    }

    /// A task is gone; its id stays known for a while.
    pub(super) fn forget(&mut self, at: Timestamp, slot: SlotId, segment: u32) {
        if self.index[slot].state == State::Available && !self.replaying {
            self.lines.unlink_ready(&mut self.index, slot);
        }
        self.leave_completed(slot);
        self.cache.take(slot);
        let removed = self.index.remove(slot);
        self.live.sub(removed.definition);
        let queue = self.lines.queue_of_mut(removed.line);
        *queue.counts.slot(removed.state) -= 1;
        queue.removed += 1;
        if let Some(detail) = self.details.remove(&slot) {
            self.epoch_floor = self.epoch_floor.max(detail.epoch);
            self.live.bytes -= detail.footprint();
            let queue = self.lines.get(removed.line).queue;
            let key = detail.unique.map(|unique| (queue, unique.key));
            if let Some(key) = key
                && self.uniques.get(&key) == Some(&slot)
            {
                self.uniques.remove(&key);
            }
            if let Some(lease) = detail.lease {
                self.workers.ended(&lease.worker);
            }
        }
        self.lines.leave(removed.line);
        self.remembered.put(at, removed.id, segment);
        self.news.finished.push(removed.id);
    }

    /// Writes that a task is gone, and lets it go.
    pub(super) fn drop_task(&mut self, now: Now, slot: SlotId, records: &mut Tail) {
        let id: TaskId = self.index[slot].id;
        let placed = records.push(&Record::Removed(id), &[], now.wall, self.last_order);
        self.forget(now.wall, slot, placed.position().segment());
    }
}
