//! The only functions that change a task. Commands and recovery both come through here, so that
//! what a restart finds is what was there.

use std::collections::VecDeque;
use std::time::Duration;

use haulier_core::{
    DeadReason, Ended, State, TaskId, Timestamp, Unique, WorkerId, limits::STOP_GRACE,
};

use crate::codec::wide;
use crate::detail::{Detail, Keeping};
use crate::engine::{Engine, Now};
use crate::index::{Slot, SlotId};
use crate::log::{Part, Tail};
use crate::parts;
use crate::place::Extent;
use crate::record::{Accepted, Change, Happened, Record, Rules};
use crate::snapshot::End;
use crate::timers::{Purpose, Timer};

/// How much of the log is still needed.
#[derive(Debug, Default)]
pub struct Live {
    /// Bytes that a copy of everything would take, about.
    pub bytes: u64,
    /// Tasks whose definition stands in a segment, from the oldest one that is needed on.
    tasks: VecDeque<u64>,
    oldest: u32,
}

impl Live {
    /// A record's own bytes, without its parts.
    const RECORD_BYTES: u64 = 64;

    /// A task stands on this definition.
    pub fn add(&mut self, definition: Extent) {
        self.bytes += Self::RECORD_BYTES + parts::footprint(wide(definition.len));
        if self.tasks.is_empty() {
            self.oldest = definition.segment;
        }
        while definition.segment < self.oldest {
            self.oldest -= 1;
            self.tasks.push_front(0);
        }
        let at = wide(definition.segment - self.oldest);
        if at >= self.tasks.len() {
            self.tasks.resize(at + 1, 0);
        }
        self.tasks[at] += 1;
    }

    fn sub(&mut self, definition: Extent) {
        self.bytes -= Self::RECORD_BYTES + parts::footprint(wide(definition.len));
        if let Some(count) = self.tasks.get_mut(wide(definition.segment - self.oldest)) {
            *count -= 1;
        }
        while self.tasks.front() == Some(&0) {
            self.tasks.pop_front();
            self.oldest += 1;
        }
    }

    /// A task stands on another copy of its definition.
    pub fn move_definition(&mut self, from: Extent, to: Extent) {
        self.sub(from);
        self.add(to);
    }

    /// The oldest segment that a task needs.
    pub fn oldest(&self) -> Option<u32> {
        (!self.tasks.is_empty()).then_some(self.oldest)
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
    /// A task is there, unless one of its id is already.
    pub(super) fn accept(
        &mut self,
        now: Timestamp,
        line: u32,
        accepted: &Accepted,
        definition: Extent,
    ) -> Option<SlotId> {
        let slot = self.index.insert(Slot::new(accepted.id, definition, line, now))?;
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
        let at_once = accepted.due_at <= now;
        let state = if at_once { State::Available } else { State::Scheduled };
        self.place(now, slot, (state, None), accepted.due_at);
        Some(slot)
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
        let Some(detail) = self.details.get(slot) else { return };
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
        slot: SlotId,
        change: Change,
        holder: Option<&Holder>,
        part: Option<&[u8]>,
        records: &mut Tail,
    ) {
        if let Some(holder) = holder {
            records.hold(holder);
        }
        let record = Record::Changed(change);
        let written = part.map(Part::new);
        let extent = records.push(&record, written.as_slice(), now.wall, self.last_order).part();
        self.change(now, slot, &change, holder, part.and(extent));
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
        let standing = (change.standing.state, change.standing.reason);
        if change.happened == Happened::Due {
            // Nothing but its place changes, so a burst of due tasks costs no memory.
            if let Some(detail) = self.details.get_mut(slot) {
                detail.note(&change.standing);
            }
            let due_at = self.index.due_at(slot);
            return self.place(now.wall, slot, standing, due_at);
        }
        if change.happened == Happened::Rerun {
            self.leave_completed(slot);
        }
        let detail = self.details.entry(slot);
        let before = detail.footprint();
        match change.happened {
            Happened::Leased => {
                if let Some(holder) = holder {
                    detail.hand_over(now, change, holder);
                    self.workers.leased(&holder.worker);
                }
            }
            Happened::Ended { how, late, overruled } => {
                let end = End { how, at: now.wall, late, overruled, state: standing.0 };
                if let Some(lease) = detail.end(change.epoch, end, part) {
                    self.workers.ended(&lease.worker);
                }
                if how == Ended::Lost {
                    self.index.set_due(slot, change.due_at);
                }
            }
            Happened::Cancelled if standing.0 == State::Running => {
                if let Some(lease) = detail.lease.as_mut() {
                    lease.hard_end = lease.hard_end.min(now.mono + lease.ttl + STOP_GRACE);
                    self.news.workers.push(lease.worker.clone());
                }
            }
            Happened::Rerun => detail.start_over(),
            Happened::Cancelled | Happened::Expired | Happened::Due => {}
        }
        detail.note(&change.standing);
        self.live.bytes = self.live.bytes + detail.footprint() - before;
        if change.happened == Happened::Leased && !self.replaying {
            self.set_lease_timer(slot);
        }
        self.place(now.wall, slot, standing, change.due_at);
        if change.happened == Happened::Rerun {
            self.hold_key_again(now.wall, slot);
        }
    }

    /// Sets the timer that ends a lease; an earlier one means nothing any more.
    pub(super) fn set_lease_timer(&mut self, slot: SlotId) {
        let detail = self.details.get_mut(slot);
        let Some(lease) = detail.and_then(|detail| detail.lease.as_mut()) else { return };
        self.timer_count += 1;
        lease.timer = self.timer_count;
        let (at, number) = (nanos(lease.deadline), lease.timer);
        self.mono.set(Timer { at, number, purpose: Purpose::Lease, slot });
    }

    /// Puts a task where it stands from now on: in a line, under a timer, among the finished.
    pub(super) fn place(
        &mut self,
        now: Timestamp,
        slot: SlotId,
        (state, reason): (State, Option<DeadReason>),
        due_at: Timestamp,
    ) {
        let (from, line) = (self.index[slot].state(), self.index[slot].line);
        if from == State::Available && !self.replaying {
            self.lines.unlink_ready(&mut self.index, slot);
        }
        let name = self.lines.get(line).queue;
        let queue = &mut self.lines.queues[wide(name)];
        *queue.counts.slot(from) -= 1;
        *queue.counts.slot(state) += 1;
        if from == State::Running && queue.settings.concurrency.is_some() {
            self.news.ready.push(name);
        }
        if !state.is_final() && state != State::Running {
            self.index.set_due(slot, due_at);
        }
        self.last_order += 1;
        let place = &mut self.index[slot];
        place.set_standing(state, reason);
        place.set_order(self.last_order);
        match state {
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
        let detail = self.details.entry(slot);
        detail.finished_at = Some(now);
        if !detail.started {
            // Whoever started it has taken it from there.
            self.cache.take(slot, self.index[slot].line);
        }
        let place = &self.index[slot];
        self.lines.queue_of_mut(place.line).finished += 1;
        if !self.replaying {
            self.news.finished.push(place.id);
            self.keep(now, slot);
        }
    }

    /// Sets the timer that ends a finished task's keeping, and counts it among the completed.
    pub(super) fn keep(&mut self, now: Timestamp, slot: SlotId) {
        let place = &self.index[slot];
        let (line, state) = (place.line, place.state());
        let queue = self.lines.queue_of_mut(line);
        let Some(detail) = self.details.get_mut(slot) else { return };
        let forget_at = detail.forget_at(place, &queue.settings.retain);
        let held_until = detail.held_until(place.enqueued_at());
        if state == State::Completed && held_until > now {
            detail.keeping = Keeping::Held;
            queue.held += 1;
            self.ring_at(held_until, Purpose::FreeKey, slot);
        } else if state == State::Completed {
            self.count(slot);
        }
        self.set_kept_timer(slot, forget_at);
        self.note_excess(line);
    }

    /// Sets the timer that ends a finished task's keeping; an earlier one means nothing any more.
    pub(super) fn set_kept_timer(&mut self, slot: SlotId, at: Timestamp) {
        let Some(detail) = self.details.get_mut(slot) else { return };
        self.timer_count += 1;
        detail.kept_timer = self.timer_count;
        let (number, purpose) = (detail.kept_timer, Purpose::Forget);
        self.kept.set(Timer { at: at.0, number, purpose, slot });
    }

    /// A queue that keeps too many completed tasks is noted once, for the next sweep.
    fn note_excess(&mut self, line: u32) {
        let queue = self.lines.queue_of_mut(line);
        if queue.excess().is_some() && !std::mem::replace(&mut queue.overfull, true) {
            self.overfull.push(self.lines.get(line).queue);
        }
    }

    /// A completed task holds no key any more: it may go by count.
    pub(super) fn free_key(&mut self, now: Timestamp, slot: SlotId) {
        let Some(detail) = self.details.get(slot) else { return };
        let place = &self.index[slot];
        if detail.keeping == Keeping::Held && detail.held_until(place.enqueued_at()) <= now {
            let line = place.line;
            self.lines.queue_of_mut(line).held -= 1;
            self.count(slot);
            self.note_excess(line);
        }
    }

    /// Counts a completed task, in the order in which they were completed.
    fn count(&mut self, slot: SlotId) {
        self.detail(slot).keeping = Keeping::Counted;
        let (own, line) = (self.index[slot].order(), self.index[slot].line);
        let mut completed = self.lines.queue_of(line).completed;
        if completed.last().is_none_or(|last| self.index[last].order() < own) {
            completed.push(&mut self.index, slot);
        } else {
            // Its key was held for longer than others were completed after it.
            completed.insert(&mut self.index, slot, |index, other| index[other].order() > own);
        }
        self.lines.queue_of_mut(line).completed = completed;
    }

    fn leave_completed(&mut self, slot: SlotId) {
        let Some(detail) = self.details.get_mut(slot) else { return };
        let keeping = std::mem::take(&mut detail.keeping);
        self.leave_kept(slot, keeping);
    }

    fn leave_kept(&mut self, slot: SlotId, keeping: Keeping) {
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

    /// When a finished task is forgotten.
    pub(super) fn forget_at(&self, slot: SlotId) -> Timestamp {
        let place = &self.index[slot];
        let retain = &self.lines.queue_of(place.line).settings.retain;
        match self.details.get(slot) {
            Some(detail) => detail.forget_at(place, retain),
            None => Detail::default().forget_at(place, retain),
        }
    }

    /// A task is gone; its id stays known for a while.
    pub(super) fn forget(&mut self, at: Timestamp, slot: SlotId, segment: u32) {
        if self.index[slot].state() == State::Available && !self.replaying {
            self.lines.unlink_ready(&mut self.index, slot);
        }
        let name = self.lines.get(self.index[slot].line).queue;
        let mut started = false;
        if let Some(detail) = self.details.get_mut(slot) {
            started = detail.started;
            self.epoch_floor = self.epoch_floor.max(detail.epoch);
            self.live.bytes -= detail.footprint();
            if let Some(lease) = detail.lease.take() {
                self.workers.ended(&lease.worker);
            }
            let key = detail.unique.take().map(|unique| (name, unique.key));
            if let Some(key) = key
                && self.uniques.get(&key) == Some(&slot)
            {
                self.uniques.remove(&key);
            }
            let keeping = detail.keeping;
            self.leave_kept(slot, keeping);
            self.details.remove(slot);
        }
        if !started {
            self.cache.take(slot, self.index[slot].line);
        }
        let removed = self.index.remove(slot);
        self.live.sub(removed.definition());
        let queue = &mut self.lines.queues[wide(name)];
        *queue.counts.slot(removed.state()) -= 1;
        queue.removed += 1;
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
