//! Chance for everything in the world, from one seed. Each node draws from dice of its own, so that
//! one node's calls do not change another's luck.

use std::time::Duration;

use haulier_core::{Entropy, SeededEntropy};

use crate::history::digest;

/// Dice.
#[derive(Debug)]
pub struct Dice(SeededEntropy);

impl Dice {
    /// The dice of `name` in the world of a seed.
    pub fn new(seed: u64, name: &str) -> Self {
        Self(SeededEntropy::from_u64(digest(&[&seed.to_le_bytes(), name.as_bytes()])))
    }

    /// A number in `from..=to`.
    pub fn within(&self, from: u64, to: u64) -> u64 {
        from + self.0.up_to(to.saturating_sub(from))
    }

    /// True in so many of a thousand cases.
    pub fn permille(&self, chance: u64) -> bool {
        self.0.up_to(999) < chance
    }

    /// A time between two, in milliseconds.
    pub fn span(&self, from_ms: u64, to_ms: u64) -> Duration {
        Duration::from_micros(self.within(from_ms * 1_000, to_ms * 1_000))
    }

    /// One of them. Nothing only if there is none.
    pub fn one_of<'a, T>(&self, all: &'a [T]) -> Option<&'a T> {
        let last = (all.len() as u64).checked_sub(1)?;
        all.get(usize::try_from(self.0.up_to(last)).ok()?)
    }
}

impl Entropy for Dice {
    fn next_u64(&self) -> u64 {
        self.0.next_u64()
    }
}
