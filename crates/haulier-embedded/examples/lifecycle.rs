//! How fast whole lifecycles go in one process: enqueue, lease, complete, each answered only when it is
//! durable. Counts syncs and log bytes, so that the claim can be checked, and shows what a sync alone
//! costs on the same disk.
//!
//! ```text
//! cargo run --release -p haulier-embedded --example lifecycle -- [TASKS] [BATCH] [STANDING] [DIRECTORY]
//! ```

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use haulier_core::{
    Clock, Kind, Maintain, NewTask, Outcome, Payload, Queue, QueueName, SeededEntropy, Settled,
    Settlement, SystemClock, TaskId, Want, WorkerId,
};
use haulier_embedded::disk::{Counting, RealDisk};
use haulier_embedded::{EmbeddedStore, Options};

type Failure = Box<dyn std::error::Error + Send + Sync>;

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
    if plan.standing > 0 {
        fill(&store, &*clock, &entropy, plan).await?;
        writeln!(out, "standing: {} tasks", plan.standing)?;
    }
    let (syncs, bytes) = (counted.syncs(), counted.bytes());
    let completed = Arc::new(AtomicU64::new(0));
    let begin = clock.monotonic();
    let producers = tokio::spawn(produce(store.clone(), clock.clone(), plan.tasks, plan.batch));
    let workers: Vec<_> = (0..2)
        .map(|number| {
            let (store, completed) = (store.clone(), Arc::clone(&completed));
            tokio::spawn(work(store, number, plan.tasks, plan.batch, completed))
        })
        .collect();
    producers.await??;
    for worker in workers {
        worker.await??;
    }
    let took = clock.monotonic().saturating_sub(begin);
    let per = |total: u64| number(total) / number(plan.tasks);
    writeln!(out, "lifecycles:          {:>9.0} /s", number(plan.tasks) / took.as_secs_f64())?;
    writeln!(out, "log bytes each:      {:>9.1}", per(counted.bytes() - bytes))?;
    writeln!(out, "hint bytes each:     {:>9.1}", per(counted.other_bytes()))?;
    let syncs = counted.syncs() - syncs;
    writeln!(out, "syncs:               {syncs:>9} ({:.1} tasks each)", 1.0 / per(syncs))?;
    store.close().await?;
    let alone = sync_alone(directory, &*clock)?;
    writeln!(out, "a 4 KiB sync alone:  {:>9.3} ms", alone.as_secs_f64() * 1_000.0)?;
    Ok(())
}

/// A count as a number to divide, exact to a thousandth beyond four thousand million.
fn number(count: u64) -> f64 {
    let small = |count: u64| u32::try_from(count).map(f64::from);
    small(count).or_else(|_| small(count / 1_000).map(|kilo| kilo * 1_000.0)).unwrap_or(f64::MAX)
}

fn task(clock: &dyn Clock, entropy: &SeededEntropy, queue: &str) -> Result<NewTask, Failure> {
    let payload = Payload::new(vec![b'x'; 200], Payload::BINARY);
    let id = TaskId::generate(clock, entropy);
    let mut task = NewTask::new(id, Kind::new("bench.noop")?, payload);
    task.queue = QueueName::new(queue)?;
    Ok(task)
}

async fn fill(
    store: &EmbeddedStore,
    clock: &dyn Clock,
    entropy: &SeededEntropy,
    plan: &Plan,
) -> Result<(), Failure> {
    for _ in 0..plan.standing.div_ceil(plan.batch) {
        let batch = (0..plan.batch).map(|_| task(clock, entropy, "standing"));
        store.enqueue(batch.collect::<Result<_, _>>()?).await?;
    }
    Ok(())
}

async fn produce(
    store: EmbeddedStore,
    clock: Arc<SystemClock>,
    tasks: u64,
    batch: u64,
) -> Result<(), Failure> {
    let entropy = Arc::new(SeededEntropy::from_u64(2));
    let calls = tasks.div_ceil(batch);
    // Four callers, as four connections would be.
    let callers = (0..4).map(|number| {
        let (store, clock, entropy) = (store.clone(), clock.clone(), Arc::clone(&entropy));
        tokio::spawn(async move {
            for _ in (number..calls).step_by(4) {
                let new = (0..batch).map(|_| task(&*clock, &entropy, "flow"));
                store.enqueue(new.collect::<Result<_, _>>()?).await?;
            }
            Ok::<_, Failure>(())
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await??;
    }
    Ok(())
}

async fn work(
    store: EmbeddedStore,
    number: u64,
    tasks: u64,
    batch: u64,
    completed: Arc<AtomicU64>,
) -> Result<(), Failure> {
    let worker = WorkerId::new(format!("bench-{number}"))?;
    let want = Want::new(worker, QueueName::new("flow")?, u32::try_from(batch)?);
    while completed.load(Ordering::Relaxed) < tasks {
        let leases = store.lease(vec![want.clone()], Duration::from_millis(200)).await?;
        let ends: Vec<Settlement> = leases
            .into_iter()
            .flatten()
            .map(|lease| Settlement { key: lease.key, outcome: Outcome::Complete { result: None } })
            .collect();
        if ends.is_empty() {
            continue;
        }
        // The next lease is asked for while this settlement is on its way to the disk.
        let (store, completed) = (store.clone(), Arc::clone(&completed));
        let settling = tokio::spawn(async move {
            let settled = store.settle(ends).await?;
            let done = settled.iter().filter(|it| matches!(it, Settled::Applied { .. })).count();
            completed.fetch_add(done as u64, Ordering::Relaxed);
            store.sweep(2_000).await?;
            Ok::<_, Failure>(())
        });
        settling.await??;
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
