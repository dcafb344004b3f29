//! One client of a benchmark: it hands over batches, takes leases and settles them, and writes down
//! what it was told. The moment that a time counts from travels in the payload: producers and
//! consumers are in one process and share its clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use haulier::Client;
use haulier_core::{
    Clock, Kind, NewTask, Outcome, Payload, Queue, QueueName, Settled, Settlement, State, Want,
    WorkerId,
};
use tokio_util::sync::CancellationToken;

use super::account::Books;
use crate::exit::{Exit, Failed, Result};

/// How long a lease call waits for work; the end of the run interrupts it.
const WAIT: Duration = Duration::from_secs(5);

/// What all clients of a run share.
#[derive(Debug)]
pub struct Run {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// A queue that nobody else uses.
    pub queue: QueueName,
    /// The kind of every task.
    pub kind: Kind,
    /// Bytes of a payload.
    pub payload_bytes: usize,
    /// Tasks of a call.
    pub batch: usize,
    /// Tasks that were acknowledged; final once `handed_over` is cancelled.
    pub acknowledged: AtomicU64,
    /// Completions that were accepted.
    pub accepted: AtomicU64,
    /// Nothing more is handed over.
    pub handed_over: CancellationToken,
    /// Everything was accepted.
    pub done: CancellationToken,
}

impl Run {
    /// A task whose time counts from `from`.
    pub fn task(&self, client: &Client, from: Duration) -> NewTask {
        let nanos = u64::try_from(from.as_nanos()).unwrap_or(u64::MAX);
        let mut bytes = vec![b'.'; self.payload_bytes.max(size_of::<u64>())];
        bytes[..size_of::<u64>()].copy_from_slice(&nanos.to_le_bytes());
        let payload = Payload::new(bytes, Payload::BINARY);
        let mut task = NewTask::new(client.new_id(), self.kind.clone(), payload);
        task.queue = self.queue.clone();
        task
    }

    /// Hands tasks over and writes down which were acknowledged.
    pub async fn hand_over(
        &self,
        queue: &dyn Queue,
        tasks: Vec<NewTask>,
        books: &mut Books,
    ) -> Result<()> {
        for answer in queue.enqueue(tasks).await? {
            books.acknowledged.push(answer.accepted()?);
            self.acknowledged.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Says that nothing more comes.
    pub fn close(&self) {
        self.handed_over.cancel();
        self.check_done();
    }

    /// Takes and completes tasks until everything is done. `measure` says which moment ends a
    /// task's time; `accepted` hears how many completions were accepted.
    pub async fn consume(
        &self,
        client: &Client,
        id: WorkerId,
        measure: Until,
        accepted: impl Fn(usize),
    ) -> Result<Books> {
        let (queue, mut books) = (client.queue(), Books::default());
        let most = u32::try_from(self.batch).unwrap_or(u32::MAX);
        while !self.done.is_cancelled() {
            let want = Want::new(id.clone(), self.queue.clone(), most);
            let leases = tokio::select! {
                leases = queue.lease(vec![want], WAIT) => leases?.pop().unwrap_or_default(),
                () = self.done.cancelled() => break,
            };
            let taken = self.clock.monotonic();
            let from: Vec<Duration> =
                leases.iter().map(|lease| sent(&lease.task.payload)).collect::<Result<_>>()?;
            let complete = |key| Settlement { key, outcome: Outcome::Complete { result: None } };
            let ends = leases.iter().map(|lease| complete(lease.key)).collect();
            let answers = queue.settle(ends).await?;
            let until = match measure {
                Until::Taken => taken,
                Until::Accepted => self.clock.monotonic(),
            };
            let before = books.accepted.len();
            for ((lease, from), answer) in leases.iter().zip(from).zip(answers) {
                if let Settled::Applied { state: State::Completed, .. } = answer {
                    books.accepted.push(lease.key.task);
                    books.times.push(until.saturating_sub(from));
                }
            }
            let count = books.accepted.len() - before;
            accepted(count);
            self.accepted.fetch_add(count as u64, Ordering::SeqCst);
            self.check_done();
        }
        Ok(books)
    }

    fn check_done(&self) {
        let all =
            || self.accepted.load(Ordering::SeqCst) >= self.acknowledged.load(Ordering::SeqCst);
        if self.handed_over.is_cancelled() && all() {
            self.done.cancel();
        }
    }
}

/// Which moment ends a task's time.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// A worker has it.
    Taken,
    /// Its completion was accepted.
    Accepted,
}

fn sent(payload: &Payload) -> Result<Duration> {
    let nanos = payload.bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    nanos
        .map(Duration::from_nanos)
        .ok_or_else(|| Failed::new(Exit::Bug, "a task came back with another payload than it had"))
}
