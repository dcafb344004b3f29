//! Which rows a benchmark has: the workloads with their numbers, for a quick tour, in full, or as
//! the command line wants them.

use std::time::Duration;

use clap::ValueEnum;

use super::run::{Amount, Callers};
use super::workloads::Case;
use super::workloads::backlog::Backlog;
use super::workloads::burst::Burst;
use super::workloads::idle::Idle;
use super::workloads::latency::Latency;
use super::workloads::lifecycle::Lifecycle;
use super::workloads::memory::Memory;
use super::workloads::one_way::{OneWay, Way};
use super::workloads::payloads::Payloads;
use super::workloads::priorities::Priorities;
use super::workloads::recovery::Recovery;
use super::workloads::retries::Retries;

/// Numbers of producers and workers, and of tasks of a call, that a matrix has.
const MATRIX: [usize; 3] = [1, 10, 100];
/// Sizes of large payloads, in bytes.
const LARGE: [usize; 3] = [4 << 10, 64 << 10, 1 << 20];
/// Steady rates, a second.
const RATES: [u32; 3] = [10, 100, 1_000];
/// Callers that hand over one task at a time.
const SINGLE: usize = 50;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// Enqueue, deliver and complete, as fast as it goes
    Lifecycle,
    /// From enqueue to start at a steady rate
    Latency,
    /// 50 callers, each one task at a time
    Single,
    /// Enqueue only
    Enqueue,
    /// Deliver and complete only
    Drain,
    /// Lifecycles beside a deep backlog, against without
    Backlog,
    /// Urgent tasks beside a backlog of mixed priorities
    Priorities,
    /// Many tasks due at the same moment
    Burst,
    /// Every task fails once
    Retries,
    /// Payloads of 4 KiB, 64 KiB and 1 MiB
    Payloads,
    /// Idle queues and workers: processor time and syncs
    Idle,
    /// From the start after kill -9 to the first delivery
    Recovery,
    /// Memory for each task that waits
    Memory,
}

/// What the command line says of sizes.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Long rows instead of a quick tour.
    pub full: bool,
    /// Every row of the matrix.
    pub matrix: bool,
    /// The store is in this process.
    pub in_process: bool,
    /// Producers, and workers.
    pub callers: Option<usize>,
    /// Tasks of a call.
    pub batch: Option<usize>,
    /// Tasks of each row.
    pub tasks: Option<u32>,
    /// How long a row takes that is limited by time.
    pub seconds: Option<u32>,
    /// Steady rates.
    pub rates: Vec<u32>,
}

impl Workload {
    /// The name as it is typed.
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

impl Plan {
    /// The rows of a workload.
    pub fn cases(&self, workload: Workload) -> Vec<Box<dyn Case>> {
        let (callers, amount) = (self.callers_or(self.bulk()), self.amount());
        let one_way = |way, callers, amount| OneWay { way, callers, amount };
        match workload {
            Workload::Lifecycle => self.lifecycles(),
            Workload::Latency => {
                let rates = if self.rates.is_empty() { &RATES[..] } else { &self.rates };
                rates.iter().map(|rate| boxed(self.latency(*rate))).collect()
            }
            Workload::Single => {
                let single = Callers { count: self.callers.unwrap_or(SINGLE), batch: 1 };
                vec![boxed(one_way(Way::Both, single, amount))]
            }
            Workload::Enqueue => vec![boxed(one_way(Way::In, callers, amount))],
            Workload::Drain => {
                let tasks = Amount::Tasks(self.tasks(200_000, 1_000_000).into());
                vec![boxed(one_way(Way::Out, callers, tasks))]
            }
            Workload::Backlog => {
                let standing = self.tasks(200_000, 2_000_000).into();
                vec![boxed(Backlog { standing, callers, amount })]
            }
            Workload::Priorities => {
                let tasks = self.tasks(100_000, 1_000_000).into();
                vec![boxed(Priorities { tasks, callers })]
            }
            Workload::Burst => {
                vec![boxed(Burst { tasks: self.tasks(50_000, 500_000), callers })]
            }
            Workload::Retries => vec![boxed(Retries { callers, amount })],
            Workload::Payloads => {
                LARGE.into_iter().map(|bytes| boxed(Payloads { bytes, callers, amount })).collect()
            }
            Workload::Idle => vec![boxed(Idle {
                queues: self.tasks(10_000, 10_000),
                workers: self.tasks(1_000, 1_000),
                time: Duration::from_secs(self.seconds(5, 30).into()),
            })],
            Workload::Recovery => {
                let pending = self.tasks(200_000, 2_000_000).into();
                vec![boxed(Recovery { pending, callers })]
            }
            Workload::Memory => {
                let pending = self.tasks(700_000, 4_000_000).into();
                vec![boxed(Memory { pending, callers })]
            }
        }
    }

    fn lifecycles(&self) -> Vec<Box<dyn Case>> {
        let amount = self.amount();
        let case = |count, batch| {
            let callers = self.callers_or(Callers { count, batch });
            boxed(Lifecycle { callers, amount })
        };
        if self.matrix {
            let all = MATRIX.into_iter().flat_map(|count| MATRIX.map(|batch| (count, batch)));
            return all.map(|(count, batch)| case(count, batch)).collect();
        }
        let bulk = self.bulk();
        if self.in_process || self.callers.is_some() || self.batch.is_some() {
            return vec![case(bulk.count, bulk.batch)];
        }
        vec![case(1, 1), case(100, 1), case(bulk.count, bulk.batch)]
    }

    fn latency(&self, rate: u32) -> Latency {
        let seconds = self.seconds(3, 20);
        // At a low rate a few seconds would say little.
        let least = if self.seconds.is_none() { 30 } else { 1 };
        let tasks = rate.saturating_mul(seconds).max(least);
        Latency { rate, tasks: self.tasks.map_or(tasks, |most| tasks.min(most)) }
    }

    /// Callers where only many at a time matter.
    fn bulk(&self) -> Callers {
        if self.in_process {
            return Callers { count: 4, batch: 1_000 };
        }
        Callers { count: 10, batch: 100 }
    }

    fn callers_or(&self, callers: Callers) -> Callers {
        Callers {
            count: self.callers.unwrap_or(callers.count),
            batch: self.batch.unwrap_or(callers.batch),
        }
    }

    fn amount(&self) -> Amount {
        match self.tasks {
            Some(tasks) => Amount::Tasks(tasks.into()),
            None => Amount::Time(Duration::from_secs(self.seconds(2, 10).into())),
        }
    }

    /// Tasks of a row that is limited by their number.
    fn tasks(&self, quick: u32, full: u32) -> u32 {
        let own = if self.full { full } else { quick };
        self.tasks.unwrap_or(own)
    }

    fn seconds(&self, quick: u32, full: u32) -> u32 {
        self.seconds.unwrap_or(if self.full { full } else { quick })
    }
}

fn boxed(case: impl Case + 'static) -> Box<dyn Case> {
    Box::new(case)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_has_rows_whose_labels_differ() {
        for workload in Workload::value_variants() {
            for full in [false, true] {
                let plan = Plan { full, matrix: full, ..Plan::default() };
                let mut labels: Vec<_> =
                    plan.cases(*workload).iter().map(|case| case.label()).collect();
                let count = labels.len();
                labels.sort();
                labels.dedup();
                assert!(count > 0 && labels.len() == count, "{workload:?}: {labels:?}");
            }
        }
    }

    #[test]
    fn a_matrix_has_every_pair_and_a_number_on_the_command_line_is_taken() {
        let lifecycles = |plan: &Plan| plan.cases(Workload::Lifecycle).len();
        assert_eq!(lifecycles(&Plan { matrix: true, ..Plan::default() }), 9);
        let plan = Plan { batch: Some(7), ..Plan::default() };
        let cases = plan.cases(Workload::Lifecycle);
        assert_eq!((cases.len(), cases[0].label().contains("batch 7")), (1, true));
    }
}
