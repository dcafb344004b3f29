//! Where a look at an index begins.
//!
//! Whatever time has brought about leaves its index, but as long as any transaction in the database
//! is older than that, PostgreSQL has to walk over what has left. Of a queue that ends twenty
//! thousand leases a second this would be millions after some minutes. So a look begins a little
//! below where the last one ended. What comes in farther below (of a transaction that took its
//! time) is found by looks that reach back farther, the more seldom the farther, and finally to the
//! very beginning: all of them together walk over each row a handful of times.

/// How far a look reaches back, and how often it does, in milliseconds.
const LOOKS: [(i64, i64); 5] =
    [(250, 0), (2_000, 4_000), (15_000, 60_000), (120_000, 600_000), (i64::MAX, 3_600_000)];

/// Of one index.
#[derive(Debug, Clone)]
pub(super) struct Floor {
    /// Below this nothing was left.
    reached: i64,
    /// When each of the looks was taken last.
    taken: [Option<i64>; LOOKS.len()],
}

impl Default for Floor {
    fn default() -> Self {
        Self { reached: i64::MIN, taken: [None; LOOKS.len()] }
    }
}

impl Floor {
    /// Where the look at this time begins.
    pub fn begin(&mut self, now: i64) -> i64 {
        let due =
            |at: usize| self.taken[at].is_none_or(|last| now.saturating_sub(last) >= LOOKS[at].1);
        let farthest = (0..LOOKS.len()).rev().find(|at| due(*at)).unwrap_or_default();
        self.taken[..=farthest].fill(Some(now));
        self.reached.saturating_sub(LOOKS[farthest].0).max(0)
    }

    /// Nothing is left below.
    pub fn reach(&mut self, below: i64) {
        self.reached = below;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_look_begins_at_the_beginning_and_the_next_one_where_it_ended() {
        let mut floor = Floor::default();
        assert_eq!(floor.begin(1_000_000), 0);
        floor.reach(1_000_000);
        assert_eq!(floor.begin(1_000_250), 1_000_000 - 250);
    }

    #[test]
    fn whatever_comes_in_below_is_found_and_rows_that_are_gone_are_walked_a_few_times_only() {
        let mut floor = Floor::default();
        let (mut walked, mut lowest) = (0, i64::MAX);
        let hours = 3 * 3_600_000;
        for now in (10_000_000..10_000_000 + hours).step_by(250) {
            let begin = floor.begin(now);
            if begin > 0 {
                walked += now - begin;
            } else {
                lowest = now;
            }
            floor.reach(now);
        }
        assert!(lowest > 10_000_000 + hours - 3_600_001, "the last full look was at {lowest}");
        assert!(walked < 4 * hours, "a row was walked {} times", walked / hours);
    }
}
