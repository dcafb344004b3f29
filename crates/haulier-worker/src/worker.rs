//! The worker as users build it.

use std::sync::Arc;
use std::time::Duration;

use haulier_core::limits::{LEASE_TTL_DEFAULT, WANT_NAMES_MAX};
use haulier_core::{Error, Payload, QueueName, Result, WorkerId, lease};
use tokio::sync::watch;
use tower::{Layer, Service};

use crate::ctx::Ctx;
use crate::error::TaskError;
use crate::extract::{BlockingHandler, Handler};
use crate::fetcher::Until;
use crate::held::Held;
use crate::link::Link;
use crate::registry::{AttemptService, Registry, Running, written};
use crate::settler::{Drained, Settler};
use crate::shared::{Phase, Settings, Shared};
use crate::shutdown;
use crate::signals::{Process, Stops};
use crate::states::States;
use crate::task::{Raw, Task};

/// Tasks that run at a time unless said otherwise.
const CONCURRENCY: u32 = 16;
/// How long handlers may go on once the worker shall stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(25);

/// Leases tasks, runs their handlers and settles them.
///
/// Nothing happens before [`Worker::run`]. Whatever is wrong with the set-up is told there, before
/// a task is leased. A worker that is cloned and run twice is two workers.
#[derive(Debug, Clone)]
#[must_use = "a worker does nothing until it is run"]
pub struct Worker {
    link: Link,
    registry: Registry,
    states: States,
    queues: Vec<QueueName>,
    limits: Vec<(QueueName, u32)>,
    concurrency: u32,
    ttl: Duration,
    drain_limit: Duration,
    name: Option<String>,
    /// What was wrong with a name; told when the worker starts.
    wrong: Option<Error>,
}

impl Worker {
    /// A worker of the queue `default`, with 16 slots and no handler yet.
    pub fn new(link: impl Into<Link>) -> Self {
        Self {
            link: link.into(),
            registry: Registry::default(),
            states: States::default(),
            queues: Vec::new(),
            limits: Vec::new(),
            concurrency: CONCURRENCY,
            ttl: LEASE_TTL_DEFAULT,
            drain_limit: DRAIN_LIMIT,
            name: None,
            wrong: None,
        }
    }

    /// Serves a queue; once one is named, `default` is served only if it is named, too.
    pub fn queue(mut self, queue: impl AsRef<str>) -> Self {
        if let Some(queue) = self.named(queue)
            && !self.queues.contains(&queue)
        {
            self.queues.push(queue);
        }
        self
    }

    /// How many tasks run at a time.
    pub fn concurrency(mut self, slots: u32) -> Self {
        self.concurrency = slots;
        self
    }

    /// How many tasks of a queue run at a time in this worker. (Over all workers: a queue's setting
    /// `concurrency`.)
    pub fn limit(mut self, queue: impl AsRef<str>, slots: u32) -> Self {
        if let Some(queue) = self.named(queue) {
            self.limits.push((queue, slots));
        }
        self
    }

    /// Gives handlers a value: they take it as [`crate::State`].
    pub fn state<S: Clone + Send + Sync + 'static>(mut self, state: S) -> Self {
        self.states.insert(state);
        self
    }

    /// What a lease lasts without a beat; beats come every third of it. A crashed worker's tasks
    /// are offered again that much later.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How long handlers may go on once the worker shall stop, before their tasks are handed back.
    pub fn drain_limit(mut self, limit: Duration) -> Self {
        self.drain_limit = limit;
        self
    }

    /// The beginning of the worker's id, instead of the machine's name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Registers the handler of a task's kind.
    pub fn register<H, T, Args>(mut self, handler: H) -> Self
    where
        H: Handler<Args, Input = T>,
        T: Task,
    {
        self.registry.add(Some(T::KIND), H::check, erased(handler));
        self
    }

    /// Registers a plain function; it runs on a thread that may block. See [`BlockingHandler`].
    pub fn register_blocking<H, T, Args>(mut self, handler: H) -> Self
    where
        H: BlockingHandler<Args, Input = T>,
        T: Task,
    {
        let run = move |ctx| -> Running {
            let handler = handler.clone();
            Box::pin(async move { written::<T>(handler.call(ctx).await?) })
        };
        self.registry.add(Some(T::KIND), H::check, Arc::new(run));
        self
    }

    /// Registers a handler of bytes for a kind, or, with `None`, for every kind that has no handler
    /// of its own.
    pub fn register_raw<H, Args>(mut self, kind: Option<&str>, handler: H) -> Self
    where
        H: Handler<Args, Input = Raw>,
    {
        self.registry.add(kind, H::check, erased(handler));
        self
    }

    /// Puts a tower layer around every attempt; the last one added is outermost. The service takes
    /// a [`Ctx`] and gives what the handler returned.
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<AttemptService> + Send + Sync + 'static,
        L::Service: Service<Ctx, Response = Option<Payload>> + Clone + Send + Sync + 'static,
        <L::Service as Service<Ctx>>::Error: Into<TaskError>,
        <L::Service as Service<Ctx>>::Future: Send + 'static,
    {
        self.registry.layer(layer);
        self
    }

    /// Runs until the process is told to end (SIGTERM, or Ctrl-C), then drains. A second signal
    /// hands back at once what still runs.
    ///
    /// # Errors
    /// [`haulier_core::Code::Invalid`] for a wrong set-up; what the store refuses for good.
    pub async fn run(self) -> Result<()> {
        let stops = Stops::Process(Process::listen()?);
        self.live(Until::Told, stops).await.map(drop)
    }

    /// Runs until `stop` is ready, then drains.
    ///
    /// # Errors
    /// As [`Worker::run`].
    pub async fn run_until(self, stop: impl Future<Output = ()> + Send) -> Result<()> {
        self.live(Until::Told, Stops::Once(Some(Box::pin(stop)))).await.map(drop)
    }

    /// Runs what is available now and what follows from it, and ends when nothing more is.
    ///
    /// # Errors
    /// As [`Worker::run`].
    pub async fn run_until_idle(self) -> Result<Drained> {
        self.live(Until::Idle, Stops::Once(None)).await
    }

    async fn live(self, until: Until, stops: Stops<'_>) -> Result<Drained> {
        let shared = Arc::new(self.start()?);
        tracing::info!(
            target: "haulier::worker", worker = %shared.id, slots = shared.settings.concurrency,
            queues = ?shared.settings.queues.iter().map(|(queue, _)| queue).collect::<Vec<_>>(),
            "working"
        );
        shutdown::live(&shared, until, stops).await?;
        Ok(shared.settler.tally())
    }

    /// Checks the set-up and puts the parts together.
    pub(crate) fn start(self) -> Result<Shared> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        let handlers = self.registry.build(&self.states)?;
        let queues = if self.queues.is_empty() { vec![QueueName::default()] } else { self.queues };
        lease::check_ttl(self.ttl)?;
        if self.concurrency == 0 || self.limits.iter().any(|(_, slots)| *slots == 0) {
            return Err(Error::invalid(
                "concurrency",
                "a worker or queue with 0 slots runs nothing",
            ));
        }
        if queues.len() > WANT_NAMES_MAX {
            let many = format!("{} are served; at most {WANT_NAMES_MAX} can be", queues.len());
            return Err(Error::invalid("queues", many));
        }
        if let Some((stray, _)) = self.limits.iter().find(|(queue, _)| !queues.contains(queue)) {
            let stray =
                format!("{stray} is limited, but not served; add .queue({:?})", stray.as_str());
            return Err(Error::invalid("limit", stray));
        }
        let limit = |name: &QueueName| {
            self.limits.iter().rev().find(|(queue, _)| queue == name).map(|(_, slots)| *slots)
        };
        Ok(Shared {
            id: incarnation(self.name.as_deref(), &self.link)?,
            settings: Settings {
                queues: queues.into_iter().map(|queue| (queue.clone(), limit(&queue))).collect(),
                concurrency: self.concurrency,
                ttl: self.ttl,
                drain_limit: self.drain_limit,
            },
            link: self.link,
            states: Arc::new(self.states),
            handlers,
            held: Arc::new(Held::default()),
            settler: Settler::default(),
            phase: watch::Sender::new(Phase::Run),
        })
    }

    fn named(&mut self, queue: impl AsRef<str>) -> Option<QueueName> {
        match QueueName::new(queue) {
            Ok(queue) => Some(queue),
            Err(refusal) => {
                self.wrong.get_or_insert(refusal.into());
                None
            }
        }
    }
}

/// A handler whose types are forgotten.
fn erased<H, Args>(handler: H) -> Arc<dyn Fn(Ctx) -> Running + Send + Sync>
where
    H: Handler<Args>,
{
    Arc::new(move |ctx| {
        let handler = handler.clone();
        Box::pin(async move { written::<H::Input>(handler.call(ctx).await?) })
    })
}

/// A name that no other run of any worker has: machine, process, chance.
fn incarnation(name: Option<&str>, link: &Link) -> Result<WorkerId> {
    let machine = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = name.map(str::to_owned).or_else(machine).unwrap_or_default();
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name: String = name.chars().filter(plain).take(64).collect();
    let name = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let name = if name.is_empty() { "worker" } else { name };
    let (process, chance) = (std::process::id(), link.entropy.next_u64() >> 32);
    Ok(WorkerId::new(format!("{name}-{process}-{chance:08x}"))?)
}
