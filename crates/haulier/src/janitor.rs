//! Keeping house in a store of this process: promoting, expiring, pruning. A store is swept only
//! while somebody uses it: the loop holds it weakly, and ends when it is gone.

use std::sync::{Arc, Weak};
use std::time::Duration;

use haulier_core::{Clock, Maintain, Store};
use tokio::task::JoinHandle;

/// Tasks that one sweep may touch, so that it never holds up callers for long.
const BUDGET: usize = 1_000;
/// Tasks that a sweep may touch in a store that is behind: where a million tasks end a second, as
/// many have to be forgotten.
const BUDGET_BEHIND: usize = 8 * BUDGET;
/// The longest pause between two sweeps: what is enqueued in between may be due sooner than the
/// last sweep could know.
const PAUSE_MAX: Duration = Duration::from_millis(250);
/// The shortest pause, so that a busy store is not swept without a break.
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// The pause after a sweep that failed.
const PAUSE_FAILED: Duration = Duration::from_secs(1);

/// Starts sweeping `store` on the present runtime. Aborting the handle stops it; dropping the
/// handle does not.
///
/// # Panics
/// Outside a Tokio runtime, as [`tokio::spawn`].
pub fn spawn(store: &Arc<dyn Store>, clock: Arc<dyn Clock>) -> JoinHandle<()> {
    tokio::spawn(run(Arc::downgrade(store), clock))
}

async fn run(store: Weak<dyn Store>, clock: Arc<dyn Clock>) {
    let mut budget = BUDGET;
    loop {
        let Some(held) = store.upgrade() else { return };
        let pause = sweep(&*held, &mut budget).await;
        drop(held);
        clock.sleep(pause).await;
    }
}

/// One sweep; says how long to wait for the next, and how much that one may do.
async fn sweep(store: &dyn Store, budget: &mut usize) -> Duration {
    match store.sweep(*budget).await {
        Ok(swept) => {
            let behind = swept.next.is_zero();
            *budget = if behind { (*budget * 2).min(BUDGET_BEHIND) } else { BUDGET };
            swept.next.clamp(PAUSE_MIN, PAUSE_MAX)
        }
        Err(error) => {
            tracing::warn!(code = %error.code(), "sweeping failed, and is tried again: {error:#}");
            PAUSE_FAILED
        }
    }
}

/// Sweeps until nothing is left to do now; for tests and tools that own the clock.
///
/// # Errors
/// The first that a sweep meets.
pub async fn sweep_all(store: &dyn Maintain) -> haulier_core::Result<()> {
    while store.sweep(BUDGET).await?.next.is_zero() {}
    Ok(())
}
