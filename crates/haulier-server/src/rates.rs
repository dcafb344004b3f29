//! How fast queues move: the difference of two readings, the older of them at least ten seconds
//! old.
//!
//! Each look at the queues is a reading; the summary of the log looks once a minute. So the mean
//! reaches over ten seconds or more, and says over how long.

use std::collections::BTreeMap;
use std::time::Duration;

use haulier_core::{QueueName, QueueStats};
use parking_lot::Mutex;

use crate::api::{Rates, Span, approximate};

/// A reading is replaced by a newer one once it is this old.
const WINDOW: Duration = Duration::from_secs(10);
/// Shorter means say nothing.
const WINDOW_MIN: Duration = Duration::from_secs(1);
/// Queues of one reading, by name; of others no rates are known.
const QUEUES_MAX: usize = 10_000;

/// The last two readings.
#[derive(Debug, Default)]
pub(crate) struct Readings(Mutex<Option<(Reading, Reading)>>);

#[derive(Debug, Clone)]
struct Reading {
    at: Duration,
    counts: BTreeMap<QueueName, Counts>,
    /// Queues were left out.
    cut: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    accepted: u64,
    finished: u64,
}

impl Reading {
    fn take(at: Duration, stats: &[QueueStats]) -> Self {
        let counts = stats.iter().take(QUEUES_MAX).map(|queue| {
            (queue.queue.clone(), Counts { accepted: queue.accepted, finished: queue.finished })
        });
        Self { at, counts: counts.collect(), cut: stats.len() > QUEUES_MAX }
    }

    fn rates(&self, now: Duration, queue: &QueueStats) -> Option<Rates> {
        let over = now.saturating_sub(self.at);
        let absent = (!self.cut).then(Counts::default);
        let then = self.counts.get(&queue.queue).copied().or(absent)?;
        if over < WINDOW_MIN {
            return None;
        }
        let per_second = |now: u64, then: u64| {
            let rate = approximate(now.saturating_sub(then)) / over.as_secs_f64();
            (rate * 1_000.0).round() / 1_000.0
        };
        Some(Rates {
            accepted: per_second(queue.accepted, then.accepted),
            finished: per_second(queue.finished, then.finished),
            over: Span(over),
        })
    }
}

impl Readings {
    /// Takes a reading of all queues at `now`, and tells the rate of each since an earlier one.
    pub(crate) fn take(&self, now: Duration, stats: &[QueueStats]) -> Vec<Option<Rates>> {
        let mut readings = self.0.lock();
        let (older, newer) = readings.get_or_insert_with(|| {
            let first = Reading::take(now, stats);
            (first.clone(), first)
        });
        if now.saturating_sub(newer.at) >= WINDOW {
            *older = std::mem::replace(newer, Reading::take(now, stats));
        }
        stats.iter().map(|queue| older.rates(now, queue)).collect()
    }
}

#[cfg(test)]
mod tests {
    use haulier_core::{QueueSettings, StateCounts};

    use super::*;

    fn queue(accepted: u64, finished: u64) -> QueueStats {
        QueueStats {
            queue: QueueName::default(),
            counts: StateCounts::default(),
            oldest_available: None,
            settings: QueueSettings::default(),
            accepted,
            removed: 0,
            finished,
        }
    }

    #[test]
    fn a_rate_is_the_mean_since_a_reading_that_is_old_enough() {
        let readings = Readings::default();
        let at = |seconds, accepted, finished| {
            let rates = readings.take(Duration::from_secs(seconds), &[queue(accepted, finished)]);
            rates[0].map(|rates| (rates.accepted, rates.finished, rates.over.0.as_secs()))
        };
        assert_eq!(at(0, 100, 0), None, "one reading has no rate");
        assert_eq!(at(2, 120, 10), Some((10.0, 5.0, 2)));
        assert_eq!(at(10, 200, 50), Some((10.0, 5.0, 10)), "the first reading is replaced now");
        assert_eq!(at(20, 200, 100), Some((0.0, 5.0, 10)));
        assert_eq!(at(21, 200, 100), Some((0.0, 4.545, 11)));
    }

    #[test]
    fn a_queue_that_was_not_there_began_at_nothing() {
        let readings = Readings::default();
        readings.take(Duration::ZERO, &[]);
        let rates = readings.take(Duration::from_secs(4), &[queue(8, 4)]);
        assert_eq!(rates[0].map(|rates| (rates.accepted, rates.finished)), Some((2.0, 1.0)));
    }
}
