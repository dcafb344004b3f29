//! A caller that waits for tasks. However it ends, no lease is left with nobody: what was on its
//! way when the caller was dropped is handed back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use haulier_core::{Clock, Lease, Result};
use tokio::sync::oneshot;

use super::desk::Desk;
use super::ended;

/// What comes of a credit.
type Answer = oneshot::Receiver<Result<Vec<Lease>>>;

/// A credit that somebody waits for.
pub(super) struct Waiting {
    desk: Arc<Desk>,
    number: u64,
    answer: Answer,
    answered: bool,
    given_up: Arc<AtomicBool>,
}

impl Waiting {
    pub fn new(desk: Arc<Desk>, number: u64, answer: Answer, given_up: Arc<AtomicBool>) -> Self {
        Self { desk, number, answer, answered: false, given_up }
    }

    fn give_up(&self) {
        // In this order: the actor sees the one or the other, whichever it looks at first.
        self.given_up.store(true, Ordering::Release);
        self.desk.give_back_credit(self.number);
    }

    /// Waits for tasks, and after `wait` for the word that none will come.
    pub async fn until(&mut self, clock: &dyn Clock, wait: Duration) -> Result<Vec<Lease>> {
        let answer = tokio::select! {
            biased;
            answer = &mut self.answer => Some(answer),
            () = clock.sleep(wait) => None,
        };
        let answer = if let Some(answer) = answer {
            answer
        } else {
            self.give_up();
            (&mut self.answer).await
        };
        self.answered = true;
        answer.unwrap_or_else(|_| Err(ended()))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        // From here on the actor learns that nobody listens; what it sent before is taken out.
        self.answer.close();
        match self.answer.try_recv() {
            Ok(Ok(leases)) => {
                self.desk.give_back_leases(leases.into_iter().map(|lease| lease.key));
            }
            Ok(Err(_)) => {}
            Err(_) => self.give_up(),
        }
    }
}
