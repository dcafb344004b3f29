//! Stops handlers whose time is over: their timeout has passed, their grace has, or the moment from
//! which somebody else may have their task. It works from the worker's own clock alone, so that it
//! holds when the store is out of reach. One sleep serves all attempts.

use crate::shared::Shared;

/// Watches for ever.
pub(crate) async fn run(shared: &Shared) {
    loop {
        let sooner = shared.held.sooner.notified();
        let now = shared.now();
        match shared.held.enforce(now) {
            None => sooner.await,
            Some(moment) => {
                let wait = moment.saturating_sub(now);
                tokio::select! {
                    biased;
                    () = shared.link.clock.sleep(wait) => {}
                    () = sooner => {}
                }
            }
        }
    }
}
