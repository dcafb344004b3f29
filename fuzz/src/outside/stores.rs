//! Commands that were read, carried out by both stores. Each may be refused; nothing may break.

use std::hint::black_box;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use haulier_core::{
    Beat, Directive, Epoch, Filter, Include, LeaseKey, ManualClock, NewTask, PageRequest,
    QueueName, SettingsPatch, Settlement, Store, TaskId, Want, WorkerId,
};
use haulier_embedded::disk::{Disk, SimDisk};
use haulier_embedded::{EmbeddedStore, Options};
use haulier_memory::MemoryStore;

/// How long whoever is asked to wait waits.
const AT_ONCE: Duration = Duration::ZERO;

/// What can be read from a request.
pub enum Command {
    /// Hand tasks over.
    Enqueue(Vec<NewTask>),
    /// Take tasks.
    Lease(Vec<Want>),
    /// Signs of life.
    Beat(Vec<Beat>),
    /// Ends.
    Settle(Vec<Settlement>),
    /// Tasks to call off, to do again, to delete.
    Change(Vec<TaskId>),
    /// Settings.
    Configure(QueueName, SettingsPatch),
    /// Directives.
    Direct(Vec<WorkerId>, Directive),
    /// A look at tasks.
    Get(Vec<TaskId>, Include),
    /// A listing.
    List(Filter, PageRequest),
}

/// Lets both stores carry the commands out, in order, while hours pass. Tasks that are leased take
/// the place of those that beats and settlements name, so that some of these hit.
pub fn carry_out(commands: &[Command]) {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    let clock = ManualClock::new();
    let mut options = Options::new(Arc::new(clock.clone()));
    options.segment_bytes = 16 * 1024;
    options.payload_bytes_max = 4 * 1024;
    let Ok(embedded) = EmbeddedStore::open_on(&disk, options.clone()) else {
        unreachable!("an empty disk is opened")
    };
    let memory =
        MemoryStore::new(Arc::new(clock.clone())).with_payload_bytes_max(options.payload_bytes_max);
    let (mut held, mut held_in_memory) = (Vec::new(), Vec::new());
    block_on(async {
        for command in commands {
            apply(&embedded, command, &mut held).await;
            apply(&memory, command, &mut held_in_memory).await;
            clock.advance(Duration::from_mins(20));
        }
        black_box(embedded.close().await).ok();
    });
    drop(embedded);
    let again = EmbeddedStore::open_on(&disk, options);
    assert!(again.is_ok(), "what a store has written it reads: {:?}", again.err());
}

async fn apply(store: &dyn Store, command: &Command, keys: &mut Vec<LeaseKey>) {
    match command {
        Command::Enqueue(tasks) => {
            black_box(store.enqueue(tasks.clone()).await).ok();
        }
        Command::Lease(wants) => {
            let shares = store.lease(wants.clone(), AT_ONCE).await.unwrap_or_default();
            keys.extend(shares.iter().flatten().map(|lease| lease.key));
        }
        Command::Beat(beats) => {
            let mut beats = beats.clone();
            for lease in beats.iter_mut().flat_map(|beat| &mut beat.leases) {
                aim(&mut lease.key, keys);
            }
            black_box(store.beat(beats).await).ok();
        }
        Command::Settle(ends) => {
            let mut ends = ends.clone();
            for end in &mut ends {
                aim(&mut end.key, keys);
            }
            black_box(store.settle(ends).await).ok();
        }
        Command::Change(ids) => {
            black_box(store.cancel(ids.clone()).await).ok();
            black_box(store.rerun(ids.clone()).await).ok();
            black_box(store.delete(ids.clone()).await).ok();
        }
        Command::Configure(queue, patch) => {
            black_box(store.configure(queue.clone(), patch.clone()).await).ok();
        }
        Command::Direct(workers, directive) => {
            black_box(store.direct(workers.clone(), *directive).await).ok();
        }
        Command::Get(ids, include) => {
            black_box(store.get(ids.clone(), *include, AT_ONCE).await).ok();
        }
        Command::List(filter, page) => {
            black_box(store.list(filter.clone(), page.clone()).await).ok();
        }
    }
    black_box(store.sweep(100).await).ok();
}

/// A small epoch names the lease that was granted so many leases ago.
fn aim(key: &mut LeaseKey, keys: &[LeaseKey]) {
    let Epoch(ago) = key.epoch;
    let held = usize::try_from(ago).ok().and_then(|ago| keys.iter().rev().nth(ago));
    *key = held.copied().unwrap_or(*key);
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread: a fuzzer has no runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}
