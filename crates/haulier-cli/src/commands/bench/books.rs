//! What a benchmark may be proud of: every acknowledged task was executed, exactly one execution of
//! it was accepted, and a server that claims to sync before it acknowledges did sync. A run that
//! cannot show that publishes nothing.

use haulier_core::{Durability, TaskId};

use super::histogram::Histogram;
use crate::exit::{Exit, Failed, Result};

/// What the clients of a run wrote down.
#[derive(Debug, Default)]
pub struct Books {
    /// Tasks whose enqueue was acknowledged.
    pub acknowledged: Vec<TaskId>,
    /// Tasks whose completion was accepted, once for each time.
    pub accepted: Vec<TaskId>,
    /// Leases that were granted.
    pub delivered: u64,
    /// Of these, attempts that failed because the workload wants it.
    pub failed: u64,
    /// The times that the workload measures.
    pub times: Histogram,
}

/// What comes out of them.
#[derive(Debug, Default)]
pub struct Audited {
    /// Tasks that were acknowledged, executed and accepted once.
    pub tasks: u64,
    /// Deliveries beyond one for each task and one for each failure that was wanted.
    pub duplicates: u64,
    /// The times that the workload measures.
    pub times: Histogram,
}

impl Books {
    /// Adds what another client wrote down.
    pub fn add(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.accepted.extend(other.accepted);
        self.delivered += other.delivered;
        self.failed += other.failed;
        self.times.add(&other.times);
    }

    /// Balances the books.
    pub fn audit(mut self) -> Result<Audited> {
        self.acknowledged.sort_unstable();
        self.accepted.sort_unstable();
        let twice = self.accepted.windows(2).filter(|pair| pair[0] == pair[1]).count();
        let is_accepted = |id: &&TaskId| self.accepted.binary_search(id).is_ok();
        let missing =
            self.acknowledged.len() - self.acknowledged.iter().filter(is_accepted).count();
        if missing > 0 || twice > 0 || self.accepted.len() != self.acknowledged.len() {
            return Err(Failed::new(
                Exit::No,
                format!(
                    "the books do not balance: {} acknowledged, {} accepted, {missing} missing, \
                     {twice} accepted twice; nothing is published",
                    self.acknowledged.len(),
                    self.accepted.len()
                ),
            )
            .next("repeat the run; if it persists, report it with the server's log"));
        }
        let tasks = self.accepted.len() as u64;
        let duplicates = self.delivered.saturating_sub(tasks + self.failed);
        Ok(Audited { tasks, duplicates, times: self.times })
    }
}

impl Audited {
    /// Adds another run of the same round.
    pub fn add(&mut self, other: &Self) {
        self.tasks += other.tasks;
        self.duplicates += other.duplicates;
        self.times.add(&other.times);
    }
}

/// What is known of the calls that had to become durable before they were answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durable {
    /// Calls that were answered.
    pub calls: u64,
    /// The most that were out at a time.
    pub out_max: u64,
}

/// Compares a claim of durability with the syncs that were counted. A sync makes no more calls
/// durable than were out while it ran, so there are at least calls ÷ the most that were out.
pub fn check_claim(claimed: Durability, durable: Durable, syncs: u64) -> Result<()> {
    let least = durable.calls.div_ceil(durable.out_max.max(1));
    if claimed < Durability::D2 || syncs >= least {
        return Ok(());
    }
    Err(Failed::new(
        Exit::No,
        format!(
            "the server claims {claimed}, {}, but {} calls were answered with {syncs} syncs; with \
             {} calls out at a time it takes at least {least}; nothing is published",
            claimed.explain(),
            durable.calls,
            durable.out_max
        ),
    )
    .next("do not trust this server with tasks that must survive a power cut; report it"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn books(acknowledged: &[u8], accepted: &[u8]) -> Books {
        let ids = |numbers: &[u8]| numbers.iter().map(|n| TaskId::from_bytes([*n; 16])).collect();
        let mut times = Histogram::default();
        times.record(Duration::from_millis(2));
        let delivered = accepted.len() as u64;
        Books {
            acknowledged: ids(acknowledged),
            accepted: ids(accepted),
            delivered,
            failed: 0,
            times,
        }
    }

    #[test]
    fn books_balance_when_every_acknowledged_task_was_accepted_once() {
        let audited = books(&[3, 1, 2], &[2, 3, 1]).audit().unwrap();
        assert_eq!((audited.tasks, audited.duplicates), (3, 0));
        assert_eq!(audited.times.at(500), Duration::from_millis(2));
    }

    #[test]
    fn a_missing_a_doubled_or_an_unknown_task_publishes_nothing() {
        for (acknowledged, accepted) in
            [(&[1, 2][..], &[1][..]), (&[1], &[1, 1]), (&[1, 2], &[1, 1]), (&[1], &[1, 2])]
        {
            let failed = books(acknowledged, accepted).audit().unwrap_err();
            assert!(failed.to_string().contains("do not balance"), "{failed}");
            assert_eq!(failed.exit(), Exit::No);
        }
    }

    #[test]
    fn a_second_delivery_is_a_duplicate_unless_its_failure_was_wanted() {
        let mut twice = books(&[1, 2], &[1, 2]);
        twice.add(Books { delivered: 3, failed: 2, ..Books::default() });
        assert_eq!(twice.audit().unwrap().duplicates, 1);
    }

    #[test]
    fn a_claim_that_fewer_syncs_than_possible_stand_behind_is_refused() {
        let durable = Durable { calls: 100, out_max: 8 };
        assert!(check_claim(Durability::D2, durable, 13).is_ok());
        let failed = check_claim(Durability::D2, durable, 12).unwrap_err();
        assert!(failed.to_string().contains("at least 13"), "{failed}");
        assert_eq!(failed.exit(), Exit::No);
        assert!(check_claim(Durability::D1, durable, 0).is_ok(), "D1 claims no syncs");
        assert!(check_claim(Durability::D2, Durable { calls: 0, out_max: 0 }, 0).is_ok());
    }
}
