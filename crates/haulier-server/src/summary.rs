//! A line a minute that tells what a server does, for whoever reads its log later.

use std::time::Duration;

use haulier_core::{QueueStats, Result, State};

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
pub(crate) async fn log(shared: Shared) {
    let mut before = None;
    loop {
        match read(&shared).await {
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

async fn read(shared: &Shared) -> Result<Sums> {
    Ok(Sums::of(&shared.store.queues().await?))
}
