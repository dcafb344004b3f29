//! A task on its way: a builder that is sent by awaiting it. What is wrong with a value is told
//! when it is sent, so that a chain of calls needs one `?` only.

use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;

use haulier_core::{
    Backoff, Enqueued, Error, NewTask, OnConflict, Pairs, Priority, QueueName, Refusal, Result,
    Start, TaskId, Timestamp, Unique, Until,
};

use crate::client::Client;
use crate::sent::Sent;

/// A task that is about to be handed over. Awaiting it sends it.
#[must_use = "a task is handed over only when this is awaited"]
pub struct Enqueue<T> {
    client: Client,
    /// The task, or the first thing that was wrong with it.
    task: Result<NewTask, Refusal>,
    unique: UniqueOptions,
    headers: Vec<(String, String)>,
    labels: Vec<(String, String)>,
    kind: PhantomData<fn() -> T>,
}

/// The parts of a unique key in whatever order they come.
#[derive(Default)]
struct UniqueOptions {
    key: Option<String>,
    window: Option<Duration>,
    until: Option<Until>,
    on_conflict: Option<OnConflict>,
}

impl<T> Enqueue<T> {
    pub(crate) fn new(client: Client, task: Result<NewTask, Refusal>) -> Self {
        Self {
            client,
            task,
            unique: UniqueOptions::default(),
            headers: Vec::new(),
            labels: Vec::new(),
            kind: PhantomData,
        }
    }

    fn set(mut self, change: impl FnOnce(&mut NewTask) -> Result<(), Refusal>) -> Self {
        self.task = self.task.and_then(|mut task| change(&mut task).map(|()| task));
        self
    }

    /// The task's id, instead of a new one: handing over the same id twice is harmless.
    pub fn id(self, id: TaskId) -> Self {
        self.set(|task| {
            task.id = id;
            Ok(())
        })
    }

    /// The queue.
    pub fn queue(self, queue: impl AsRef<str>) -> Self {
        self.set(|task| {
            task.queue = QueueName::new(queue)?;
            Ok(())
        })
    }

    /// 0 to 9, higher first.
    pub fn priority(self, priority: u8) -> Self {
        self.set(|task| {
            task.priority = Priority::new(priority)?;
            Ok(())
        })
    }

    /// Not before this long from now, by the store's clock.
    pub fn delay(self, delay: Duration) -> Self {
        self.set(|task| {
            task.start = Start::After(delay);
            Ok(())
        })
    }

    /// Not before this time of the calendar.
    pub fn run_at(self, at: Timestamp) -> Self {
        self.set(|task| {
            task.start = Start::At(at);
            Ok(())
        })
    }

    /// Attempts after which the task, still failing, is dead.
    pub fn max_attempts(self, attempts: u32) -> Self {
        self.set(|task| {
            task.policy.max_attempts = attempts;
            Ok(())
        })
    }

    /// The pause between attempts.
    pub fn backoff(self, backoff: Backoff) -> Self {
        self.set(|task| {
            task.policy.backoff = backoff;
            Ok(())
        })
    }

    /// The longest that one attempt may run.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set(|task| {
            task.policy.timeout = timeout;
            Ok(())
        })
    }

    /// Given up (dead, expired) if no attempt has started this long after it was accepted.
    pub fn expires_in(self, span: Duration) -> Self {
        self.set(|task| {
            task.expires_in = Some(span);
            Ok(())
        })
    }

    /// How long the finished task is kept.
    pub fn retain(self, span: Duration) -> Self {
        self.set(|task| {
            task.policy.retain = Some(span);
            Ok(())
        })
    }

    /// Only one task with this key at a time in its queue; a second one meets the first.
    pub fn unique(mut self, key: impl Into<String>) -> Self {
        self.unique.key = Some(key.into());
        self
    }

    /// How long the unique key is held at least.
    pub fn unique_for(mut self, window: Duration) -> Self {
        self.unique.window = Some(window);
        self
    }

    /// Until when the task holds its unique key.
    pub fn unique_until(mut self, until: Until) -> Self {
        self.unique.until = Some(until);
        self
    }

    /// What happens if the unique key is taken.
    pub fn on_conflict(mut self, on_conflict: OnConflict) -> Self {
        self.unique.on_conflict = Some(on_conflict);
        self
    }

    /// Adds a label, for people and filters: `label.tenant:acme`.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.push((name.into(), value.into()));
        self
    }

    /// Adds a header, for the handler.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The task as it would be sent, for [`Client::enqueue_many`].
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn into_task(self) -> Result<NewTask, Refusal> {
        let mut task = self.task?;
        task.unique = self.unique.build()?;
        task.headers = self.headers.into_iter().collect::<Pairs>();
        task.labels = self.labels.into_iter().collect::<Pairs>();
        Ok(task)
    }

    async fn send(self) -> Result<Sent<T>> {
        let client = self.client.clone();
        let task = self.into_task()?;
        let mut answers = client.queue().enqueue(vec![task]).await?;
        match answers.pop() {
            Some(Enqueued::Inserted { id, state, durability }) => {
                Ok(Sent::new(client, id, Some(state), durability, false))
            }
            Some(Enqueued::Existing { id, state, durability }) => {
                Ok(Sent::new(client, id, state, durability, true))
            }
            Some(Enqueued::Refused(refusal)) => Err(refusal.into()),
            None => Err(Error::internal("the store gave no answer to an enqueued task")),
        }
    }
}

impl UniqueOptions {
    fn build(self) -> Result<Option<Unique>, Refusal> {
        let Some(key) = self.key else {
            let stray = [
                self.window.map(|_| "unique_for"),
                self.until.map(|_| "unique_until"),
                self.on_conflict.map(|_| "on_conflict"),
            ];
            return match stray.into_iter().flatten().next() {
                None => Ok(None),
                Some(option) => Err(Refusal::new(
                    haulier_core::Code::Invalid,
                    format!("{option} needs a unique key; add .unique(\"...\")"),
                )),
            };
        };
        let mut unique = Unique::new(key);
        unique.window = self.window.unwrap_or(unique.window);
        unique.until = self.until.unwrap_or(unique.until);
        unique.on_conflict = self.on_conflict.unwrap_or(unique.on_conflict);
        Ok(Some(unique))
    }
}

impl<T: 'static> IntoFuture for Enqueue<T> {
    type Output = Result<Sent<T>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl<T> fmt::Debug for Enqueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enqueue").field("task", &self.task).finish_non_exhaustive()
    }
}
