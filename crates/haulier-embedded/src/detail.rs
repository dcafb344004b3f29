//! What only some tasks have: a lease, deliveries, checkpoints, a result, a unique key, an expiry.
//! A fresh task has none of it and no entry here.

use std::time::Duration;

use haulier_core::control::Retain;
use haulier_core::limits::{DELIVERIES_MAX, STOP_GRACE};
use haulier_core::{Epoch, Progress, Standing, State, Timestamp, Unique, WorkerId};

use crate::engine::{Holder, Now};
use crate::index::Slot;
use crate::parts;
use crate::place::Extent;
use crate::record::{Change, Rules};
use crate::snapshot::End;

/// The rest of a task.
#[derive(Debug, Default, Clone)]
pub struct Detail {
    /// Its newest epoch.
    pub epoch: Epoch,
    /// Deliveries that count.
    pub attempt: u32,
    /// Leases that ran out.
    pub losses: u32,
    /// Cancellation was asked for while it ran.
    pub cancel_requested: bool,
    /// A lease was granted at least once.
    pub started: bool,
    /// What decides of its policy, if that is not the default.
    pub rules: Option<Rules>,
    /// When it is given up if it has not started.
    pub expires_at: Option<Timestamp>,
    /// Its unique key.
    pub unique: Option<Unique>,
    /// When it became final.
    pub finished_at: Option<Timestamp>,
    /// How its queue keeps it.
    pub keeping: Keeping,
    /// The number of the timer that ends its keeping; zero while it is not final.
    pub kept_timer: u64,
    /// Who holds it.
    pub lease: Option<Holding>,
    /// How far its handler has come; not kept over a restart.
    pub progress: Option<Progress>,
    /// Steps that are done.
    pub checkpoints: Vec<Step>,
    /// Where its result stands.
    pub result: Option<Extent>,
    /// Its newest deliveries, oldest first.
    pub deliveries: Deliveries,
}

/// How a queue keeps a finished task.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// By its time only.
    #[default]
    ByTime,
    /// It counts among the completed ones, but goes by no count while it holds its unique key.
    Held,
    /// It counts among the completed ones; the oldest go first.
    Counted,
}

/// A lease as the engine counts it, on the monotonic clock.
#[derive(Debug, Clone)]
pub struct Holding {
    /// Who holds it.
    pub worker: WorkerId,
    /// When it runs out.
    pub deadline: Duration,
    /// What no beat moves the deadline beyond.
    pub hard_end: Duration,
    /// How long it was granted or renewed for last.
    pub ttl: Duration,
    /// How long it lasts at a restart, as the log has it.
    pub logged_ttl: Duration,
    /// The number of the timer that ends it.
    pub timer: u64,
}

/// A checkpoint whose value stays on the disk.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name.
    pub name: std::sync::Arc<str>,
    /// Where its value stands.
    pub value: Extent,
}

/// A delivery whose failure stays on the disk.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its fence.
    pub epoch: Epoch,
    /// Which attempt it was.
    pub attempt: u32,
    /// Who got it.
    pub worker: WorkerId,
    /// When the lease was granted.
    pub leased_at: Timestamp,
    /// How it ended.
    pub end: Option<End>,
    /// Where its failure stands.
    pub failure: Option<Extent>,
}

/// The newest deliveries of a task, oldest first. Most tasks have one, which stands right here.
#[derive(Debug, Default, Clone)]
pub struct Deliveries {
    earlier: Vec<Delivery>,
    newest: Option<Delivery>,
}

impl Deliveries {
    /// Adds a delivery and forgets the oldest beyond the limit.
    pub fn push(&mut self, delivery: Delivery) {
        let Some(before) = self.newest.replace(delivery) else { return };
        if self.earlier.len() + 1 == DELIVERIES_MAX {
            self.earlier.remove(0);
        }
        self.earlier.push(before);
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Delivery> {
        self.earlier.iter().chain(&self.newest)
    }

    /// All of them, oldest first.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut Delivery> {
        self.earlier.iter_mut().chain(&mut self.newest)
    }

    /// The newest.
    pub const fn newest(&self) -> Option<&Delivery> {
        self.newest.as_ref()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.earlier.len() + usize::from(self.newest.is_some())
    }

    /// The one with that fence.
    pub fn find(&self, epoch: Epoch) -> Option<&Delivery> {
        self.iter().rev().find(|delivery| delivery.epoch == epoch)
    }
}

impl Detail {
    /// Where a task stands.
    pub fn standing(&self, slot: &Slot) -> Standing {
        Standing {
            state: slot.state(),
            reason: slot.reason(),
            attempt: self.attempt,
            losses: self.losses,
            cancel_requested: self.cancel_requested,
            started: self.started,
        }
    }

    /// What of a standing is kept here.
    pub const fn note(&mut self, standing: &Standing) {
        self.attempt = standing.attempt;
        self.losses = standing.losses;
        self.cancel_requested = standing.cancel_requested;
        self.started = standing.started;
    }

    /// A worker gets the task.
    pub fn hand_over(&mut self, now: Now, change: &Change, holder: &Holder) {
        let timeout = self.rules.unwrap_or_default().timeout;
        self.epoch = change.epoch;
        self.lease = Some(Holding {
            worker: holder.worker.clone(),
            deadline: now.mono + holder.ttl,
            hard_end: now.mono + timeout + STOP_GRACE,
            ttl: holder.ttl,
            logged_ttl: holder.ttl,
            timer: 0,
        });
        self.deliveries.push(Delivery {
            epoch: change.epoch,
            attempt: change.standing.attempt,
            worker: holder.worker.clone(),
            leased_at: now.wall,
            end: None,
            failure: None,
        });
    }

    /// A delivery ended; who held the lease until now.
    pub fn end(&mut self, epoch: Epoch, end: End, part: Option<Extent>) -> Option<Holding> {
        let completed = end.state == State::Completed;
        if completed {
            self.result = part;
        }
        let ended = self.deliveries.iter_mut().rev().find(|delivery| delivery.epoch == epoch);
        if let Some(delivery) = ended {
            delivery.end = Some(end);
            delivery.failure = if completed { None } else { part };
        }
        self.lease.take()
    }

    /// A rerun does everything again; only the deliveries stay on record.
    pub fn start_over(&mut self) {
        self.finished_at = None;
        self.kept_timer = 0;
        self.expires_at = None;
        self.result = None;
        self.progress = None;
        self.checkpoints.clear();
    }

    /// Until when a task that is final holds its unique key.
    pub fn held_until(&self, enqueued_at: Timestamp) -> Timestamp {
        let window = self.unique.as_ref().map_or(Duration::ZERO, |unique| unique.window);
        enqueued_at.after(window)
    }

    /// When a finished task is forgotten: by its own or its queue's retention, but never before its
    /// unique key is free (I4).
    pub fn forget_at(&self, slot: &Slot, retain: &Retain) -> Timestamp {
        let own = self.rules.and_then(|rules| rules.retain);
        let span = own.unwrap_or_else(|| retain.of(slot.state()));
        let finished = self.finished_at.unwrap_or_default();
        finished.after(span).max(self.held_until(slot.enqueued_at()))
    }

    /// Everything of it that stands on the disk, in the order of a snapshot's parts.
    pub fn extents(&self) -> impl Iterator<Item = Extent> {
        let steps = self.checkpoints.iter().map(|step| step.value);
        let failures = self.deliveries.iter().filter_map(|delivery| delivery.failure);
        self.result.into_iter().chain(steps).chain(failures)
    }

    /// Bytes that a snapshot of it would add to its definition, about.
    pub fn footprint(&self) -> u64 {
        let parts: u64 =
            self.extents().map(|extent| parts::footprint(crate::codec::wide(extent.len))).sum();
        parts + 48 * self.deliveries.len() as u64
    }
}
