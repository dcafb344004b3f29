//! A line a minute that tells what a server does, for whoever reads its log later.

use std::sync::Arc;
use std::time::Duration;

use haulier_core::{QueueStats, Result, State};

use crate::rates::Readings;
use crate::shared::Shared;

/// How often.
const EVERY: Duration = Duration::from_mins(1);

/// What is summed over all queues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sums {
    accepted: u64,
    finished: u64,
    available: u64,
    running: u64,
    dead: u64,
}

impl Sums {
    fn of(queues: &[QueueStats]) -> Self {
        queues.iter().fold(Self::default(), |sums, queue| Self {
            accepted: sums.accepted + queue.accepted,
            finished: sums.finished + queue.finished,
            available: sums.available + queue.counts.get(State::Available),
            running: sums.running + queue.counts.get(State::Running),
            dead: sums.dead + queue.counts.get(State::Dead),
        })
    }
}

/// Logs a summary a minute, for ever. A quiet minute is not worth a line.
pub(crate) async fn log(shared: Shared, readings: Arc<Readings>) {
    let mut before = None;
    loop {
        match read(&shared, &readings).await {
            Ok(now) => {
                let then = before.replace(now);
                if let Some(then) = then.filter(|then| *then != now) {
                    tracing::info!(
                        accepted = now.accepted.saturating_sub(then.accepted),
                        finished = now.finished.saturating_sub(then.finished),
                        available = now.available,
                        running = now.running,
                        dead = now.dead,
                        "the last minute"
                    );
                }
            }
            Err(error) => {
                tracing::warn!(code = %error.code(), "cannot sum up the last minute: {error}");
            }
        }
        shared.clock.sleep(EVERY).await;
    }
}

/// Sums the queues up; the same look serves as a reading of their rates.
async fn read(shared: &Shared, readings: &Readings) -> Result<Sums> {
    let queues = shared.store.queues().await?;
    readings.take(shared.clock.monotonic(), &queues);
    Ok(Sums::of(&queues))
}
