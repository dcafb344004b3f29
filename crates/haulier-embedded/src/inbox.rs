//! The way from callers to the engine's thread. Calls are bounded by their bytes; reports of the
//! writer and alarms of the clock are few and always get through. The engine's thread blocks here
//! and nowhere else.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use haulier_core::clock::Sleep;
use haulier_core::probe::planted;
use haulier_core::{Error, Result, TaskId, Timestamp, Want, WorkerId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::engine::{Command, Granted, Reply};
use crate::log::Files;
use crate::log::pin::Pinned;
use crate::log::writer::Written;
use crate::sync::{Condvar, Mutex};

/// Kilobytes of calls that may wait; beyond it callers wait in turn.
const KILOBYTES_MAX: usize = 256 * 1024;

/// What a caller gets.
#[derive(Debug)]
pub enum Answered {
    /// The engine's reply, with the files in which its parts stand.
    Reply(Reply, Arc<Files>),
    /// Leases, with the files in which their tasks stand.
    Leases(Vec<Vec<Granted>>, Arc<Files>),
    /// Whether there was something.
    Noted(bool),
    /// The log as it is, the generation, and the store's time.
    Pinned(Pinned, u32, Timestamp),
}

/// Where the answer goes.
pub type Reception = oneshot::Sender<Result<Answered>>;

/// What a caller asks.
#[derive(Debug)]
pub enum Ask {
    /// To carry a command out.
    Command(Command),
    /// For tasks, waiting for them.
    Lease(Vec<Want>, Duration),
    /// For tasks that are final, waiting for it.
    Get(Vec<TaskId>, Duration),
    /// For news for a worker, waiting for it.
    Watch(WorkerId, Duration),
    /// To hold what is durable, for a backup.
    Pin,
    /// To stop in good order.
    Close,
}

/// A call.
#[derive(Debug)]
pub struct Call {
    /// What is asked.
    pub ask: Ask,
    /// Where the answer goes.
    pub reply: Reception,
    _room: Option<OwnedSemaphorePermit>,
}

#[derive(Debug, Default)]
struct Waiting {
    calls: VecDeque<Call>,
    reports: Vec<Written>,
    rung: bool,
    closed: bool,
}

/// The inbox of one engine.
#[derive(Debug)]
pub struct Inbox {
    waiting: Mutex<Waiting>,
    came: Condvar,
    room: Arc<Semaphore>,
}

impl Wake for Inbox {
    /// The clock's alarm.
    fn wake(self: Arc<Self>) {
        self.waiting.lock().rung = true;
        self.came.notify_one();
    }
}

impl Inbox {
    /// An empty inbox.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::default(),
            came: Condvar::new(),
            room: Arc::new(Semaphore::new(KILOBYTES_MAX)),
        })
    }

    /// Asks the engine and waits for the answer. `bytes` is how much the call holds, about.
    ///
    /// # Errors
    /// The engine's, or that it has stopped.
    pub async fn ask(&self, ask: Ask, bytes: usize) -> Result<Answered> {
        let kilobytes = match bytes / 1024 + 1 {
            _ if planted("endless-inbox") => 0,
            kilobytes => kilobytes.min(KILOBYTES_MAX),
        };
        let permits = u32::try_from(kilobytes).unwrap_or(1);
        let room = Arc::clone(&self.room).acquire_many_owned(permits).await;
        let room = room.map_err(|_| stopped())?;
        let (reply, answer) = oneshot::channel();
        if !self.post(Call { ask, reply, _room: Some(room) }) {
            return Err(stopped());
        }
        answer.await.unwrap_or_else(|_| Err(unanswered()))
    }

    /// Asks the engine to stop, whether or not there is room; the answer comes when it has.
    pub fn ask_to_close(&self) -> Option<oneshot::Receiver<Result<Answered>>> {
        let (reply, answer) = oneshot::channel();
        self.post(Call { ask: Ask::Close, reply, _room: None }).then_some(answer)
    }

    fn post(&self, call: Call) -> bool {
        if planted("wake-lost") {
            self.came.notify_one();
        }
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return false;
        }
        waiting.calls.push_back(call);
        drop(waiting);
        if !planted("wake-lost") {
            self.came.notify_one();
        }
        true
    }

    /// The writer's report on a job.
    pub fn report(&self, written: Written) {
        self.waiting.lock().reports.push(written);
        self.came.notify_one();
    }

    /// Waits until something comes, at the longest until the alarm rings, and takes it. Calls stay
    /// in the inbox unless the engine wants them.
    pub fn take(
        self: &Arc<Self>,
        alarm: Option<&mut Sleep>,
        wants_calls: bool,
        may_block: bool,
    ) -> (Vec<Written>, VecDeque<Call>) {
        let waker = Waker::from(Arc::clone(self));
        let rings = alarm.is_some_and(|alarm| {
            alarm.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Ready(())
        });
        let mut waiting = self.waiting.lock();
        loop {
            let called = wants_calls && !waiting.calls.is_empty();
            let came = called || rings || waiting.rung || !waiting.reports.is_empty();
            if came || !may_block {
                break;
            }
            self.came.wait(&mut waiting);
        }
        waiting.rung = false;
        let calls = if wants_calls { std::mem::take(&mut waiting.calls) } else { VecDeque::new() };
        (std::mem::take(&mut waiting.reports), calls)
    }

    /// Whether there is something to take.
    pub fn has_news(&self, wants_calls: bool) -> bool {
        let waiting = self.waiting.lock();
        !waiting.reports.is_empty() || (wants_calls && !waiting.calls.is_empty())
    }

    /// Takes no more calls, and returns those that are waiting.
    pub fn close(&self) -> VecDeque<Call> {
        self.room.close();
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        std::mem::take(&mut waiting.calls)
    }
}

/// The engine went down without an answer, which only a defect makes it do.
pub fn unanswered() -> Error {
    Error::new(
        haulier_core::Code::UnknownOutcome,
        "the store stopped before it answered: this may or may not have happened; open it again \
         and repeat it with the same ids",
    )
}

/// The store is closed, or had to stop.
pub fn stopped() -> Error {
    Error::new(
        haulier_core::Code::Unavailable,
        "the store has stopped; nothing of this call was done: open it again",
    )
}

#[cfg(all(test, not(loom)))]
mod bound;
#[cfg(all(test, loom))]
mod tests;
