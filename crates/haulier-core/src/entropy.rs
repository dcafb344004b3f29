//! The seam for chance. Ids, jitter and shuffles draw from an [`Entropy`] that comes in through a
//! constructor, so that a seed repeats a run.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};

/// A source of chance.
pub trait Entropy: fmt::Debug + Send + Sync + 'static {
    /// 64 bits, each as likely as any other.
    fn next_u64(&self) -> u64;

    /// A number in `0..=bound`.
    fn up_to(&self, bound: u64) -> u64 {
        match bound.checked_add(1) {
            // The bias of the remainder is below 2^-32 for every bound that we use.
            Some(count) => self.next_u64() % count,
            None => self.next_u64(),
        }
    }
}

/// Chance that a seed decides: the same seed gives the same numbers, on every platform and release.
/// Seeded from the operating system it is what production uses; it is not for secrets.
pub struct SeededEntropy(Mutex<Pcg64Mcg>);

impl SeededEntropy {
    /// Chance from 16 bytes.
    pub fn from_seed(seed: [u8; 16]) -> Self {
        Self(Mutex::new(Pcg64Mcg::from_seed(seed)))
    }

    /// Chance from a number, as tests print it.
    pub fn from_u64(seed: u64) -> Self {
        Self(Mutex::new(Pcg64Mcg::seed_from_u64(seed)))
    }
}

impl fmt::Debug for SeededEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SeededEntropy")
    }
}

impl Entropy for SeededEntropy {
    fn next_u64(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_numbers() {
        let draw = |seed| {
            let dice = SeededEntropy::from_u64(seed);
            (0..8).map(|_| dice.up_to(5)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert!(draw(7).into_iter().all(|drawn| drawn <= 5));
    }
}
