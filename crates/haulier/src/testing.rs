//! Helpers for tests of programs that use Haulier: a whole world in memory whose time the test
//! owns, and one handler on its own. Nothing here waits for real time.

use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use haulier_core::{
    Checkpoint, Epoch, Filter, Include, Inspect, Lease, LeaseKey, ManualClock, PageRequest,
    SeededEntropy, State, TaskId, Timestamp, limits,
};
use haulier_memory::MemoryStore;

use haulier_worker::{
    BlockingHandler, Ctx, Drained, Handler, Input, Raw, States, Task, TaskError, Worker, new_task,
};

use crate::client::{Client, ClientParts};
use crate::janitor;

/// A store in memory, a clock that stands still until it is moved, and a worker for every queue.
///
/// ```
/// use std::time::Duration;
/// use haulier::testing::TestWorld;
/// use haulier::{Task, TaskError};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Greet { name: String }
/// impl Task for Greet {
///     const KIND: &'static str = "greet";
///     type Output = String;
/// }
/// async fn greet(task: Greet) -> Result<String, TaskError> { Ok(format!("hello {}", task.name)) }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> haulier::Result<()> {
/// let world = TestWorld::new().register(greet);
/// let task = Greet { name: "Ada".to_owned() };
/// let sent = world.client().enqueue(task).delay(Duration::from_mins(5)).await?;
/// world.assert_enqueued::<Greet>(|task| task.name == "Ada");
/// assert_eq!(world.drain().await.completed, 0, "it is not due");
/// world.elapse(Duration::from_mins(5)).await;
/// assert_eq!(world.drain().await.completed, 1);
/// assert_eq!(sent.result(Duration::ZERO).await.unwrap(), "hello Ada");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TestWorld {
    store: MemoryStore,
    clock: ManualClock,
    client: Client,
    worker: Worker,
}

impl Default for TestWorld {
    fn default() -> Self {
        Self::new()
    }
}

impl TestWorld {
    /// A world without tasks and handlers, at the beginning of 2026. The same dice every time.
    #[must_use]
    pub fn new() -> Self {
        let clock = ManualClock::new();
        let store = MemoryStore::new(Arc::new(clock.clone()));
        let client = Client::from_parts(ClientParts {
            queue: Arc::new(store.clone()),
            inspect: Some(Arc::new(store.clone())),
            control: Some(Arc::new(store.clone())),
            clock: Arc::new(clock.clone()),
            entropy: Arc::new(SeededEntropy::from_u64(1)),
            store: None,
        });
        let worker = Worker::new(&client).name("test");
        Self { store, clock, client, worker }
    }

    /// Gives handlers a value; see [`Worker::state`].
    #[must_use]
    pub fn state<S: Clone + Send + Sync + 'static>(self, state: S) -> Self {
        self.worker(|worker| worker.state(state))
    }

    /// Registers a handler; see [`Worker::register`].
    #[must_use]
    pub fn register<H, T, Args>(self, handler: H) -> Self
    where
        H: Handler<Args, Input = T>,
        T: Task,
    {
        self.worker(|worker| worker.register(handler))
    }

    /// Registers a plain function; see [`Worker::register_blocking`].
    #[must_use]
    pub fn register_blocking<H, T, Args>(self, handler: H) -> Self
    where
        H: BlockingHandler<Args, Input = T>,
        T: Task,
    {
        self.worker(|worker| worker.register_blocking(handler))
    }

    /// Registers a handler of bytes; see [`Worker::register_raw`].
    #[must_use]
    pub fn register_raw<H, Args>(self, kind: Option<&str>, handler: H) -> Self
    where
        H: Handler<Args, Input = Raw>,
    {
        self.worker(|worker| worker.register_raw(kind, handler))
    }

    /// Changes the worker in any other way: its layers, its slots. Its queues are those that have
    /// tasks.
    #[must_use]
    pub fn worker(mut self, change: impl FnOnce(Worker) -> Worker) -> Self {
        self.worker = change(self.worker);
        self
    }

    /// The client, to enqueue, look and control with.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The clock. It moves by [`TestWorld::elapse`] only.
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// Lets time pass, and what time alone does happen.
    ///
    /// # Panics
    /// If the store cannot be swept.
    pub async fn elapse(&self, time: Duration) {
        self.clock.advance(time);
        let swept = janitor::sweep_all(&self.store).await;
        assert!(swept.is_ok(), "the store cannot be swept: {swept:?}");
    }

    /// Runs everything that is due, and what follows from it, and counts what became of it. What
    /// fails is tried again only once its pause has passed. A handler that sleeps on the clock
    /// never ends here.
    ///
    /// # Panics
    /// If the worker's set-up is wrong (a missing state, a kind registered twice, no handler), or the
    /// queues cannot be listed.
    pub async fn drain(&self) -> Drained {
        let mut sum = Drained::default();
        loop {
            let queues = match self.store.queues().await {
                Ok(queues) => queues,
                Err(error) => panic!("the queues cannot be listed: {error}"),
            };
            let worker = queues
                .iter()
                .fold(self.worker.clone(), |worker, stats| worker.queue(stats.queue.as_str()));
            let drained = match worker.run_until_idle().await {
                Ok(drained) => drained,
                Err(error) => panic!("the worker cannot run: {error}"),
            };
            sum += drained;
            if drained == Drained::default() {
                return sum;
            }
        }
    }

    /// The payloads of all tasks of a type that are not final, oldest first.
    ///
    /// # Panics
    /// If one cannot be read as its type.
    pub fn enqueued<T: Task>(&self) -> Vec<T> {
        let pending =
            Filter::states(State::ALL.into_iter().filter(|s| !s.is_final()).collect::<Vec<_>>());
        let include = Include { payload: true, ..Include::default() };
        let mut request = PageRequest { size: limits::PAGE_MAX, after: None, include };
        let mut found = Vec::new();
        loop {
            let page = match at_once(self.store.list(pending.clone(), request.clone())) {
                Ok(page) => page,
                Err(error) => panic!("the store cannot be listed: {error}"),
            };
            let kind = page.tasks.iter().filter(|view| view.task.kind.as_str() == T::KIND);
            found.extend(kind.map(|view| match T::decode(&view.task.payload) {
                Ok(task) => task,
                Err(why) => panic!("{why}"),
            }));
            request.after = page.next;
            if request.after.is_none() {
                found.reverse();
                return found;
            }
        }
    }

    /// Asserts that a task of a type which satisfies `is` waits or runs.
    ///
    /// # Panics
    /// If there is none, with how many of the type there are.
    pub fn assert_enqueued<T: Task>(&self, is: impl Fn(&T) -> bool) {
        let tasks = self.enqueued::<T>();
        let kind = T::KIND;
        assert!(
            tasks.iter().any(is),
            "no task {kind} is enqueued that satisfies the condition; {} others are",
            tasks.len()
        );
    }
}

/// The answer of a store in memory, which never waits unless it is asked to.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("a store in memory has to answer at once"),
    }
}

/// Runs one handler with a payload, without store or worker. Awaiting it gives what the handler
/// returned.
///
/// ```
/// # use haulier::{Ctx, Task, TaskError};
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Ping;
/// # impl Task for Ping { const KIND: &'static str = "ping"; type Output = u32; }
/// async fn ping(_: Ping, ctx: Ctx) -> Result<u32, TaskError> { Ok(ctx.attempt()) }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// assert_eq!(haulier::testing::run(ping, Ping).attempt(3).await.unwrap(), 3);
/// # }
/// ```
pub fn run<H, T, Args>(handler: H, task: T) -> Run<H, T, Args>
where
    H: Handler<Args, Input = T>,
    T: Task,
{
    Run {
        handler,
        task,
        states: States::default(),
        attempt: 1,
        headers: Vec::new(),
        steps: Vec::new(),
        clock: ManualClock::new(),
        args: PhantomData,
    }
}

/// One attempt that is about to be made.
#[must_use = "the handler runs only when this is awaited"]
pub struct Run<H, T, Args> {
    handler: H,
    task: T,
    states: States,
    attempt: u32,
    headers: Vec<(String, String)>,
    steps: Vec<Checkpoint>,
    clock: ManualClock,
    args: PhantomData<fn(Args)>,
}

impl<H, T, Args> Run<H, T, Args> {
    /// Gives the handler a value.
    pub fn state<S: Clone + Send + Sync + 'static>(mut self, state: S) -> Self {
        self.states.insert(state);
        self
    }

    /// Which attempt it is, from 1. The epoch is the same number.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// A step that an earlier attempt did, with what it returned as JSON.
    pub fn step(mut self, name: &str, json: impl Into<String>) -> Self {
        self.steps.push(Checkpoint { name: name.into(), value: json.into().into() });
        self
    }

    /// The clock that the handler sees.
    pub fn clock(mut self, clock: ManualClock) -> Self {
        self.clock = clock;
        self
    }
}

impl<H, T, Args> Run<H, T, Args>
where
    H: Handler<Args, Input = T>,
    T: Task,
{
    async fn go(self) -> Result<<T as Input>::Output, TaskError> {
        if let Err(why) = H::check(&self.states) {
            panic!("the handler of {} cannot run: {why}", T::KIND);
        }
        let id = TaskId::generate(&self.clock, &SeededEntropy::from_u64(1));
        let mut task = new_task(id, &self.task).map_err(TaskError::fail)?;
        task.headers = self.headers.into_iter().collect();
        let lease = Lease {
            key: LeaseKey { task: id, epoch: Epoch(u64::from(self.attempt)) },
            task: Arc::new(task.task),
            attempt: self.attempt,
            losses: 0,
            ttl: limits::LEASE_TTL_DEFAULT,
            enqueued_at: Timestamp::default(),
            checkpoints: self.steps,
        };
        self.handler.call(Ctx::detached(lease, self.states, Arc::new(self.clock))).await
    }
}

impl<H, T, Args> IntoFuture for Run<H, T, Args>
where
    H: Handler<Args, Input = T>,
    T: Task,
    Args: 'static,
{
    type Output = Result<<T as Input>::Output, TaskError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.go())
    }
}

impl<H, T: Task, Args> fmt::Debug for Run<H, T, Args> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Run({}, attempt {})", T::KIND, self.attempt)
    }
}
