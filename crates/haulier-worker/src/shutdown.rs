//! The life of a running worker: its loops side by side, and its end in order. First nothing more
//! is leased and handlers may finish; when the drain limit is over, or at a second signal, the rest
//! is handed back; then the settlements that are out get a little time to be answered.

use std::sync::Arc;
use std::time::Duration;

use haulier_core::Result;
use tokio::sync::watch;

use crate::ctx::Why;
use crate::fetcher::{self, Until};
use crate::shared::{Phase, Shared};
use crate::signals::Stops;
use crate::{keeper, settler, warden};

/// What handlers that listen get to end by themselves once the drain limit is over.
const LAST_GRACE: Duration = Duration::from_secs(1);
/// How long the last settlements may take; after that their leases run out.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Runs until the first signal or until idle, and then to the end.
///
/// # Errors
/// What the store refused for good.
pub(crate) async fn live(shared: &Arc<Shared>, until: Until, stops: Stops<'_>) -> Result<()> {
    let _guard = Guard(shared);
    tokio::select! {
        biased;
        ended = work(shared, until) => ended,
        () = keeper::run(shared) => Ok(()),
        () = warden::run(shared) => Ok(()),
        () = settler::run(shared) => Ok(()),
        () = end(shared, stops) => Ok(()),
    }
}

/// Fetches and runs until there is nothing to do any more, then waits for the last answers.
async fn work(shared: &Arc<Shared>, until: Until) -> Result<()> {
    let ended = fetcher::run(shared, until).await;
    tokio::select! {
        biased;
        () = settled(shared) => {}
        () = shared.link.clock.sleep(LAST_ANSWERS) => tracing::warn!(
            target: "haulier::worker", worker = %shared.id, tasks = shared.held.unsettled(),
            "settlements were not answered in time; their leases run out"
        ),
    }
    ended
}

async fn settled(shared: &Shared) {
    while shared.held.unsettled() > 0 {
        shared.settler.answered.notified().await;
    }
}

/// Waits for reasons to stop and brings the end about; never ends itself.
async fn end(shared: &Shared, mut stops: Stops<'_>) {
    let mut phase = shared.phase.subscribe();
    let enough = tokio::select! {
        biased;
        () = stops.next() => 1,
        // An operator's stop and the first signal after it say the same.
        () = draining(&mut phase) => 2,
    };
    shared.drain();
    let impatient = async {
        for _ in 0..enough {
            stops.next().await;
        }
    };
    tokio::select! {
        biased;
        () = impatient => {}
        () = shared.link.clock.sleep(shared.settings.drain_limit) => {}
    }
    shared.held.stop_all(Why::Drain, shared.now() + LAST_GRACE);
    std::future::pending::<()>().await;
}

async fn draining(phase: &mut watch::Receiver<Phase>) {
    if phase.wait_for(|phase| *phase == Phase::Drain).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// However the worker ends, nothing that it held goes on as if it were still its own.
struct Guard<'a>(&'a Shared);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.held.abandon();
    }
}
