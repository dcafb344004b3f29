//! What only some tasks have: a lease, deliveries, checkpoints, a result, a unique key, an expiry.
//! A fresh task has none of it and no entry here.

use std::collections::VecDeque;
use std::time::Duration;

use haulier_core::{Epoch, Progress, Standing, Timestamp, Unique, WorkerId, limits};

use crate::index::Slot;
use crate::parts;
use crate::place::Extent;
use crate::record::Rules;
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
    /// Who holds it.
    pub lease: Option<Holding>,
    /// How far its handler has come; not kept over a restart.
    pub progress: Option<Progress>,
    /// Steps that are done.
    pub checkpoints: Vec<Step>,
    /// Where its result stands.
    pub result: Option<Extent>,
    /// Its newest deliveries, oldest first.
    pub deliveries: VecDeque<Delivery>,
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

impl Detail {
    /// Where a task stands.
    pub fn standing(&self, slot: &Slot) -> Standing {
        Standing {
            state: slot.state,
            reason: slot.reason,
            attempt: self.attempt,
            losses: self.losses,
            cancel_requested: self.cancel_requested,
            started: self.started,
        }
    }

    /// Adds a delivery and forgets the oldest beyond the limit.
    pub fn deliver(&mut self, delivery: Delivery) {
        if self.deliveries.len() == limits::DELIVERIES_MAX {
            self.deliveries.pop_front();
        }
        self.deliveries.push_back(delivery);
    }

    /// The delivery with that fence.
    pub fn delivery(&mut self, epoch: Epoch) -> Option<&mut Delivery> {
        self.deliveries.iter_mut().rev().find(|delivery| delivery.epoch == epoch)
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
