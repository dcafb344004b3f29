//! What breaks when, and for how long, decided by a seed before anything runs.

use std::time::Duration;

use haulier_core::{Entropy, SeededEntropy};

/// Chance from a seed.
#[derive(Debug)]
pub struct Dice(SeededEntropy);

impl Dice {
    /// The dice of a seed.
    pub fn new(seed: u64) -> Self {
        Self(SeededEntropy::from_u64(seed))
    }

    /// A number from `low` to `high`, both included.
    pub fn within(&self, low: u64, high: u64) -> u64 {
        low + self.0.next_u64() % (high - low + 1)
    }

    /// So many milliseconds from `low` to `high`.
    pub fn millis(&self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.within(low, high))
    }

    /// True so many times in a hundred.
    pub fn percent(&self, share: u64) -> bool {
        self.within(0, 99) < share
    }
}

/// One fault of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strike<F> {
    /// How long after the one before.
    pub after: Duration,
    /// What is done to whom.
    pub fault: F,
    /// For how long.
    pub lasts: Duration,
}

/// So many strikes, `every` (milliseconds, least and most) apart, each lasting within `lasts`.
pub fn schedule<F: Copy>(
    seed: u64,
    count: usize,
    faults: &[F],
    every: (u64, u64),
    lasts: (u64, u64),
) -> Vec<Strike<F>> {
    let dice = Dice::new(seed);
    let mut strikes = Vec::new();
    for _ in 0..count {
        let last = faults.len().saturating_sub(1);
        let at = usize::try_from(dice.within(0, last as u64)).unwrap_or(0);
        let after = dice.millis(every.0, every.1);
        let lasts = dice.millis(lasts.0, lasts.1);
        strikes.extend(faults.get(at).map(|fault| Strike { after, fault: *fault, lasts }));
    }
    strikes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_schedule_within_its_bounds() {
        let of = |seed| schedule(seed, 50, &["kill", "freeze"], (50, 500), (10, 20));
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert_eq!(of(1).len(), 50);
        let within = |span: Duration, low, high| {
            (low..=high).contains(&u64::try_from(span.as_millis()).unwrap())
        };
        assert!(of(3).iter().all(|s| within(s.after, 50, 500) && within(s.lasts, 10, 20)));
    }
}
