//! One claim: the call that waits in the store for a credit. A call is one worker's want, so that
//! one credit that is taken back disturbs no other; sharing scarce tasks out over all that wait is
//! the store's part, whichever calls they wait in.
//!
//! A claim never polls. It is made anew every sixth of the want's ttl, so that the frame from which
//! a worker may count its lease (`seen`, noted when the call is made) is young.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use haulier_core::{Lease, Result, Store, Want, limits};
use tokio_util::sync::CancellationToken;

/// What became of a credit.
pub(super) struct Claimed {
    /// The worker's number of it.
    pub credit: u64,
    pub leases: Result<Vec<Lease>>,
    /// The worker's frame from which it may count these leases.
    pub seen: u64,
}

/// Leases for a credit, however long it takes; nothing once it is taken back. `seen` is the last
/// frame of the worker that its session has handled.
pub(super) async fn claim(
    store: Arc<dyn Store>,
    credit: u64,
    want: Want,
    seen: Arc<AtomicU64>,
    taken_back: CancellationToken,
) -> Claimed {
    let wait = (want.ttl / 6).min(limits::WAIT_MAX);
    loop {
        let told = seen.load(Ordering::Acquire);
        let claimed = |leases| Claimed { credit, leases, seen: told };
        let answers = tokio::select! {
            // What the store has granted is taken, also by a claim that is given up.
            biased;
            answers = store.lease(vec![want.clone()], wait) => answers,
            () = taken_back.cancelled() => return claimed(Ok(Vec::new())),
        };
        match answers {
            Ok(answers) => {
                let leases: Vec<Lease> = answers.into_iter().flatten().collect();
                if !leases.is_empty() {
                    return claimed(Ok(leases));
                }
            }
            Err(error) => return claimed(Err(error)),
        }
    }
}
