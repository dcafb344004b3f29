//! Who is measured on Redis.

use crate::bench::contender::Workload::{Drain, Enqueue, Latency, Lifecycle};
use crate::bench::contender::{Contender, Drive};

/// Where Celery was installed.
const PYTHON: &str = "python/bin/python";

/// Everybody.
pub const ALL: [Contender; 5] = [
    Contender {
        name: "haulier, best",
        how: "4 producers, 4 workers, batches of 1,000",
        drive: Drive::Ours { callers: 4, batch: 1_000 },
        one_in: 1,
        workloads: &[Enqueue, Drain, Lifecycle, Latency],
    },
    Contender {
        name: "BullMQ, best",
        how: "addBulk of 1,000, 2 workers with 100 jobs at a time each, finished jobs removed",
        drive: Drive::node("bullmq.mjs", "best"),
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
        name: "BullMQ, default",
        how: "10 at a time, one a call, finished jobs kept",
        drive: Drive::node("bullmq.mjs", "default"),
        one_in: 20,
        workloads: &[Enqueue, Drain, Lifecycle, Latency],
    },
    Contender {
        name: "Celery, best",
        how: "one producer, 2 workers without a pool, no results, 1,000 fetched ahead",
        drive: Drive::Peer { by: PYTHON, script: "celery_bench.py", mode: "best" },
        one_in: 20,
        workloads: &[Enqueue, Drain, Lifecycle, Latency],
    },
];
