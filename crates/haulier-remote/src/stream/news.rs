//! What a worker should know before its next beat: a hint, kept until somebody hears it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use haulier_core::Clock;
use tokio::sync::Notify;

/// A worker's news.
#[derive(Debug, Default)]
pub(crate) struct News {
    untold: AtomicBool,
    changed: Notify,
}

impl News {
    /// There is news.
    pub fn tell(&self) {
        self.untold.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// Is ready when there is news that nobody has heard.
    pub async fn told(&self) {
        while !self.untold.swap(false, Ordering::AcqRel) {
            self.changed.notified().await;
        }
    }

    /// Whether there is news within `wait`.
    pub async fn heard(&self, clock: &dyn Clock, wait: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.told() => true,
            () = clock.sleep(wait) => false,
        }
    }
}
