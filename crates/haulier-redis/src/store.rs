//! [`RedisStore`] and its traits: each method checks the size of the call and forwards to the
//! module of its verb. What runs beside the calls begins at open and ends at close.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use haulier_core::{
    Beat, BeatReply, Capabilities, Changed, Clock, Code, Control, Directive, Durability, Enqueued,
    Entropy, Error, Filter, Include, Inspect, Lease, Maintain, NewTask, Page, PageRequest, Queue,
    QueueName, QueueSettings, QueueStats, Result, SettingsPatch, Settled, Settlement, Swept,
    TaskId, TaskView, Want, WorkerId, WorkerView, limits,
};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::claim::Claims;
use crate::db::Db;
use crate::error::{Fatal, OpenError};
use crate::notify::Hub;
use crate::options::Options;
use crate::pack::{Pack, Value};
use crate::script::Script;
use crate::time::Timekeeper;
use crate::witness::{Counts, Met, Witness};
use crate::{
    beat, check, claim, control, db, enqueue, inspect, look, node, notify, settle, sweep, workers,
};

/// How long a clean stop waits for what runs beside the calls.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// A store in a Redis, which others may have open, too. Clones are the same store; the last one to
/// go closes it.
#[derive(Debug, Clone)]
pub struct RedisStore {
    inner: Arc<Inner>,
    /// What runs beside the calls holds `inner`, so something else has to notice the last clone.
    _last: Arc<Last>,
}

/// What all modules share.
pub(crate) struct Inner {
    pub(crate) db: Db,
    pub(crate) options: Options,
    /// What users' waits count on.
    pub(crate) clock: Arc<dyn Clock>,
    /// What pauses between two looks count on.
    pub(crate) pace: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// This server's name among those that have the store open.
    pub(crate) node: String,
    pub(crate) hub: Hub,
    pub(crate) claims: Claims,
    witness: Mutex<Witness>,
    pub(crate) time: Timekeeper,
    /// What an acknowledgement is worth.
    durability: Mutex<Durability>,
    closing: watch::Sender<bool>,
    beside: Mutex<JoinSet<()>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("options", &self.options).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Last(Arc<Inner>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.closing.send_replace(true);
        self.0.beside().abort_all();
    }
}

impl Inner {
    /// Calls a script that changes something, and tells whom it concerns what came of it.
    pub(crate) async fn write(&self, script: &Script, args: Pack) -> Result<Value> {
        self.write_with(script, args, Vec::new()).await.map(|(answer, _)| answer)
    }

    /// The same with more arguments, and with what follows the answer.
    pub(crate) async fn write_with(
        &self,
        script: &Script,
        args: Pack,
        more: Vec<Vec<u8>>,
    ) -> Result<(Value, Vec<Bytes>)> {
        let (answer, rest) = self.db.call_with(script, args, more).await?;
        let [answer, queues, workers, finished, next, met, seen] = answer.tuple()?;
        self.witness(met, seen)?;
        for queue in queues.list()? {
            self.hub.in_line(&QueueName::new(queue.text()?).map_err(Error::from)?);
        }
        for worker in workers.list()? {
            self.hub.news(&WorkerId::new(worker.text()?).map_err(Error::from)?);
        }
        if finished.bool()? {
            self.hub.finished();
        }
        if let Ok(millis) = next.count() {
            self.hub.due_in(Duration::from_millis(millis));
        }
        Ok((answer, rest))
    }

    /// Notices when Redis knows less than this server was told.
    fn witness(&self, met: Value, seen: Value) -> Result<()> {
        let (met, seen) = (Met::read(met)?, Counts::read(seen)?);
        let mut witness = self.witness.lock().unwrap_or_else(PoisonError::into_inner);
        let change = witness.hear(met, seen);
        drop(witness);
        if let Some(change) = change {
            change.tell(met.generation);
        }
        Ok(())
    }

    /// Calls a script that only looks.
    pub(crate) async fn read(&self, script: &Script, args: Pack) -> Result<Value> {
        self.db.call(script, args).await
    }

    /// Runs something beside the calls until it ends or the store is closed. What should end in
    /// good order looks at [`Inner::closing`].
    pub(crate) fn beside(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        self.beside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Becomes `true` when the store is to be closed.
    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    /// What an acknowledgement is worth.
    pub(crate) fn durability(&self) -> Durability {
        *self.durability.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is worth so much from now on.
    pub(crate) fn set_durability(&self, is: Durability) {
        let mut durability = self.durability.lock().unwrap_or_else(PoisonError::into_inner);
        let was = std::mem::replace(&mut *durability, is);
        if was != is {
            tracing::warn!(%was, %is, "what an acknowledgement is worth has changed");
        }
    }

    /// The store has to stop.
    pub(crate) fn fail(&self, fatal: Fatal) {
        tracing::error!("the store stops: {fatal}");
        self.db.failed.send_replace(Some(fatal));
    }

    /// A verb of a store that had to stop, or is closed, fails.
    fn check_open(&self) -> Result<()> {
        if let Some(fatal) = self.db.failed.borrow().as_ref() {
            return Err(Error::new(Code::Unavailable, format!("the store has stopped: {fatal}")));
        }
        if *self.closing.borrow() {
            return Err(Error::new(Code::Unavailable, "the store is closed"));
        }
        Ok(())
    }
}

impl RedisStore {
    /// Opens the store in a Redis; it is made if it is not there.
    ///
    /// # Errors
    /// Redis is away, or cannot be served as it is; the text says what to do.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let (db, info) = Db::connect(&options).await?;
        let durability = check::start(&db, &info, &options).await?;
        let node = format!("{:016x}", options.entropy.next_u64());
        let inner = Arc::new(Inner {
            db,
            clock: Arc::clone(&options.clock),
            pace: Arc::clone(&options.pace),
            entropy: Arc::clone(&options.entropy),
            node,
            hub: Hub::new(Arc::clone(&options.pace)),
            claims: Claims::default(),
            witness: Mutex::default(),
            time: Timekeeper::default(),
            durability: Mutex::new(durability),
            closing: watch::Sender::new(false),
            beside: Mutex::default(),
            options,
        });
        look::start_up(&inner).await?;
        node::arrive(&inner).await.map_err(OpenError::from_call)?;
        db::start(&inner);
        notify::start(&inner);
        claim::start(&inner);
        workers::start(&inner);
        node::start(&inner);
        look::start(&inner);
        Ok(Self { _last: Arc::new(Last(Arc::clone(&inner))), inner })
    }

    /// Stops in good order: what was claimed for nobody is given back, and other servers learn that
    /// this one is gone. Later calls fail.
    ///
    /// # Errors
    /// Redis is away: the others find out by themselves.
    pub async fn close(&self) -> Result<()> {
        if self.inner.closing.send_replace(true) {
            return Ok(());
        }
        let mut beside = std::mem::take(&mut *self.inner.beside());
        let ended = async { while beside.join_next().await.is_some() {} };
        tokio::select! {
            () = ended => {}
            () = self.inner.pace.sleep(CLOSE_WAIT) => {
                tracing::warn!("what ran beside the calls did not end in time");
            }
        }
        beside.abort_all();
        node::leave(&self.inner).await
    }

    /// Resolves when the store had to stop, with the reason. A store that is closed in good order
    /// never resolves it.
    pub fn failed(&self) -> impl Future<Output = Fatal> + Send + 'static {
        let mut failed = self.inner.db.failed.subscribe();
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

    /// What this server was told by Redis, and Redis does not know any more: it has failed over to
    /// a replica that missed it, or was restored. Others may have been told more.
    pub fn losses(&self) -> Counts {
        self.inner.witness.lock().unwrap_or_else(PoisonError::into_inner).lost()
    }

    /// Host, port, database and prefix, for messages.
    pub fn place(&self) -> String {
        self.inner.options.place()
    }
}

/// A call may carry so much and no more.
fn check_items(what: &str, count: usize) -> Result<()> {
    if count <= limits::ITEMS_MAX {
        return Ok(());
    }
    let message =
        format!("{count} {what} in one call; at most {} are allowed: split it", limits::ITEMS_MAX);
    Err(Error::new(Code::TooLarge, message))
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Queue for RedisStore {
    async fn enqueue(&self, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
        check_items("tasks", tasks.len())?;
        self.inner.check_open()?;
        enqueue::enqueue(&self.inner, tasks).await
    }

    async fn lease(&self, wants: Vec<Want>, wait: Duration) -> Result<Vec<Vec<Lease>>> {
        check_items("wants", wants.len())?;
        wants.iter().try_for_each(Want::check)?;
        self.inner.check_open()?;
        claim::lease(&self.inner, wants, wait.min(limits::WAIT_MAX)).await
    }

    async fn beat(&self, beats: Vec<Beat>) -> Result<Vec<BeatReply>> {
        check_items("beats", beats.len())?;
        check_items("leases", beats.iter().map(|beat| beat.leases.len()).sum())?;
        self.inner.check_open()?;
        beat::beat(&self.inner, beats).await
    }

    async fn watch(&self, worker: WorkerId, wait: Duration) -> Result<bool> {
        self.inner.check_open()?;
        workers::watch(&self.inner, worker, wait.min(limits::WAIT_MAX)).await
    }

    async fn settle(&self, ends: Vec<Settlement>) -> Result<Vec<Settled>> {
        check_items("settlements", ends.len())?;
        self.inner.check_open()?;
        settle::settle(&self.inner, ends).await
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            payload_bytes_max: self.inner.options.payload_bytes_max,
            ..Capabilities::full("redis", self.inner.durability())
        }
    }
}

#[async_trait]
impl Inspect for RedisStore {
    async fn get(
        &self,
        ids: Vec<TaskId>,
        include: Include,
        wait: Duration,
    ) -> Result<Vec<Option<TaskView>>> {
        check_items("ids", ids.len())?;
        self.inner.check_open()?;
        inspect::get(&self.inner, ids, include, wait.min(limits::WAIT_MAX)).await
    }

    async fn list(&self, filter: Filter, page: PageRequest) -> Result<Page> {
        self.inner.check_open()?;
        inspect::list(&self.inner, filter, page).await
    }

    async fn queues(&self) -> Result<Vec<QueueStats>> {
        self.inner.check_open()?;
        inspect::queues(&self.inner).await
    }

    async fn workers(&self) -> Result<Vec<WorkerView>> {
        self.inner.check_open()?;
        workers::workers(&self.inner).await
    }
}

#[async_trait]
impl Control for RedisStore {
    async fn cancel(&self, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
        check_items("ids", ids.len())?;
        self.inner.check_open()?;
        control::cancel(&self.inner, &ids).await
    }

    async fn rerun(&self, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
        check_items("ids", ids.len())?;
        self.inner.check_open()?;
        control::rerun(&self.inner, &ids).await
    }

    async fn delete(&self, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
        check_items("ids", ids.len())?;
        self.inner.check_open()?;
        control::delete(&self.inner, &ids).await
    }

    async fn configure(&self, queue: QueueName, patch: SettingsPatch) -> Result<QueueSettings> {
        self.inner.check_open()?;
        control::configure(&self.inner, &queue, &patch).await
    }

    async fn direct(&self, workers: Vec<WorkerId>, directive: Directive) -> Result<Vec<bool>> {
        check_items("workers", workers.len())?;
        self.inner.check_open()?;
        workers::direct(&self.inner, &workers, directive).await
    }
}

#[async_trait]
impl Maintain for RedisStore {
    async fn sweep(&self, budget: usize) -> Result<Swept> {
        self.inner.check_open()?;
        sweep::sweep(&self.inner, budget).await
    }
}
