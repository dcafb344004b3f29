//! Everything that happens by itself at a time: due tasks, expiries, leases, retention. A timer is
//! never taken out; when it rings, whoever set it checks whether it still means anything.
//!
//! Several of these run, on two clocks: the calendar (milliseconds) and the monotonic one
//! (nanoseconds).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::index::SlotId;

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// A pending task becomes available.
    Due,
    /// A lease runs out.
    Lease,
    /// A task that has not started is given up.
    Expire,
    /// A finished task no longer holds its unique key.
    FreeKey,
    /// A finished task is forgotten.
    Forget,
}

/// One timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timer {
    /// When it rings.
    pub at: u64,
    /// Timers of the same moment ring in the order in which they were set.
    pub number: u64,
    /// What for.
    pub purpose: Purpose,
    /// For whom.
    pub slot: SlotId,
}

/// Timers on one clock.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<Timer>>,
}

impl Timers {
    /// Sets a timer.
    pub fn set(&mut self, timer: Timer) {
        self.heap.push(Reverse(timer));
    }

    /// How many there are, those included that mean nothing any more.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// The next one that rings.
    pub fn next(&self) -> Option<Timer> {
        self.heap.peek().map(|Reverse(timer)| *timer)
    }

    /// Takes the next one that is due.
    pub fn ring(&mut self, now: u64) -> Option<Timer> {
        if self.next()?.at > now {
            return None;
        }
        self.heap.pop().map(|Reverse(timer)| timer)
    }

    /// Throws out timers that mean nothing any more, once they are the most: `live` is how many
    /// may.
    pub fn tidy(&mut self, live: usize, mut means: impl FnMut(&Timer) -> bool) {
        if self.heap.len() > 2 * live + 4_096 {
            self.heap.retain(|Reverse(timer)| means(timer));
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
            timers.set(Timer { at, number: u64::from(slot), purpose: Purpose::Due, slot });
        }
        let rung: Vec<_> = std::iter::from_fn(|| timers.ring(5)).map(|timer| timer.slot).collect();
        assert_eq!(rung, [2, 1, 3]);
        assert_eq!(timers.next().map(|timer| timer.at), Some(9));
    }
}
