//! Everything that happens by itself at a time: due tasks, expiries, leases, retention. A timer is
//! never taken out; when it rings, whoever set it checks whether it still means anything.
//!
//! Two of these run, for two clocks: the calendar (milliseconds) and the monotonic one (nanoseconds).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::index::SlotId;

/// What a timer is for. The order decides between timers of the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// A pending task becomes available.
    Due,
    /// A lease runs out.
    Lease,
    /// A task that has not started is given up.
    Expire,
    /// A finished task is forgotten.
    Forget,
}

/// One timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Timer {
    at: u64,
    /// Timers of the same moment ring in the order in which they were set.
    number: u64,
    purpose: Purpose,
    slot: SlotId,
}

/// Timers on one clock.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<Timer>>,
    count: u64,
}

impl Timers {
    /// Sets a timer.
    pub fn set(&mut self, at: u64, purpose: Purpose, slot: SlotId) {
        self.count += 1;
        self.heap.push(Reverse(Timer { at, number: self.count, purpose, slot }));
    }

    /// When the next one rings.
    pub fn next(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(timer)| timer.at)
    }

    /// Takes the next one that is due.
    pub fn ring(&mut self, now: u64) -> Option<(u64, Purpose, SlotId)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(timer)| (timer.at, timer.purpose, timer.slot))
    }

    /// Throws out timers that mean nothing any more, once they are the most: `live` is how many may.
    pub fn tidy(&mut self, live: usize, mut means: impl FnMut(u64, Purpose, SlotId) -> bool) {
        if self.heap.len() > 2 * live + 4_096 {
            self.heap.retain(|Reverse(timer)| means(timer.at, timer.purpose, timer.slot));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_ring_by_time_and_then_in_the_order_in_which_they_were_set() {
        let mut timers = Timers::default();
        for (at, slot) in [(5, 1), (3, 2), (5, 3), (9, 4)] {
            timers.set(at, Purpose::Due, slot);
        }
        let rung: Vec<_> = std::iter::from_fn(|| timers.ring(5)).map(|(_, _, slot)| slot).collect();
        assert_eq!(rung, [2, 1, 3]);
        assert_eq!(timers.next(), Some(9));
    }
}
