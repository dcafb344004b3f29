//! The four traits over the inbox. What stands on the disk is read here, on the caller's side, so
//! that a slow disk holds up nobody else.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use haulier_core::{
    Beat, BeatReply, Capabilities, Cause, Changed, Control, Directive, Durability, Enqueued, Error,
    Failure, Filter, Include, Inspect, Lease, Maintain, NewTask, Outcome, Page, PageRequest, Queue,
    QueueName, QueueSettings, QueueStats, Result, SettingsPatch, Settled, Settlement, Swept,
    TaskId, TaskView, Timestamp, Want, WorkerId, WorkerView, limits,
};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::cost;
use crate::disk::{Disk, RealDisk};
use crate::driver::{self, Driver};
use crate::engine::{Command, Granted, Offers, Reply};
use crate::error::{Fatal, OpenError};
use crate::inbox::{Answered, Ask, Inbox, unanswered};
use crate::log::Files;
use crate::log::clerk::Clerk;
use crate::log::pin::Pinned;
use crate::open::{Options, open};
use crate::resolve;

/// A durable store on one directory. Clones are the same store; the last one to go closes it.
#[derive(Clone)]
pub struct EmbeddedStore {
    inner: Arc<Inner>,
}

struct Inner {
    inbox: Arc<Inbox>,
    failed: watch::Receiver<Option<Fatal>>,
    payload_bytes_max: usize,
    place: String,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore").field("place", &self.inner.place).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    /// A clean stop: a witness is written, and the directory is free again when this returns.
    fn drop(&mut self) {
        drop(self.inbox.ask_to_close());
        join(self.thread.get_mut().take());
    }
}

fn join(thread: Option<JoinHandle<()>>) {
    if let Some(thread) = thread
        && thread.join().is_err()
    {
        tracing::error!("the engine's thread panicked");
    }
}

impl EmbeddedStore {
    /// Opens the store in a directory, which is made if it is missing.
    ///
    /// # Errors
    /// Somebody else has it open, it is damaged, newer, or the file system refused.
    pub fn open(path: &Path, options: Options) -> Result<Self, OpenError> {
        let disk = RealDisk::create(path)
            .map_err(OpenError::io(format!("{} cannot be made", path.display())))?;
        let disk: Arc<dyn Disk> = Arc::new(disk);
        Self::open_on(&disk, options)
    }

    /// Opens the store on a disk; for tests and simulations.
    ///
    /// # Errors
    /// As [`EmbeddedStore::open`].
    pub fn open_on(disk: &Arc<dyn Disk>, options: Options) -> Result<Self, OpenError> {
        let (payload_bytes_max, place) = (options.payload_bytes_max, disk.place(""));
        let ready = open(disk, options, Clerk::default())?;
        let (inbox, failed) = (Arc::clone(&ready.inbox), ready.failed.clone());
        let thread = driver::start(ready)
            .map_err(OpenError::io(format!("{place}: no thread can be started")))?;
        let thread = Mutex::new(Some(thread));
        Ok(Self { inner: Arc::new(Inner { inbox, failed, payload_bytes_max, place, thread }) })
    }

    /// Opens the store on a disk without any thread: nothing happens unless the [`Driver`] is given
    /// turns. For simulations, where a seed decides who is next.
    ///
    /// # Errors
    /// As [`EmbeddedStore::open`].
    pub fn open_driven(
        disk: &Arc<dyn Disk>,
        options: Options,
    ) -> Result<(Self, Driver), OpenError> {
        let (payload_bytes_max, place) = (options.payload_bytes_max, disk.place(""));
        let ready = open(disk, options, Clerk::at_once())?;
        let (inbox, failed) = (Arc::clone(&ready.inbox), ready.failed.clone());
        let inner = Inner { inbox, failed, payload_bytes_max, place, thread: Mutex::new(None) };
        Ok((Self { inner: Arc::new(inner) }, Driver::new(ready)))
    }

    /// Stops in good order: calls that were taken are answered, later ones are refused. When this
    /// returns, the directory is free.
    ///
    /// # Errors
    /// Something could not be written; the next start finds out what is durable.
    pub async fn close(&self) -> Result<()> {
        let Some(answer) = self.inner.inbox.ask_to_close() else { return Ok(()) };
        let closed = answer.await.unwrap_or_else(|_| Err(unanswered()));
        let thread = self.inner.thread.lock().take();
        join(thread);
        closed.map(|_| ())
    }

    /// Resolves when the store had to stop, with the reason. A store that is closed in good order
    /// never resolves it.
    pub fn failed(&self) -> impl Future<Output = Fatal> + Send + 'static {
        let mut failed = self.inner.failed.clone();
        async move {
            loop {
                if let Some(fatal) = failed.borrow_and_update().clone() {
                    return fatal;
                }
                if failed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    async fn ask(&self, command: Command) -> Result<(Reply, Arc<Files>)> {
        let bytes = cost::memory(&command);
        match self.inner.inbox.ask(Ask::Command(command), bytes).await? {
            Answered::Reply(reply, files) => Ok((reply, files)),
            other => Err(wrong(&other)),
        }
    }

    /// The log as it is now, held, with the generation and the store's time.
    pub(crate) async fn pin(&self) -> Result<(Pinned, u32, Timestamp)> {
        match self.inner.inbox.ask(Ask::Pin, 0).await? {
            Answered::Pinned(pinned, generation, now) => Ok((pinned, generation, now)),
            other => Err(wrong(&other)),
        }
    }

    /// Reads what was leased. A task that cannot be read is never delivered: it is given up, with
    /// the reason, so that it does not block its line.
    async fn read_leases(
        &self,
        granted: &[Vec<Granted>],
        files: &Files,
    ) -> Result<Vec<Vec<Lease>>> {
        let mut unreadable: Vec<Settlement> = Vec::new();
        let mut read = |one: &Granted| match resolve::lease(files, one) {
            Ok(lease) => Some(lease),
            Err(error) => {
                tracing::error!(task = %one.key.task, %error, "a task is damaged on the disk");
                let failure = Failure::new(Cause::Decode, &error.to_string());
                let outcome = Outcome::Reject { failure: failure.with_class("DamagedOnDisk") };
                unreadable.push(Settlement { key: one.key, outcome });
                None
            }
        };
        let leases = granted.iter().map(|its| its.iter().filter_map(&mut read).collect()).collect();
        if !unreadable.is_empty() {
            self.ask(Command::Settle(unreadable)).await?;
        }
        Ok(leases)
    }

    async fn change(&self, command: Command) -> Result<Vec<Changed>> {
        match self.ask(command).await? {
            (Reply::Changed(changed), _) => Ok(changed),
            other => Err(wrong(&other)),
        }
    }
}

fn wrong(answer: &dyn fmt::Debug) -> Error {
    tracing::error!(?answer, "the engine answered another question");
    Error::internal("the engine answered another question")
}

fn check_count(what: &str, count: usize) -> Result<()> {
    if count <= limits::ITEMS_MAX {
        return Ok(());
    }
    Err(Error::invalid(what, format!("{count} items; at most {} a call", limits::ITEMS_MAX)))
}

#[async_trait]
impl Queue for EmbeddedStore {
    async fn enqueue(&self, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
        check_count("tasks", tasks.len())?;
        let offers = Offers::new(tasks, self.inner.payload_bytes_max);
        match self.ask(Command::Enqueue(offers)).await? {
            (Reply::Enqueued(answers), files) => {
                answers.into_iter().map(|answer| resolve::enqueued(&files, answer)).collect()
            }
            other => Err(wrong(&other)),
        }
    }

    async fn lease(&self, wants: Vec<Want>, wait: Duration) -> Result<Vec<Vec<Lease>>> {
        check_count("wants", wants.len())?;
        let bytes = 256 * wants.len();
        match self.inner.inbox.ask(Ask::Lease(wants, wait), bytes).await? {
            Answered::Leases(granted, files) => self.read_leases(&granted, &files).await,
            other => Err(wrong(&other)),
        }
    }

    async fn beat(&self, beats: Vec<Beat>) -> Result<Vec<BeatReply>> {
        check_count("beats", beats.len())?;
        match self.ask(Command::Beat(beats)).await? {
            (Reply::Beats(replies), _) => Ok(replies),
            other => Err(wrong(&other)),
        }
    }

    async fn watch(&self, worker: WorkerId, wait: Duration) -> Result<bool> {
        match self.inner.inbox.ask(Ask::Watch(worker, wait), 256).await? {
            Answered::Noted(news) => Ok(news),
            other => Err(wrong(&other)),
        }
    }

    async fn settle(&self, ends: Vec<Settlement>) -> Result<Vec<Settled>> {
        check_count("settlements", ends.len())?;
        match self.ask(Command::Settle(ends)).await? {
            (Reply::Settled(settled), _) => Ok(settled),
            other => Err(wrong(&other)),
        }
    }

    fn capabilities(&self) -> Capabilities {
        let payload_bytes_max = self.inner.payload_bytes_max;
        Capabilities { payload_bytes_max, ..Capabilities::full("embedded", Durability::D2) }
    }
}

#[async_trait]
impl Inspect for EmbeddedStore {
    async fn get(
        &self,
        ids: Vec<TaskId>,
        include: Include,
        wait: Duration,
    ) -> Result<Vec<Option<TaskView>>> {
        check_count("ids", ids.len())?;
        let bytes = 64 * ids.len();
        match self.inner.inbox.ask(Ask::Get(ids, wait), bytes).await? {
            Answered::Reply(Reply::Got(drafts), files) => drafts
                .into_iter()
                .map(|draft| draft.map(|draft| resolve::view(&files, &draft, include)).transpose())
                .collect(),
            other => Err(wrong(&other)),
        }
    }

    async fn list(&self, filter: Filter, page: PageRequest) -> Result<Page> {
        let include = page.include;
        match self.ask(Command::List(filter, page)).await? {
            (Reply::Page(draft), files) => resolve::page(&files, draft, include),
            other => Err(wrong(&other)),
        }
    }

    async fn queues(&self) -> Result<Vec<QueueStats>> {
        match self.ask(Command::Queues).await? {
            (Reply::Queues(queues), _) => Ok(queues),
            other => Err(wrong(&other)),
        }
    }

    async fn workers(&self) -> Result<Vec<WorkerView>> {
        match self.ask(Command::Workers).await? {
            (Reply::Workers(workers), _) => Ok(workers),
            other => Err(wrong(&other)),
        }
    }
}

#[async_trait]
impl Control for EmbeddedStore {
    async fn cancel(&self, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
        check_count("ids", ids.len())?;
        self.change(Command::Cancel(ids)).await
    }

    async fn rerun(&self, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
        check_count("ids", ids.len())?;
        self.change(Command::Rerun(ids)).await
    }

    async fn delete(&self, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
        check_count("ids", ids.len())?;
        self.change(Command::Delete(ids)).await
    }

    async fn configure(&self, queue: QueueName, patch: SettingsPatch) -> Result<QueueSettings> {
        match self.ask(Command::Configure(queue, patch)).await? {
            (Reply::Settings(settings), _) => Ok(*settings),
            other => Err(wrong(&other)),
        }
    }

    async fn direct(&self, workers: Vec<WorkerId>, directive: Directive) -> Result<Vec<bool>> {
        check_count("workers", workers.len())?;
        match self.ask(Command::Direct(workers, directive)).await? {
            (Reply::Directed(known), _) => Ok(known),
            other => Err(wrong(&other)),
        }
    }
}

#[async_trait]
impl Maintain for EmbeddedStore {
    async fn sweep(&self, budget: usize) -> Result<Swept> {
        let budget = budget.min(limits::PAGE_EXAMINED_MAX);
        match self.ask(Command::Sweep(budget)).await? {
            (Reply::Swept(swept), _) => Ok(swept),
            other => Err(wrong(&other)),
        }
    }
}
