//! Load over real clients, and the end of every run: heal, drain, read all, restart, read all
//! again, both reads alike, and a history that the checker has nothing against.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use haulier::{Client, Ctx, Link, Raw, TaskError, Worker};
use haulier_core::{
    Backoff, Clock, Enqueued, Entropy, Kind, NewTask, Payload, Queue, QueueName, SeededEntropy,
    State, SystemClock, TaskId, limits,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::register::Register;
use super::schedule::Dice;
use crate::check::{self, Rules};
use crate::history::{Fault, Key, Recorder};
use crate::recorded::{Recorded, Running};

/// How long a system may take to finish what is left once nothing is broken.
const DRAIN_MAX: Duration = Duration::from_mins(3);
const POLL: Duration = Duration::from_millis(50);
/// The queues that producers use.
pub const QUEUES: [&str; 2] = ["q0", "q1"];

/// How producers work.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Tasks of a batch, at most.
    pub batch: u64,
    /// Milliseconds between batches, at most.
    pub pause_ms: u64,
    /// Bytes of a payload, at most.
    pub bytes: u64,
    /// How many of a hundred handlers do not complete: they fail, snooze, release.
    pub trouble: u64,
    /// How many of a hundred tasks say themselves how long they are kept; their queues decide about
    /// the others, and should keep them until everything was read.
    pub kept: u64,
    /// Batches at most; then the producer is done.
    pub batches: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self { batch: 12, pause_ms: 30, bytes: 200, trouble: 10, kept: 100, batches: u64::MAX }
    }
}

/// A task as it was read at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Which.
    pub id: TaskId,
    /// Where it stands; `None`: it is not there.
    pub state: Option<State>,
    /// Attempts, losses, newest epoch.
    pub counts: (u32, u32, u64),
}

/// Producers and workers that go on until they are told to end.
#[derive(Debug)]
pub struct Load {
    /// What happens is written here.
    pub recorder: Recorder,
    /// What the handlers write to.
    pub register: Arc<Register>,
    seed: u64,
    shape: Shape,
    trouble: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
    ids: Arc<Mutex<Vec<TaskId>>>,
    end: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    producers: Vec<JoinHandle<()>>,
    workers: Vec<JoinHandle<Result<(), String>>>,
}

impl Load {
    /// No load yet.
    pub fn new(seed: u64, shape: Shape) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        Self {
            recorder: Recorder::new(Arc::clone(&clock)),
            register: Arc::default(),
            seed,
            shape,
            trouble: Arc::new(AtomicU64::new(shape.trouble)),
            clock,
            ids: Arc::default(),
            end: watch::Sender::new(false),
            stop: watch::Sender::new(false),
            producers: Vec::new(),
            workers: Vec::new(),
        }
    }

    /// Starts a producer. It repeats what it was not told the outcome of, with the same ids, until
    /// it was told.
    pub fn produce(&mut self, name: &str, client: &Client) {
        let queue = Recorded::new(name, self.recorder.clone(), client.queue());
        let (shape, clock, ids) = (self.shape, Arc::clone(&self.clock), Arc::clone(&self.ids));
        let entropy = client.entropy();
        let seed = self.seed ^ crate::history::digest(&[name.as_bytes()]);
        let end = self.end.subscribe();
        self.producers.push(tokio::spawn(async move {
            let dice = Dice::new(seed);
            for _ in 0..shape.batches {
                if *end.borrow() {
                    return;
                }
                let tasks: Vec<NewTask> = (0..dice.within(1, shape.batch))
                    .filter_map(|_| task(&dice, &*clock, &*entropy, shape))
                    .collect();
                let new = tasks.iter().map(|task| task.id);
                ids.lock().unwrap_or_else(PoisonError::into_inner).extend(new);
                hand_over(&queue, &*clock, tasks).await;
                clock.sleep(dice.millis(0, shape.pause_ms)).await;
            }
        }));
    }

    /// Starts a worker: the real run loop.
    pub fn work(&mut self, name: &str, client: &Client, slots: u32, ttl: Duration) {
        let queue = Recorded::new(name, self.recorder.clone(), client.queue());
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::from_u64(self.seed));
        let clock = Arc::clone(&self.clock);
        let link = Link { queue: Arc::new(queue), clock, entropy };
        let worker = Worker::new(link).name(name).concurrency(slots).ttl(ttl);
        let worker = QUEUES.iter().fold(worker, Worker::queue);
        let (recorder, register) = (self.recorder.clone(), Arc::clone(&self.register));
        let dice = Arc::new(Dice::new(self.seed ^ crate::history::digest(&[name.as_bytes()])));
        let (name, trouble) = (Arc::from(name), Arc::clone(&self.trouble));
        let worker = worker.register_raw(None, move |_: Raw, ctx: Ctx| {
            let running = Running::begin(&name, &recorder, Key::from(ctx.key()));
            let (register, dice) = (Arc::clone(&register), Arc::clone(&dice));
            let trouble = trouble.load(Ordering::Relaxed);
            async move {
                ctx.clock().sleep(dice.millis(0, 15)).await;
                // An old delivery that wakes late is refused here, and gives up.
                let taken = register.write(ctx.key());
                let ended = if taken { handle(&dice, trouble) } else { Err(TaskError::release()) };
                drop(running);
                ended
            }
        });
        let mut stop = self.stop.subscribe();
        self.workers.push(tokio::spawn(async move {
            let told = async move {
                let _load_is_gone = stop.wait_for(|stop| *stop).await.is_ok();
            };
            worker.run_until(told).await.map_err(|error| error.to_string())
        }));
    }

    /// So many of a hundred handlers do not complete from now on.
    pub fn trouble(&self, share: u64) {
        self.trouble.store(share, Ordering::Relaxed);
    }

    /// Everything that somebody tried to hand over.
    pub fn ids(&self) -> Vec<TaskId> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the producers have been told of so many tasks, whatever is broken meanwhile.
    pub async fn reach(&self, count: usize) {
        while self.ids().len() < count && !self.producers.iter().all(JoinHandle::is_finished) {
            self.clock.sleep(POLL).await;
        }
    }

    /// Nothing is broken any more: ends the producers and waits until everything is final.
    ///
    /// # Errors
    /// If nothing comes to its end for too long.
    pub async fn drain(&mut self, client: &Client) -> Result<(), String> {
        self.end.send_replace(true);
        for producer in self.producers.drain(..) {
            let ended = tokio::time::timeout(DRAIN_MAX, producer).await;
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(format!("a producer panicked: {error}")),
                Err(_) => return Err("L1: a producer is still not answered".to_owned()),
            }
        }
        self.recorder.heal("load", Fault::Load);
        let mut open = self.ids();
        let mut went_on = self.clock.monotonic();
        loop {
            let late = self.clock.monotonic().saturating_sub(went_on) > DRAIN_MAX;
            match self.seen("drain", client, &open).await {
                Ok(mut seen) => {
                    seen.retain(|seen| seen.state.is_some_and(|state| !state.is_final()));
                    let Some(first) = seen.first() else { return Ok(()) };
                    if seen.len() < open.len() {
                        went_on = self.clock.monotonic();
                    } else if late {
                        let count = seen.len();
                        return Err(format!("L1: {count} tasks never end; the first: {first:?}"));
                    }
                    open = seen.iter().map(|seen| seen.id).collect();
                }
                Err(error) if late => return Err(format!("L4: nobody answers: {error}")),
                Err(_) => {}
            }
            self.clock.sleep(POLL).await;
        }
    }

    /// Reads every task and every count, for the history and for comparison.
    ///
    /// # Errors
    /// Of the store.
    pub async fn read(&self, client: &Client) -> haulier_core::Result<Vec<Seen>> {
        let seen = self.seen("reader", client, &self.ids()).await?;
        Recorded::new("reader", self.recorder.clone(), client.inspect()?).count().await?;
        Ok(seen)
    }

    async fn seen(
        &self,
        who: &str,
        client: &Client,
        ids: &[TaskId],
    ) -> haulier_core::Result<Vec<Seen>> {
        let reader = Recorded::new(who, self.recorder.clone(), client.inspect()?);
        let mut all = Vec::new();
        // Bounded by what an answer may carry, too.
        for ids in ids.chunks(limits::ITEMS_MAX / 4) {
            let views = reader.get(ids.to_vec()).await?;
            all.extend(ids.iter().zip(views).map(|(id, view)| Seen {
                id: *id,
                state: view.as_ref().map(haulier_core::TaskView::state),
                counts: view.map_or((0, 0, 0), |view| {
                    (view.standing.attempt, view.standing.losses, view.epoch.0)
                }),
            }));
        }
        Ok(all)
    }

    /// Ends the workers in good order.
    ///
    /// # Errors
    /// What a worker failed of.
    pub async fn dismiss(&mut self) -> Result<(), String> {
        self.stop.send_replace(true);
        for worker in self.workers.drain(..) {
            worker.await.map_err(|error| error.to_string())??;
        }
        Ok(())
    }

    /// What is wrong with what happened; otherwise how many tasks and lines there were.
    ///
    /// # Errors
    /// What the checker and the register found, with the lines about it.
    pub fn verdict(&self) -> Result<Totals, String> {
        self.judge(&[])
    }

    /// The same of a store that became another one, which may have missed its last writes: what
    /// follows from a loss is not held against it. Fences, limits and bytes are.
    ///
    /// # Errors
    /// As [`Self::verdict`].
    pub fn verdict_after_a_loss(&self) -> Result<Totals, String> {
        self.judge(&["I1", "I4", "I7", "I8", "I11", "I12", "I15", "L1"])
    }

    fn judge(&self, excused: &[&str]) -> Result<Totals, String> {
        let lines = self.recorder.lines();
        let mut findings = check::check(&lines, Rules { disconnect_grace: true });
        findings.retain(|finding| !excused.contains(&finding.invariant));
        let mut says = check::report(&lines, &findings);
        for disagreement in self.register.disagreements(&lines, !excused.is_empty()) {
            says.push_str(&disagreement);
            says.push('\n');
        }
        if !says.is_empty() {
            return Err(format!("seed {}:\n{says}", self.seed));
        }
        Ok(Totals { tasks: self.ids().len(), lines: lines.len() })
    }
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Tasks that were handed over.
    pub tasks: usize,
    /// Lines of the history.
    pub lines: usize,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tasks, {} lines", self.tasks, self.lines)
    }
}

fn handle(dice: &Dice, trouble: u64) -> Result<Option<Payload>, TaskError> {
    if !dice.percent(trouble) {
        return Ok(None);
    }
    match dice.within(0, 2) {
        0 => Err(TaskError::fail("it failed")),
        1 => Err(TaskError::snooze(dice.millis(0, 200))),
        _ => Err(TaskError::release()),
    }
}

/// Repeats until the store has said yes to each.
async fn hand_over(queue: &dyn Queue, clock: &dyn Clock, mut tasks: Vec<NewTask>) {
    while !tasks.is_empty() {
        if let Ok(answers) = queue.enqueue(tasks.clone()).await {
            let mut answers = answers.iter();
            tasks.retain(|_| {
                answers.next().is_some_and(|answer| matches!(answer, Enqueued::Refused(_)))
            });
        }
        if !tasks.is_empty() {
            clock.sleep(POLL).await;
        }
    }
}

fn task(dice: &Dice, clock: &dyn Clock, entropy: &dyn Entropy, shape: Shape) -> Option<NewTask> {
    let id = TaskId::generate(clock, entropy);
    let size = usize::try_from(dice.within(0, shape.bytes)).unwrap_or(0);
    let text = format!("\"{id}{}\"", "x".repeat(size));
    let mut task = NewTask::new(id, Kind::new("work").ok()?, Payload::json(text));
    let at = usize::from(dice.percent(50));
    task.queue = QueueName::new(QUEUES.get(at)?).ok()?;
    let policy = &mut task.task.policy;
    policy.max_attempts = limits::ATTEMPTS_MAX;
    policy.retain = dice.percent(shape.kept).then(|| Duration::from_hours(24 * 30));
    policy.backoff = Backoff {
        base: Duration::from_millis(50),
        max: Duration::from_secs(1),
        factor_permille: 2_000,
        jitter_permille: 200,
    };
    if dice.percent(15) {
        task.start = haulier_core::Start::After(dice.millis(1, 1_500));
    }
    Some(task)
}
