//! One run: its queue, its producers and workers, and what they write down. The moment that a
//! task's time counts from travels in its payload: all of them are in one process and share its
//! clock. It knows no workload and no server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use haulier::Client;
use haulier_core::limits::LEASE_TTL_DEFAULT;
use haulier_core::{
    Clock, Kind, Lease, NewTask, Outcome, Payload, Queue, QueueName, Settled, Settlement, State,
    Want, WorkerId,
};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::books::{Books, Durable};
use crate::exit::{Exit, Failed, Result};

/// How long a lease call waits for work; the end of the run interrupts it.
const WAIT: Duration = Duration::from_secs(5);
/// After so long without any progress what is missing is missing: a lease that somebody lost has
/// run out by then, and its task has come back.
pub const PATIENCE: Duration = LEASE_TTL_DEFAULT.saturating_add(Duration::from_secs(15));
/// Batches of each producer that may be under way, from enqueue to completion.
const BATCHES_UNDER_WAY: usize = 3;

/// So many producers or workers, each with one call out at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Callers {
    /// How many.
    pub count: usize,
    /// Tasks of a call.
    pub batch: usize,
}

/// How much is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// That many tasks.
    Tasks(u64),
    /// As many as go in that time.
    Time(Duration),
}

/// How a task is made.
pub type Make = Arc<dyn Fn(&Run, &Client) -> Result<NewTask> + Send + Sync>;

/// What workers do.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    /// Which moment ends a task's time.
    pub until: Until,
    /// How an attempt ends.
    pub outcome: fn(&Lease) -> Outcome,
}

/// Which moment ends a task's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// A worker has it.
    Taken,
    /// Its completion was accepted.
    Accepted,
}

/// Calls that have to be durable before they are answered.
#[derive(Debug, Default)]
pub struct Traffic {
    calls: AtomicU64,
    out: AtomicU64,
    out_max: AtomicU64,
}

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
    /// How long nothing may happen.
    pub patience: Duration,
    /// Tasks that may still come under way, if that is bounded.
    pub window: Option<Semaphore>,
    /// Calls, of all runs of a round.
    pub traffic: Arc<Traffic>,
    /// How it stands.
    pub progress: Progress,
}

/// How a run stands.
#[derive(Debug, Default)]
pub struct Progress {
    /// Tasks that were acknowledged; final once `handed_over` is cancelled.
    acknowledged: AtomicU64,
    /// Completions that were accepted.
    accepted: AtomicU64,
    /// When either grew last, in nanoseconds.
    heard_at: AtomicU64,
    /// Nothing more is handed over.
    handed_over: CancellationToken,
    /// Everything was accepted, or nothing more is going to be.
    done: CancellationToken,
}

impl Job {
    /// Completes every task; its time ends when that is accepted.
    pub const COMPLETE: Self = Self { until: Until::Accepted, outcome: complete };
    /// Completes every task; its time ends when a worker has it.
    pub const START: Self = Self { until: Until::Taken, outcome: complete };
}

fn complete(_: &Lease) -> Outcome {
    Outcome::Complete { result: None }
}

impl Callers {
    /// So many tasks may be under way that no caller waits for the others, and no more, so that the
    /// queue does not just fill.
    pub fn window(self) -> Semaphore {
        Semaphore::new(self.count * self.batch * BATCHES_UNDER_WAY)
    }
}

impl Traffic {
    /// Counts a call.
    async fn call<T>(&self, call: impl Future<Output = T>) -> T {
        let out = self.out.fetch_add(1, Ordering::SeqCst) + 1;
        self.out_max.fetch_max(out, Ordering::SeqCst);
        let answer = call.await;
        self.out.fetch_sub(1, Ordering::SeqCst);
        self.calls.fetch_add(1, Ordering::SeqCst);
        answer
    }

    /// What was counted.
    pub fn durable(&self) -> Durable {
        let read = |count: &AtomicU64| count.load(Ordering::SeqCst);
        Durable { calls: read(&self.calls), out_max: read(&self.out_max) }
    }
}

impl Run {
    /// A task whose time counts from `from`; zero: it is not measured.
    pub fn task(&self, client: &Client, from: Duration) -> NewTask {
        let nanos = u64::try_from(from.as_nanos()).unwrap_or(u64::MAX);
        let mut bytes = vec![b'.'; self.payload_bytes.max(size_of::<u64>())];
        bytes[..size_of::<u64>()].copy_from_slice(&nanos.to_le_bytes());
        let payload = Payload::new(bytes, Payload::BINARY);
        let mut task = NewTask::new(client.new_id(), self.kind.clone(), payload);
        task.queue = self.queue.clone();
        task
    }

    /// Tasks whose time counts from when they are made.
    pub fn plain() -> Make {
        Arc::new(|run, client| Ok(run.task(client, run.clock.monotonic())))
    }

    /// A producer or worker of this run.
    pub fn worker_id(&self, number: usize) -> Result<WorkerId> {
        Ok(WorkerId::new(format!("{}-{number}", self.queue))?)
    }

    /// Hands tasks over and writes down which were acknowledged.
    pub async fn hand_over(
        &self,
        queue: &dyn Queue,
        tasks: Vec<NewTask>,
        books: &mut Books,
    ) -> Result<()> {
        let answers = self.traffic.call(queue.enqueue(tasks)).await?;
        let count = answers.len() as u64;
        for answer in answers {
            books.acknowledged.push(answer.accepted()?);
        }
        self.progress.acknowledged.fetch_add(count, Ordering::SeqCst);
        self.heard();
        Ok(())
    }

    /// Hands over an amount of tasks, as fast as the window allows.
    pub async fn produce(
        self: &Arc<Self>,
        clients: &[Client],
        callers: Callers,
        amount: Amount,
        make: &Make,
    ) -> Result<Books> {
        let began = self.clock.monotonic();
        self.heard();
        let mut producers = JoinSet::new();
        for (number, client) in (0..callers.count).zip(clients.iter().cycle()) {
            let share = match amount {
                Amount::Tasks(tasks) => Share::Tasks(share(tasks, callers.count, number)),
                Amount::Time(time) => Share::Until(began + time),
            };
            let (run, client, make) = (Arc::clone(self), client.clone(), Arc::clone(make));
            producers.spawn(async move { run.produce_share(&client, callers, share, &make).await });
        }
        gather(producers).await
    }

    async fn produce_share(
        &self,
        client: &Client,
        callers: Callers,
        mut share: Share,
        make: &Make,
    ) -> Result<Books> {
        let (queue, mut books) = (client.queue(), Books::default());
        loop {
            let count = share.take(callers.batch, &*self.clock);
            if count == 0 || !self.enter(count).await? {
                return Ok(books);
            }
            let tasks = (0..count).map(|_| make(self, client)).collect::<Result<_>>()?;
            self.hand_over(&*queue, tasks, &mut books).await?;
        }
    }

    /// Waits until so many tasks may come under way; not if the run has ended.
    async fn enter(&self, count: usize) -> Result<bool> {
        let Some(window) = &self.window else { return Ok(true) };
        let permits = u32::try_from(count).unwrap_or(u32::MAX);
        tokio::select! {
            permit = window.acquire_many(permits) => match permit {
                Ok(permit) => permit.forget(),
                Err(_) => return Err(Failed::new(Exit::Bug, "the window was closed")),
            },
            () = self.progress.done.cancelled() => return Ok(false),
        }
        Ok(true)
    }

    /// Says that nothing more comes.
    pub fn close(&self) {
        self.progress.handed_over.cancel();
        self.check_done();
    }

    /// Takes and ends tasks until everything is accepted.
    pub async fn work(
        self: &Arc<Self>,
        clients: &[Client],
        callers: Callers,
        job: Job,
    ) -> Result<Books> {
        self.heard();
        let mut workers = JoinSet::new();
        for (number, client) in (0..callers.count).zip(clients.iter().cycle()) {
            let (run, client, id) = (Arc::clone(self), client.clone(), self.worker_id(number)?);
            workers.spawn(async move { run.work_share(&client, &id, callers.batch, job).await });
        }
        gather(workers).await
    }

    async fn work_share(
        &self,
        client: &Client,
        id: &WorkerId,
        batch: usize,
        job: Job,
    ) -> Result<Books> {
        let (queue, mut books) = (client.queue(), Books::default());
        while !self.progress.done.is_cancelled() {
            let leases = tokio::select! {
                leases = self.take(&*queue, id, batch) => leases?,
                () = self.progress.done.cancelled() => break,
            };
            if leases.is_empty() {
                self.give_up_in_time();
            } else {
                self.end(&*queue, &leases, job, &mut books).await?;
            }
        }
        Ok(books)
    }

    /// Takes tasks, as many as there are and at most a batch; none if none came for a while.
    pub async fn take(&self, queue: &dyn Queue, id: &WorkerId, batch: usize) -> Result<Vec<Lease>> {
        let most = u32::try_from(batch).unwrap_or(u32::MAX);
        let want = Want::new(id.clone(), self.queue.clone(), most);
        let answers = queue.lease(vec![want], WAIT.min(self.patience)).await?;
        Ok(answers.into_iter().flatten().collect())
    }

    /// Ends what was taken and writes down what was accepted.
    pub async fn end(
        &self,
        queue: &dyn Queue,
        leases: &[Lease],
        job: Job,
        books: &mut Books,
    ) -> Result<()> {
        let taken = self.clock.monotonic();
        let settlement =
            |lease: &Lease| Settlement { key: lease.key, outcome: (job.outcome)(lease) };
        let ends = leases.iter().map(settlement).collect();
        let answers = self.traffic.call(queue.settle(ends)).await?;
        let until = match job.until {
            Until::Taken => taken,
            Until::Accepted => self.clock.monotonic(),
        };
        books.delivered += leases.len() as u64;
        let before = books.accepted.len();
        for (lease, answer) in leases.iter().zip(answers) {
            match answer {
                Settled::Applied { state: State::Completed, .. } => {
                    books.accepted.push(lease.key.task);
                    let from = sent(&lease.task.payload)?;
                    if !from.is_zero() {
                        books.times.record(until.saturating_sub(from));
                    }
                }
                Settled::Applied { .. } => books.failed += 1,
                // Somebody else has it: this delivery was one too many.
                Settled::Cancelled | Settled::Stale => {}
                Settled::Refused(refusal) => return Err(refusal.into()),
            }
        }
        self.accepted(books.accepted.len() - before);
        Ok(())
    }

    /// Completions that were accepted so far.
    pub fn accepted_count(&self) -> u64 {
        self.progress.accepted.load(Ordering::SeqCst)
    }

    fn accepted(&self, count: usize) {
        if let Some(window) = &self.window {
            window.add_permits(count);
        }
        self.progress.accepted.fetch_add(count as u64, Ordering::SeqCst);
        self.heard();
        self.check_done();
    }

    fn check_done(&self) {
        let read = |count: &AtomicU64| count.load(Ordering::SeqCst);
        let Progress { accepted, acknowledged, handed_over, done, .. } = &self.progress;
        if handed_over.is_cancelled() && read(accepted) >= read(acknowledged) {
            done.cancel();
        }
    }

    fn heard(&self) {
        let now = u64::try_from(self.clock.monotonic().as_nanos()).unwrap_or(u64::MAX);
        self.progress.heard_at.fetch_max(now, Ordering::SeqCst);
    }

    /// Ends the run if nothing has happened for too long: the audit says what is missing.
    fn give_up_in_time(&self) {
        let heard_at = Duration::from_nanos(self.progress.heard_at.load(Ordering::SeqCst));
        if self.clock.monotonic().saturating_sub(heard_at) > self.patience {
            self.progress.done.cancel();
        }
    }
}

/// What one producer hands over.
#[derive(Debug, Clone, Copy)]
enum Share {
    Tasks(u64),
    Until(Duration),
}

impl Share {
    /// How many tasks the next call carries; none at the end.
    fn take(&mut self, batch: usize, clock: &dyn Clock) -> usize {
        match self {
            Self::Tasks(left) => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(batch);
                *left -= count as u64;
                count
            }
            Self::Until(end) if clock.monotonic() < *end => batch,
            Self::Until(_) => 0,
        }
    }
}

/// The share of one of several in a number of things.
fn share(things: u64, of: usize, number: usize) -> u64 {
    let (of, number) = (of as u64, number as u64);
    things / of + u64::from(number < things % of)
}

fn sent(payload: &Payload) -> Result<Duration> {
    let nanos = payload.bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    nanos
        .map(Duration::from_nanos)
        .ok_or_else(|| Failed::new(Exit::Bug, "a task came back with another payload than it had"))
}

/// What all of them wrote down; the first failure ends the others.
pub async fn gather(mut clients: JoinSet<Result<Books>>) -> Result<Books> {
    let mut books = Books::default();
    while let Some(client) = clients.join_next().await {
        books.add(client.map_err(|error| Failed::new(Exit::Bug, error.to_string()))??);
    }
    Ok(books)
}
