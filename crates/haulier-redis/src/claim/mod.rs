//! Handing tasks out.
//!
//! All calls of `lease` in a server are served together by one task, the claimer, with one script
//! at a time, so that a thousand waiting workers cost Redis no more than one. Who gets what is
//! decided in the script, in one atomic step for all wants and queues.
//!
//! | file | what |
//! |---|---|
//! | `desk` | the calls that wait |
//! | `claimer` | what is claimed when, for whom |

mod claimer;
mod desk;

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
    if wants.is_empty() {
        return Ok(nothing);
    }
    let mut is_last = wait.is_zero();
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
            }
        }
    }
}
