//! What applications hold: one queue with its layers, and by its side looking and controlling,
//! where the store offers them. Cloning it shares the connection.

use std::fmt;
use std::sync::Arc;

use haulier_core::limits::ITEMS_MAX;
use haulier_core::{
    Clock, Code, Control, Enqueued, Entropy, Error, Inspect, Kind, NewTask, Payload, Queue,
    Refusal, Result, SystemClock, TaskId,
};
use haulier_worker::{Link, Raw, Task, new_task};

use crate::connect::Builder;
use crate::enqueue::Enqueue;
use crate::entropy::system_entropy;
use crate::store::OpenStore;

/// A connection to a task queue.
#[derive(Clone)]
pub struct Client(Arc<ClientParts>);

/// What a client is made of, for whoever brings their own store, clock or dice.
#[derive(Debug)]
pub struct ClientParts {
    /// Where tasks are handed over, with its layers.
    pub queue: Arc<dyn Queue>,
    /// Looking, if the store offers it.
    pub inspect: Option<Arc<dyn Inspect>>,
    /// Controlling, if the store offers it.
    pub control: Option<Arc<dyn Control>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance, for ids and jitter.
    pub entropy: Arc<dyn Entropy>,
    /// The store behind, if it is of this process: closed with the client.
    pub store: Option<OpenStore>,
}

impl Client {
    /// Begins a connection; see [`Builder`].
    pub fn builder(url: impl Into<String>) -> Builder {
        Builder::new(url)
    }

    /// Connects as the environment says: see [`Builder::from_env`].
    ///
    /// # Errors
    /// As [`Builder::open`].
    pub async fn from_env() -> Result<Self> {
        Builder::from_env()?.open().await
    }

    /// A client over anyone's queue, with the machine's clock and dice. It can hand tasks over and
    /// be worked with; looking and controlling need [`Client::from_parts`].
    ///
    /// # Errors
    /// If the operating system has no random numbers.
    pub fn over(queue: Arc<dyn Queue>) -> Result<Self> {
        Ok(Self::from_parts(ClientParts {
            queue,
            inspect: None,
            control: None,
            clock: Arc::new(SystemClock::new()),
            entropy: system_entropy()?,
            store: None,
        }))
    }

    /// A client of the given parts.
    pub fn from_parts(parts: ClientParts) -> Self {
        Self(Arc::new(parts))
    }

    /// Begins to hand over a task: a builder that is sent by awaiting it.
    #[expect(clippy::needless_pass_by_value, reason = "a task is handed over, not lent")]
    pub fn enqueue<T: Task>(&self, task: T) -> Enqueue<T> {
        Enqueue::new(self.clone(), new_task(self.new_id(), &task))
    }

    /// Begins to hand over bytes for handlers of `kind`.
    pub fn enqueue_raw(&self, kind: impl AsRef<str>, payload: Payload) -> Enqueue<Raw> {
        let id = self.new_id();
        Enqueue::new(self.clone(), Kind::new(kind).map(|kind| NewTask::new(id, kind, payload)))
    }

    /// Hands over many tasks at once: one answer each, in order. More than a call may carry are
    /// sent in several.
    ///
    /// # Errors
    /// If a call failed as a whole; calls before it took effect, and repeating all of them with the
    /// same ids is safe.
    pub async fn enqueue_many(&self, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
        let mut answers = Vec::with_capacity(tasks.len());
        let mut tasks = tasks.into_iter().peekable();
        while tasks.peek().is_some() {
            let slice: Vec<NewTask> = tasks.by_ref().take(ITEMS_MAX).collect();
            answers.extend(self.0.queue.enqueue(slice).await?);
        }
        Ok(answers)
    }

    /// A typed task for [`Client::enqueue_many`], with a new id and its kind's options.
    ///
    /// # Errors
    /// [`Code::Invalid`] if the kind or an option breaks a rule, or the payload does not become
    /// JSON.
    pub fn task<T: Task>(&self, task: &T) -> Result<NewTask, Refusal> {
        new_task(self.new_id(), task)
    }

    /// A new task id, from the client's clock and dice.
    pub fn new_id(&self) -> TaskId {
        TaskId::generate(&*self.0.clock, &*self.0.entropy)
    }

    /// The queue with its layers.
    pub fn queue(&self) -> Arc<dyn Queue> {
        Arc::clone(&self.0.queue)
    }

    /// Looking at tasks, queues and workers.
    ///
    /// # Errors
    /// [`Code::NotSupported`] if the store does not offer it.
    pub fn inspect(&self) -> Result<Arc<dyn Inspect>> {
        self.0.inspect.clone().ok_or_else(|| not_offered("be looked into"))
    }

    /// Cancelling, rerunning, deleting, configuring, directing.
    ///
    /// # Errors
    /// [`Code::NotSupported`] if the store does not offer it.
    pub fn control(&self) -> Result<Arc<dyn Control>> {
        self.0.control.clone().ok_or_else(|| not_offered("be controlled"))
    }

    /// The store in PostgreSQL behind, for tasks in an application's own transactions.
    ///
    /// # Errors
    /// [`Code::NotSupported`] if the client is connected to something else.
    #[cfg(feature = "postgres")]
    pub fn postgres(&self) -> Result<haulier_postgres::PgStore> {
        let store = self.0.store.as_ref().and_then(OpenStore::postgres);
        store.cloned().ok_or_else(|| {
            Error::new(
                Code::NotSupported,
                "this client is not connected to postgres://…; to hand tasks over in your own \
                 transactions beside a server, open a PgStore on the server's database",
            )
        })
    }

    /// The client's source of time.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0.clock)
    }

    /// The client's source of chance.
    pub fn entropy(&self) -> Arc<dyn Entropy> {
        Arc::clone(&self.0.entropy)
    }

    /// Closes the store behind, if it is of this process. Dropping the last clone does the same
    /// without telling of errors.
    ///
    /// # Errors
    /// What the store says; what it acknowledged is safe even so.
    pub async fn close(&self) -> Result<()> {
        match &self.0.store {
            Some(store) => store.close().await,
            None => Ok(()),
        }
    }
}

fn not_offered(what: &str) -> Error {
    Error::new(
        Code::NotSupported,
        format!("this store cannot {what}; connect to one that can, as `file:` or a server"),
    )
}

impl From<&Client> for Link {
    fn from(client: &Client) -> Self {
        Self { queue: client.queue(), clock: client.clock(), entropy: client.entropy() }
    }
}

impl From<Client> for Link {
    fn from(client: Client) -> Self {
        Self::from(&client)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("queue", &self.0.queue).finish_non_exhaustive()
    }
}
