//! A caller that waits for tasks. However it ends, no lease is left with nobody: what was on its
//! way when the caller was dropped is handed back.

use std::sync::Arc;
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
}

impl Waiting {
    pub fn new(desk: Arc<Desk>, number: u64, answer: Answer) -> Self {
        Self { desk, number, answer, answered: false }
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
            self.desk.give_back_credit(self.number);
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
            Err(_) => self.desk.give_back_credit(self.number),
        }
    }
}
