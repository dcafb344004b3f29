//! Recovery: the records of the log, in their order, through the same functions that wrote them. A
//! record of a task that is not there is passed over: the cleaner has moved the task forward since.

use std::time::Duration;

use haulier_core::{Kind, Priority, QueueName, State, Timestamp, WorkerId, limits::STOP_GRACE};

use crate::codec::Malformed;
use crate::detail::{Delivery, Holding, Step};
use crate::engine::change::Holder;
use crate::engine::{Engine, Now};
use crate::index::{DEFINITION_BYTES_MAX, Slot, SlotId};
use crate::place::{Extent, Position};
use crate::record::Record;
use crate::snapshot::Snapshot;
use crate::timers::Purpose;

/// What records of one frame share.
#[derive(Debug, Default)]
pub struct Context {
    now: Timestamp,
    line: Option<(QueueName, Kind, Priority)>,
    holder: Option<Holder>,
}

impl Context {
    /// The time of what follows.
    pub const fn now(&self) -> Timestamp {
        self.now
    }
}

fn name<T>(result: Result<T, haulier_core::Refusal>) -> Result<T, Malformed> {
    result.map_err(|_| Malformed("a name breaks the grammar"))
}

/// A definition that a slot can point to.
fn definition(extent: Extent) -> Result<Extent, Malformed> {
    if extent.len > DEFINITION_BYTES_MAX {
        return Err(Malformed("a definition is longer than any limit allows"));
    }
    Ok(extent)
}

impl Engine {
    /// Takes one record; `at` is where it stands and `parts` where its parts stand.
    ///
    /// # Errors
    /// The record says what no store would have written.
    pub fn replay(
        &mut self,
        context: &mut Context,
        record: Record,
        at: Position,
        parts: &[Extent],
    ) -> Result<(), Malformed> {
        let now = Now { wall: context.now, mono: Duration::ZERO };
        let first = || parts.first().copied().ok_or(Malformed("a record lost its part"));
        match record {
            Record::Time { now, order } => self.replay_time(context, now, order),
            Record::Line { queue, kind, priority } => {
                let (queue, kind) = (name(QueueName::new(queue))?, name(Kind::new(kind))?);
                context.line = Some((queue, kind, priority));
            }
            Record::Holder { worker, ttl } => {
                let worker = name(WorkerId::new(worker))?;
                context.holder = Some(Holder { worker, ttl });
            }
            Record::Accepted(accepted) => {
                let line = self.line_of(context)?;
                let definition = definition(first()?)?;
                self.accept(context.now, line, &accepted, definition)
                    .ok_or(Malformed("a task was accepted twice"))?;
            }
            Record::Changed(change) => {
                if let Some(slot) = self.index.find(change.id) {
                    let holder = context.holder.as_ref();
                    self.change(now, slot, &change, holder, parts.first().copied());
                }
            }
            Record::Extended { id, ttl } => {
                let detail = self.index.find(id).and_then(|slot| self.details.get_mut(slot));
                if let Some(lease) = detail.and_then(|detail| detail.lease.as_mut()) {
                    lease.logged_ttl = ttl;
                }
            }
            Record::Checkpoint { id, name } => {
                if let Some(slot) = self.index.find(id) {
                    self.save_step(slot, Step { name: name.into(), value: first()? });
                }
            }
            Record::Removed(id) => match self.index.find(id) {
                Some(slot) => self.forget(context.now, slot, at.segment()),
                None => self.remembered.put(context.now, id, at.segment()),
            },
            Record::Settings { queue, settings } => {
                self.set_settings(&name(QueueName::new(queue))?, settings, at);
            }
            Record::Snapshot(snapshot) => self.restore(context, &snapshot, parts)?,
            Record::Remembered(ids) => {
                // Some are known already: their own records still stand.
                for (id, removed_at) in ids {
                    if !self.remembered.contains(id) {
                        self.remembered.put(removed_at, id, at.segment());
                    }
                }
            }
            Record::Opened | Record::Closed | Record::Freed { .. } => {}
        }
        Ok(())
    }

    fn replay_time(&mut self, context: &mut Context, now: Timestamp, order: u64) {
        context.now = now;
        self.latest = self.latest.max(now);
        self.remembered.expire(now);
        self.last_order = self.last_order.max(order);
    }

    fn line_of(&mut self, context: &Context) -> Result<u32, Malformed> {
        let line = context.line.as_ref().ok_or(Malformed("a task stands in no line"))?;
        Ok(self.lines.line(&line.0, &line.1, line.2))
    }

    fn restore(
        &mut self,
        context: &Context,
        snapshot: &Snapshot,
        parts: &[Extent],
    ) -> Result<(), Malformed> {
        if parts.len() != snapshot.part_count() {
            return Err(Malformed("a snapshot lost a part"));
        }
        definition(parts[0])?;
        if let Some(slot) = self.index.find(snapshot.id) {
            // Its old records are still there: only its place on the disk is news.
            self.stand_on(slot, parts);
            return Ok(());
        }
        let line = self.line_of(context)?;
        let enqueued_at = snapshot.enqueued_at;
        let mut place = Slot::new(snapshot.id, parts[0], line, enqueued_at);
        place.set_standing(snapshot.standing.state, snapshot.standing.reason);
        place.set_order(snapshot.order);
        let twice = Malformed("a task was moved twice");
        let slot = self.index.insert(place).ok_or(twice)?;
        self.index.set_due(slot, snapshot.due_at);
        self.live.add(parts[0]);
        self.lines.join(line);
        let queue = self.lines.queue_of_mut(line);
        queue.accepted += 1;
        *queue.counts.slot(snapshot.standing.state) += 1;
        self.restore_detail(slot, snapshot, parts)?;
        // A later task may have the key of one that was moved.
        self.hold_key_again(context.now, slot);
        Ok(())
    }

    fn restore_detail(
        &mut self,
        slot: SlotId,
        snapshot: &Snapshot,
        parts: &[Extent],
    ) -> Result<(), Malformed> {
        let standing = &snapshot.standing;
        self.set_expiry(slot, snapshot.expires_at);
        if let Some(unique) = &snapshot.unique {
            self.detail(slot).unique = Some(unique.clone());
        }
        let ruled = snapshot.rules != crate::record::Rules::default();
        if !ruled && !standing.started && snapshot.finished_at.is_none() {
            return Ok(());
        }
        let mut parts = parts[1..].iter().copied();
        let detail = self.details.entry(slot);
        detail.rules = ruled.then_some(snapshot.rules);
        detail.epoch = snapshot.epoch;
        detail.note(standing);
        detail.finished_at = snapshot.finished_at;
        detail.result = if snapshot.has_result { parts.next() } else { None };
        for (name, value) in snapshot.checkpoints.iter().zip(&mut parts) {
            detail.checkpoints.push(Step { name: name.as_str().into(), value });
        }
        for delivery in &snapshot.deliveries {
            detail.deliveries.push(Delivery {
                epoch: delivery.epoch,
                attempt: delivery.attempt,
                worker: name(WorkerId::new(&delivery.worker))?,
                leased_at: delivery.leased_at,
                end: delivery.end,
                failure: if delivery.has_failure { parts.next() } else { None },
            });
        }
        let worker = detail.deliveries.newest().map(|delivery| delivery.worker.clone());
        if let (Some(worker), Some(ttl)) = (worker, snapshot.ttl) {
            self.workers.leased(&worker);
            detail.lease = Some(Holding {
                worker,
                deadline: Duration::ZERO,
                hard_end: Duration::ZERO,
                ttl,
                logged_ttl: ttl,
                timer: 0,
            });
        }
        self.live.bytes += detail.footprint();
        Ok(())
    }

    /// Everything is read: lines and timers are built, and outstanding leases get a fresh, full
    /// ttl.
    pub fn start(&mut self, now: Now, generation: u32) {
        self.generation = generation;
        self.replaying = false;
        self.index.sort_arrivals();
        self.remembered.sort();
        let mut kept: Vec<(Timestamp, u64, SlotId)> = Vec::new();
        let mut pending: Vec<(u64, SlotId)> = Vec::new();
        for (slot, place) in self.index.iter() {
            if place.state().is_final() {
                let finished = self.details.get(slot).and_then(|detail| detail.finished_at);
                kept.push((finished.unwrap_or_default(), place.order(), slot));
            } else {
                pending.push((place.order(), slot));
            }
        }
        kept.sort_unstable();
        pending.sort_unstable();
        let newest = kept.iter().map(|(_, order, _)| *order).chain(pending.last().map(|it| it.0));
        self.last_order = newest.fold(self.last_order, u64::max);
        for (_, _, slot) in kept {
            self.keep(now.wall, slot);
        }
        for (_, slot) in pending {
            if self.index[slot].state() == State::Running {
                haulier_core::probe::sometimes("gap healed");
            }
            self.set_going(now, slot);
        }
        self.workers.forget_all();
        for queue in &mut self.lines.queues {
            (queue.accepted, queue.removed, queue.finished) = (queue.counts.total(), 0, 0);
        }
        self.news = crate::engine::News::default();
    }

    /// A task that is not final joins its line, or gets its timers.
    fn set_going(&mut self, now: Now, slot: SlotId) {
        match self.index[slot].state() {
            State::Available => self.lines.push_ready(&mut self.index, slot),
            State::Running => self.renew_at_start(now, slot),
            _ => self.ring_at(self.index.due_at(slot), Purpose::Due, slot),
        }
        let expires_at = self.details.get(slot).and_then(|detail| detail.expires_at);
        if let Some(at) = expires_at {
            self.ring_at(at, Purpose::Expire, slot);
        }
    }

    /// A lease gets its full ttl again, and its attempt its full time: never less than was promised.
    /// How long it ran already nobody knows, for the calendar may have jumped.
    fn renew_at_start(&mut self, now: Now, slot: SlotId) {
        let timeout = self.rules(slot).timeout;
        let Some(detail) = self.details.get_mut(slot) else { return };
        let cancelled = detail.cancel_requested;
        let Some(lease) = detail.lease.as_mut() else { return };
        lease.ttl = lease.logged_ttl;
        lease.deadline = now.mono + lease.ttl;
        lease.hard_end = now.mono + timeout + STOP_GRACE;
        if cancelled {
            lease.hard_end = lease.hard_end.min(lease.deadline + STOP_GRACE);
        }
        self.set_lease_timer(slot);
    }
}
