//! How fast whole lifecycles go in one process: enqueue, lease, complete, each answered only when
//! it is durable. Counts syncs and log bytes, so that the claim can be checked, and shows what a
//! sync alone costs on the same disk.
//!
//! ```text
//! cargo run --release -p haulier-embedded --example lifecycle -- \
//!     [TASKS] [BATCH] [STANDING] [DIRECTORY]
//! ```

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use haulier_core::{
    Clock, Kind, Lease, Maintain, NewTask, Outcome, Payload, Queue, QueueName, SeededEntropy,
    Settled, Settlement, SystemClock, TaskId, Want, WorkerId,
};
use haulier_embedded::disk::{Counting, RealDisk};
use haulier_embedded::{EmbeddedStore, Options};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Clients at work at a time, each on a whole lifecycle.
const CLIENTS: u64 = 8;

struct Plan {
    tasks: u64,
    batch: u64,
    standing: u64,
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| match arguments.next() {
        Some(text) => text.parse(),
        None => Ok(default),
    };
    let plan = Plan { tasks: number(2_000_000)?, batch: number(1_000)?, standing: number(0)? };
    let directory = match arguments.next() {
        Some(path) => tempfile::tempdir_in(path)?,
        None => tempfile::tempdir()?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    runtime.block_on(run(&plan, directory.path()))
}

async fn run(plan: &Plan, directory: &Path) -> Result<(), Failure> {
    let clock = Arc::new(SystemClock::new());
    let counts = Counting::new(RealDisk::create(&directory.join("data"))?);
    let counted = counts.counts();
    let store = EmbeddedStore::open_on(&counts.shared(), Options::new(clock.clone()))?;
    let mut out = std::io::stdout().lock();
    let entropy = SeededEntropy::from_u64(1);
    let warm = Plan { tasks: plan.tasks / 4, ..*plan };
    flow(&store, &clock, &warm).await?;
    let (syncs, bytes) = (counted.syncs(), counted.bytes());
    let empty = flow(&store, &clock, plan).await?;
    let per = |total: u64| number(total) / number(plan.tasks);
    writeln!(out, "lifecycles:          {empty:>9.0} /s")?;
    writeln!(out, "log bytes each:      {:>9.1}", per(counted.bytes() - bytes))?;
    let syncs = counted.syncs() - syncs;
    writeln!(out, "syncs:               {syncs:>9} ({:.1} tasks each)", 1.0 / per(syncs))?;
    if plan.standing > 0 {
        fill(&store, &*clock, &entropy, plan).await?;
        writeln!(out, "standing: {} tasks", plan.standing)?;
        // The hints of what was filled in are written meanwhile.
        flow(&store, &clock, plan).await?;
        let beside = flow(&store, &clock, plan).await?;
        writeln!(out, "lifecycles beside:   {beside:>9.0} /s ({:.2})", beside / empty)?;
    }
    store.close().await?;
    let begin = clock.monotonic();
    let options = Options::new(clock.clone());
    let store = EmbeddedStore::open(&directory.join("data"), options)?;
    let took = clock.monotonic().saturating_sub(begin);
    writeln!(out, "restart:             {:>9.3} s", took.as_secs_f64())?;
    store.close().await?;
    let alone = sync_alone(directory, &*clock)?;
    writeln!(out, "a 4 KiB sync alone:  {:>9.3} ms", alone.as_secs_f64() * 1_000.0)?;
    Ok(())
}

/// Whole lifecycles by all clients; how many a second.
async fn flow(
    store: &EmbeddedStore,
    clock: &Arc<SystemClock>,
    plan: &Plan,
) -> Result<f64, Failure> {
    let begin = clock.monotonic();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let calls = plan.tasks.div_ceil(plan.batch * CLIENTS);
            tokio::spawn(live(store.clone(), clock.clone(), number, calls, plan.batch))
        })
        .collect();
    for client in clients {
        client.await??;
    }
    let took = clock.monotonic().saturating_sub(begin);
    Ok(number(plan.tasks) / took.as_secs_f64())
}

/// A count as a number to divide, exact to a thousandth beyond four thousand million.
fn number(count: u64) -> f64 {
    let small = |count: u64| u32::try_from(count).map(f64::from);
    small(count).or_else(|_| small(count / 1_000).map(|kilo| kilo * 1_000.0)).unwrap_or(f64::MAX)
}

fn task(clock: &dyn Clock, entropy: &SeededEntropy, like: &NewTask) -> NewTask {
    let payload = Payload::new(vec![b'x'; 200], like.payload.content_type.clone());
    let mut task = NewTask::new(TaskId::generate(clock, entropy), like.kind.clone(), payload);
    task.queue = like.queue.clone();
    task
}

/// What all tasks of a queue have in common.
fn like(queue: &str) -> Result<NewTask, Failure> {
    let payload = Payload::new(Vec::new(), Payload::BINARY);
    let mut task = NewTask::new(TaskId::from_bytes([0; 16]), Kind::new("bench.noop")?, payload);
    task.queue = QueueName::new(queue)?;
    Ok(task)
}

async fn fill(
    store: &EmbeddedStore,
    clock: &dyn Clock,
    entropy: &SeededEntropy,
    plan: &Plan,
) -> Result<(), Failure> {
    let like = like("standing")?;
    for _ in 0..plan.standing.div_ceil(plan.batch) {
        let batch = (0..plan.batch).map(|_| task(clock, entropy, &like));
        store.enqueue(batch.collect()).await?;
    }
    Ok(())
}

/// One client: it hands a batch over, takes as many and completes them, again and again.
async fn live(
    store: EmbeddedStore,
    clock: Arc<SystemClock>,
    number: u64,
    calls: u64,
    batch: u64,
) -> Result<(), Failure> {
    let entropy = SeededEntropy::from_u64(clock.read().wall.0 ^ (number << 60));
    let worker = WorkerId::new(format!("bench-{number}"))?;
    let like = like("flow")?;
    let mut owed = 0;
    for _ in 0..calls {
        let new = (0..batch).map(|_| task(&*clock, &entropy, &like));
        store.enqueue(new.collect()).await?;
        owed += batch;
        while owed > 0 {
            let most = u32::try_from(owed.min(batch))?;
            let want = Want::new(worker.clone(), like.queue.clone(), most);
            let leases = store.lease(vec![want], Duration::from_secs(10)).await?.remove(0);
            owed -= leases.len() as u64;
            let end = |lease: Lease| Settlement {
                key: lease.key,
                outcome: Outcome::Complete { result: None },
            };
            let settled = store.settle(leases.into_iter().map(end).collect()).await?;
            let done = settled.iter().all(|it| matches!(it, Settled::Applied { .. }));
            assert!(done, "every completion is accepted");
        }
        // What a janitor does besides: finished tasks beyond the queue's count are forgotten.
        store.sweep(1_000).await?;
    }
    Ok(())
}

/// What the disk takes for a small append, unhindered.
fn sync_alone(directory: &Path, clock: &dyn Clock) -> Result<Duration, Failure> {
    const ROUNDS: u32 = 200;
    let mut file = std::fs::File::create(directory.join("sync"))?;
    let begin = clock.monotonic();
    for _ in 0..ROUNDS {
        file.write_all(&[0; 4_096])?;
        file.sync_data()?;
    }
    Ok(clock.monotonic().saturating_sub(begin) / ROUNDS)
}
