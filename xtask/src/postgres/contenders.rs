//! Who is measured on PostgreSQL.

use crate::bench::contender::Workload::{Drain, Enqueue, Latency, Lifecycle};
use crate::bench::contender::{Contender, Drive};

/// Everybody.
pub const ALL: [Contender; 6] = [
    Contender {
        name: "haulier, best",
        how: "3 producers, 3 workers, batches of 1,000",
        drive: Drive::Ours { callers: 3, batch: 1_000 },
        one_in: 1,
        workloads: &[Enqueue, Drain, Lifecycle, Latency],
    },
    Contender {
        name: "graphile-worker, best",
        how: "add_jobs of 1,000, local queue, completions in batches",
        drive: Drive::node("graphile.mjs", "best"),
        one_in: 1,
        workloads: &[Enqueue, Drain, Lifecycle, Latency],
    },
    Contender {
        name: "pg-boss, best",
        how: "insert, fetch and complete in batches of 1,000",
        drive: Drive::node("pgboss.mjs", "best"),
        one_in: 1,
        workloads: &[Enqueue, Drain, Lifecycle, Latency],
    },
    Contender {
        name: "haulier, one a call",
        how: "10 producers, 10 workers",
        drive: Drive::Ours { callers: 10, batch: 1 },
        one_in: 20,
        workloads: &[Enqueue, Drain, Lifecycle],
    },
    Contender {
        name: "graphile-worker, default",
        how: "10 at a time, one a call",
        drive: Drive::node("graphile.mjs", "default"),
        one_in: 20,
        workloads: &[Enqueue, Drain, Lifecycle, Latency],
    },
    Contender {
        name: "pg-boss, one a call",
        how: "10 at a time",
        drive: Drive::node("pgboss.mjs", "default"),
        one_in: 20,
        workloads: &[Enqueue, Drain, Lifecycle],
    },
];
