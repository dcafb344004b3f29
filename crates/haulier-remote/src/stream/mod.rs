//! The streams of this process's workers, one a worker, each opened by the first call that waits
//! for tasks and kept by an actor of its own: it reconnects, sends again what was not answered,
//! and ends when nothing has been asked of it for a while.
//!
//! | where | what |
//! |---|---|
//! | [`actor`] | the actor: what is asked for, what is not answered yet |
//! | [`live`] | one connection's frames, numbered and timed |
//! | [`desk`] | what callers and the actor share: what is held, what is given back |
//! | [`news`] | what a worker should know before its next beat |
//! | [`pending`] | what was asked for and has no answer yet |
//! | [`waiting`] | a caller that waits for tasks |
//! | [`size`] | how many bytes an item takes at most |

mod actor;
mod desk;
mod live;
mod news;
mod pending;
pub(crate) mod size;
mod waiting;

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use haulier_core::{
    Beat, BeatReply, Code, Error, Lease, Result, Settled, Settlement, Want, WorkerId,
};
use tokio::sync::{mpsc, oneshot};

use crate::net::Net;
use actor::{Actor, Command};
use desk::Desk;
pub(crate) use news::News;
use waiting::Waiting;

/// Commands that may wait to be read by an actor.
const COMMANDS_MAX: usize = 64;

/// The streams of all workers of this client.
#[derive(Debug)]
pub(crate) struct Streams {
    net: Arc<Net>,
    table: Mutex<HashMap<WorkerId, Entry>>,
}

#[derive(Debug, Default)]
struct Entry {
    news: Arc<News>,
    stream: Option<Stream>,
}

/// A worker's stream, as callers see it.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    commands: mpsc::Sender<Command>,
    desk: Arc<Desk>,
}

/// Settlements, parted by the stream that they belong to; each with its place in the call.
pub(crate) struct Parts {
    pub count: usize,
    pub ways: Vec<(Option<Stream>, Vec<usize>, Vec<Settlement>)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Streams {
    pub fn new(net: Arc<Net>) -> Self {
        Self { net, table: Mutex::default() }
    }

    /// The worker's stream, if it has one.
    pub fn get(&self, worker: &WorkerId) -> Option<Stream> {
        let table = lock(&self.table);
        let stream = table.get(worker)?.stream.as_ref()?;
        (!stream.commands.is_closed()).then(|| stream.clone())
    }

    pub fn has(&self, worker: &WorkerId) -> bool {
        self.get(worker).is_some()
    }

    /// Where the worker's news is told.
    pub fn news(&self, worker: &WorkerId) -> Arc<News> {
        let mut table = lock(&self.table);
        Arc::clone(&table.entry(worker.clone()).or_default().news)
    }

    /// Ends all streams that nobody is waiting for.
    pub fn close(&self) {
        lock(&self.table).clear();
    }

    fn open(&self, worker: &WorkerId) -> Stream {
        let mut table = lock(&self.table);
        // Workers that are gone leave nothing behind.
        table.retain(|_, entry| {
            let open = entry.stream.as_ref().is_some_and(|stream| !stream.commands.is_closed());
            open || Arc::strong_count(&entry.news) > 1
        });
        let entry = table.entry(worker.clone()).or_default();
        match &entry.stream {
            Some(stream) if !stream.commands.is_closed() => stream.clone(),
            _ => {
                let (commands, read) = mpsc::channel(COMMANDS_MAX);
                let desk = Arc::new(Desk::default());
                let actor = Actor::new(
                    Arc::clone(&self.net),
                    worker.clone(),
                    Arc::clone(&desk),
                    Arc::clone(&entry.news),
                    read,
                );
                tokio::spawn(actor.run());
                entry.stream.insert(Stream { commands, desk }).clone()
            }
        }
    }

    /// Waits for tasks. If the caller goes away, what comes for it is handed back.
    pub async fn lease(&self, mut want: Want, wait: Duration) -> Result<Vec<Lease>> {
        loop {
            let stream = self.open(&want.worker);
            let (reply, answer) = oneshot::channel();
            let number = stream.desk.number();
            let given_up = Arc::<AtomicBool>::default();
            let told = Arc::clone(&given_up);
            let command = Command::Credit { number, want, reply, given_up: told };
            match stream.commands.send(command).await {
                Ok(()) => {
                    let desk = Arc::clone(&stream.desk);
                    let mut waiting = Waiting::new(desk, number, answer, given_up);
                    return waiting.until(&*self.net.clock, wait).await;
                }
                // It ended this moment, for nothing had been asked of it: the next one is new.
                Err(mpsc::error::SendError(Command::Credit { want: back, .. })) => want = back,
                Err(_) => return Err(Error::internal("a stream gave another command back")),
            }
        }
    }

    /// Parts settlements by the stream that delivered their leases.
    pub fn part(&self, ends: Vec<Settlement>) -> Parts {
        let mut parts = Parts { count: ends.len(), ways: Vec::new() };
        let streams: Vec<Stream> = {
            let table = lock(&self.table);
            table.values().filter_map(|entry| entry.stream.clone()).collect()
        };
        // Mostly all of them are of one stream.
        if let Some(stream) = streams.iter().find(|stream| stream.desk.holds_all(&ends)) {
            parts.ways.push((Some(stream.clone()), (0..parts.count).collect(), ends));
            return parts;
        }
        let mut rest: Vec<(usize, Settlement)> = ends.into_iter().enumerate().collect();
        let mut none = (None, Vec::new(), Vec::new());
        while let Some((_, first)) = rest.first() {
            let stream = streams.iter().find(|stream| stream.desk.holds(first.key));
            let Some(stream) = stream else {
                let (place, end) = rest.remove(0);
                none.1.push(place);
                none.2.push(end);
                continue;
            };
            let (own, others) = stream.desk.part(rest);
            let (places, ends) = own.into_iter().unzip();
            parts.ways.push((Some(stream.clone()), places, ends));
            rest = others;
        }
        if !none.1.is_empty() {
            parts.ways.push(none);
        }
        parts
    }
}

impl Stream {
    /// Settles on the stream.
    ///
    /// # Errors
    /// Outside, the settlements, if the stream has ended; inside, what became of them.
    pub async fn settle(
        &self,
        ends: Vec<Settlement>,
    ) -> Result<Result<Vec<Settled>>, Vec<Settlement>> {
        let (reply, answer) = oneshot::channel();
        match self.commands.send(Command::Settle { ends, reply }).await {
            Ok(()) => Ok(answer.await.unwrap_or_else(|_| Err(ended()))),
            Err(mpsc::error::SendError(Command::Settle { ends, .. })) => Err(ends),
            Err(_) => Ok(Err(ended())),
        }
    }

    /// Beats on the stream.
    ///
    /// # Errors
    /// Outside, the beat, if the stream has ended; inside, what became of it.
    pub async fn beat(&self, beat: Beat) -> Result<Result<BeatReply>, Beat> {
        let (reply, answer) = oneshot::channel();
        match self.commands.send(Command::Beat { beat, reply }).await {
            Ok(()) => Ok(answer.await.unwrap_or_else(|_| Err(ended()))),
            Err(mpsc::error::SendError(Command::Beat { beat, .. })) => Err(beat),
            Err(_) => Ok(Err(ended())),
        }
    }
}

/// What is told to a caller whose stream ended under it.
fn ended() -> Error {
    Error::new(Code::UnknownOutcome, "the worker's stream ended; the same call may be repeated")
}
