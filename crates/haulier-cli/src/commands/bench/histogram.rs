//! How long things took, kept in little memory however many there are: buckets whose width grows
//! with the time, so that what is read back is at most one part in 64 too long. Times are counted
//! in whole nanoseconds; the shortest and the longest are exact.

use std::time::Duration;

/// Buckets for each doubling: a power of two.
const STEPS: u64 = 64;
const STEP_BITS: u32 = STEPS.trailing_zeros();

/// A number of times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many fell into each bucket; grown as far as it is needed.
    buckets: Vec<u64>,
    count: u64,
    longest: u64,
}

impl Histogram {
    /// Adds a time.
    pub fn record(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let bucket = bucket_of(nanos);
        if bucket >= self.buckets.len() {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.count += 1;
        self.longest = self.longest.max(nanos);
    }

    /// Adds all times of another one.
    pub fn add(&mut self, other: &Self) {
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (own, other) in self.buckets.iter_mut().zip(&other.buckets) {
            *own += other;
        }
        self.count += other.count;
        self.longest = self.longest.max(other.longest);
    }

    /// The time that this many thousandths of all do not exceed; zero if there is none.
    pub fn at(&self, permille: u64) -> Duration {
        let rank = (self.count * permille).div_ceil(1_000).max(1);
        let mut passed = 0;
        let reached = self.buckets.iter().position(|count| {
            passed += count;
            passed >= rank
        });
        let nanos = reached.map_or(0, |bucket| longest_of(bucket).min(self.longest));
        Duration::from_nanos(nanos)
    }
}

/// Below [`STEPS`] each nanosecond has its bucket; above, each doubling has as many.
fn bucket_of(nanos: u64) -> usize {
    let bucket = match nanos.checked_ilog2() {
        Some(power) if power >= STEP_BITS => {
            let doubling = power - STEP_BITS;
            (u64::from(doubling) + 1) * STEPS + ((nanos >> doubling) - STEPS)
        }
        _ => nanos,
    };
    usize::try_from(bucket).unwrap_or(usize::MAX)
}

/// The longest time that falls into a bucket.
fn longest_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    match (bucket / STEPS).checked_sub(1) {
        None => bucket,
        Some(doubling) => {
            let first = (bucket % STEPS + STEPS) << doubling;
            first + ((1 << doubling) - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_falls_into_a_bucket_that_is_at_most_a_64th_too_long() {
        let powers = (0..64).flat_map(|power| [1_u64 << power, (1 << power) - 1, 3 << power >> 1]);
        for nanos in powers.chain([u64::MAX]) {
            let read = longest_of(bucket_of(nanos));
            assert!(read >= nanos && read - nanos <= nanos / STEPS, "{nanos} became {read}");
            assert_eq!(bucket_of(read), bucket_of(nanos));
        }
    }

    #[test]
    fn what_is_read_back_is_close_and_never_longer_than_the_longest() {
        let (mut one, mut two) = (Histogram::default(), Histogram::default());
        for millis in 1..=100 {
            let half = if millis % 2 == 0 { &mut one } else { &mut two };
            half.record(Duration::from_millis(millis));
        }
        one.add(&two);
        assert_eq!((one.count, one.at(1_000)), (100, Duration::from_millis(100)));
        for (permille, millis) in [(500, 50), (990, 99)] {
            let (exact, read) = (Duration::from_millis(millis), one.at(permille));
            assert!(read >= exact && read <= exact + exact / 64, "{permille}: {read:?}");
        }
        assert_eq!(Histogram::default().at(500), Duration::ZERO);
    }
}
