//! Handing tasks out.
//!
//! All calls of `lease` that wait in a server are served together by one task, the claimer, in one
//! transaction at a time, so that a thousand waiting workers cost the database no more than one.
//! Servers do not share workers: each takes for its own, under the mutex of the queue, and none
//! can take what another one has (I2).
//!
//! | file | what |
//! |---|---|
//! | `desk` | the calls that wait |
//! | `claimer` | what is claimed when, for whom |
//! | `attempt` | one claim: the transaction |
//! | `take` | the short way, where it does not matter who gets which task |
//! | `share` | whose turn it is, and which task that one gets |
//! | `walk` | one claim's way through the lines of a queue |
//! | `track`, `tracks` | what is known of lines, so that nothing is looked at in vain |

mod attempt;
mod claimer;
mod desk;
mod share;
mod take;
#[cfg(test)]
mod tests;
mod track;
mod tracks;
mod walk;

use std::sync::Arc;
use std::time::Duration;

use haulier_core::{Lease, Result, Want};

use crate::store::Inner;
use desk::{Desk, Leaving};

/// Calls that wait.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    desk: Desk,
}

/// Begins to serve.
pub(crate) fn start(inner: &Arc<Inner>) {
    let task = claimer::run(Arc::clone(inner));
    inner.beside().spawn(task);
}

/// Claims tasks for these wants, and waits up to `wait` until there are some.
pub(crate) async fn lease(
    inner: &Arc<Inner>,
    wants: Vec<Want>,
    wait: Duration,
) -> Result<Vec<Vec<Lease>>> {
    let nothing = vec![Vec::new(); wants.len()];
    let mut is_last = wait.is_zero() || wants.is_empty();
    let mut end = inner.clock.sleep(wait);
    let tell = || inner.hub.wake_claimer();
    let call = Leaving { seat: inner.claims.desk.enter(wants, is_last), tell };
    inner.hub.wake_claimer();
    loop {
        if let Some(answer) = call.seat.take() {
            return answer;
        }
        tokio::select! {
            () = call.seat.ready.notified() => {}
            () = &mut end, if !is_last => {
                if call.seat.stop_waiting() {
                    return Ok(nothing);
                }
                is_last = true;
                inner.hub.wake_claimer();
            }
        }
    }
}
