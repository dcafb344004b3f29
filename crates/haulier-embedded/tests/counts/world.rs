//! A store that has one thread: whoever calls it gives it turns. It stands on a disk that forgets,
//! so that nothing but the store is counted.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use haulier_core::{
    Kind, Lease, ManualClock, NewTask, Outcome, Payload, Queue, QueueName, SeededEntropy, Settled,
    Settlement, TaskId, Want, WorkerId,
};
use haulier_embedded::disk::{Counting, Counts, Disk, DiskFile};
use haulier_embedded::{Driver, EmbeddedStore, Options};

/// A disk that takes everything and holds nothing.
#[derive(Debug)]
struct Void;

impl Disk for Void {
    fn lock(&self) -> io::Result<Option<Box<dyn Send + Sync>>> {
        Ok(Some(Box::new(())))
    }
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }
    fn open(&self, _: &str) -> io::Result<Arc<dyn DiskFile>> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn create(&self, _: &str, _: u64) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(Void))
    }
    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Ok(())
    }
    fn remove(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
    fn sync_names(&self) -> io::Result<()> {
        Ok(())
    }
    fn place(&self, name: &str) -> String {
        format!("nowhere/{name}")
    }
}

impl DiskFile for Void {
    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
        // Only a start asks, for what it is about to write again.
        Ok(())
    }
    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Ok(())
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
    fn size(&self) -> io::Result<u64> {
        Ok(0)
    }
    fn extend(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
}

/// A store, its time, and what it does to its disk.
pub struct World {
    pub clock: ManualClock,
    pub store: EmbeddedStore,
    pub driver: Driver,
    pub counts: Arc<Counts>,
    entropy: SeededEntropy,
    /// Turns that the engine had.
    pub turns: u64,
}

impl World {
    pub fn new() -> Self {
        let clock = ManualClock::new();
        let disk = Counting::new(Void);
        let counts = disk.counts();
        let mut options = Options::new(Arc::new(clock.clone()));
        options.segment_bytes = 1024 * 1024 * 1024;
        let (store, driver) = EmbeddedStore::open_driven(&disk.shared(), options).unwrap();
        let entropy = SeededEntropy::from_u64(1);
        Self { clock, store, driver, counts, entropy, turns: 0 }
    }

    /// Gives turns until there is nothing to do.
    pub fn settle_down(&mut self) {
        loop {
            let turned = self.driver.engine_turn();
            self.turns += u64::from(turned);
            if !self.driver.writer_turn() && !turned {
                return;
            }
        }
    }

    /// Waits for an answer.
    pub fn ask<T>(&mut self, call: impl Future<Output = T>) -> T {
        let mut call = std::pin::pin!(call);
        for _ in 0..100 {
            let mut context = Context::from_waker(Waker::noop());
            if let Poll::Ready(answer) = call.as_mut().poll(&mut context) {
                return answer;
            }
            self.settle_down();
        }
        panic!("no answer came")
    }

    /// A task of 200 bytes.
    pub fn task(&self, queue: &str) -> NewTask {
        let payload = Payload::new(vec![b'x'; 200], Payload::BINARY);
        let id = TaskId::generate(&self.clock, &self.entropy);
        let mut task = NewTask::new(id, Kind::new("bench.noop").unwrap(), payload);
        task.queue = QueueName::new(queue).unwrap();
        task
    }

    /// Takes so many tasks from one handing over to their completion.
    pub fn live(&mut self, batch: u32) {
        let tasks: Vec<NewTask> = (0..batch).map(|_| self.task("flow")).collect();
        let store = self.store.clone();
        self.ask(store.enqueue(tasks)).unwrap();
        let worker = WorkerId::new("counts").unwrap();
        let want = Want::new(worker, QueueName::new("flow").unwrap(), batch);
        let leases = self.ask(store.lease(vec![want], Duration::ZERO)).unwrap().remove(0);
        let end = |lease: Lease| Settlement {
            key: lease.key,
            outcome: Outcome::Complete { result: None },
        };
        let ends: Vec<Settlement> = leases.into_iter().map(end).collect();
        assert_eq!(ends.len(), batch as usize, "every task is leased");
        let settled = self.ask(store.settle(ends)).unwrap();
        assert!(settled.iter().all(|it| matches!(it, Settled::Applied { .. })), "{settled:?}");
        self.clock.advance(Duration::from_millis(1));
    }
}
