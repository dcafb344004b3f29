//! What a benchmark may be proud of: every acknowledged task was executed, and exactly one
//! execution of it was accepted. A run that cannot show that publishes nothing.

use std::time::Duration;

use haulier_core::TaskId;

use crate::disk::percentile;
use crate::exit::{Exit, Failed, Result};

/// What the clients of a run wrote down.
#[derive(Debug, Default)]
pub struct Books {
    /// Tasks whose enqueue was acknowledged.
    pub acknowledged: Vec<TaskId>,
    /// Tasks whose completion was accepted, once for each time.
    pub accepted: Vec<TaskId>,
    /// For each completion that was accepted, the time that the workload measures.
    pub times: Vec<Duration>,
}

/// What comes out of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Audited {
    /// Tasks that were acknowledged, executed and accepted once.
    pub tasks: usize,
    /// Half of the times are no longer, in milliseconds.
    pub p50_ms: f64,
    /// All but one in a hundred are no longer, in milliseconds.
    pub p99_ms: f64,
}

impl Books {
    /// Adds what another client wrote down.
    pub fn add(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.accepted.extend(other.accepted);
        self.times.extend(other.times);
    }

    /// Balances the books.
    pub fn audit(mut self) -> Result<Audited> {
        self.acknowledged.sort_unstable();
        self.accepted.sort_unstable();
        self.times.sort_unstable();
        let twice = self.accepted.windows(2).filter(|pair| pair[0] == pair[1]).count();
        let is_accepted = |id: &&TaskId| self.accepted.binary_search(id).is_ok();
        let missing =
            self.acknowledged.len() - self.acknowledged.iter().filter(is_accepted).count();
        if missing > 0 || twice > 0 || self.accepted.len() != self.acknowledged.len() {
            return Err(Failed::new(
                Exit::Bug,
                format!(
                    "the books do not balance: {} acknowledged, {} accepted, {missing} missing, \
                     {twice} accepted twice; nothing is published",
                    self.acknowledged.len(),
                    self.accepted.len()
                ),
            )
            .next("repeat the run; if it persists, report it with the server's log"));
        }
        let at = |permille| percentile(&self.times, permille).as_secs_f64() * 1_000.0;
        Ok(Audited { tasks: self.accepted.len(), p50_ms: at(500), p99_ms: at(990) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books(acknowledged: &[u8], accepted: &[u8]) -> Books {
        let ids = |numbers: &[u8]| numbers.iter().map(|n| TaskId::from_bytes([*n; 16])).collect();
        Books {
            acknowledged: ids(acknowledged),
            accepted: ids(accepted),
            times: vec![Duration::from_millis(2); accepted.len()],
        }
    }

    #[test]
    fn books_balance_when_every_acknowledged_task_was_accepted_once() {
        let audited = books(&[3, 1, 2], &[2, 3, 1]).audit().unwrap();
        assert_eq!(audited, Audited { tasks: 3, p50_ms: 2.0, p99_ms: 2.0 });
    }

    #[test]
    fn a_missing_a_doubled_or_an_unknown_task_publishes_nothing() {
        for (acknowledged, accepted) in
            [(&[1, 2][..], &[1][..]), (&[1], &[1, 1]), (&[1, 2], &[1, 1]), (&[1], &[1, 2])]
        {
            let failed = books(acknowledged, accepted).audit().unwrap_err();
            assert!(failed.to_string().contains("do not balance"), "{failed}");
        }
    }
}
