//! How long to wait before a call that failed is repeated: longer each time, with jitter, and at
//! least as long as the answer asked for.

use std::time::Duration;

use haulier_core::{Backoff, Entropy, Error};

const BACKOFF: Backoff = Backoff {
    base: Duration::from_millis(50),
    max: Duration::from_secs(5),
    factor_permille: 2_000,
    jitter_permille: 500,
};

/// Failures in a row.
#[derive(Debug, Default)]
pub(crate) struct Pause(u32);

impl Pause {
    /// The pause after one more failure.
    pub fn next(&mut self, error: &Error, entropy: &dyn Entropy) -> Duration {
        self.0 = self.0.saturating_add(1);
        let pause = BACKOFF.pause_with_jitter(self.0, entropy);
        pause.max(error.retry_delay().unwrap_or_default())
    }

    /// A call succeeded.
    pub fn reset(&mut self) {
        self.0 = 0;
    }
}
