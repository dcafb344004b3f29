//! The claimer: it alone leases for the streams of this server. Wants that wait are gathered into
//! one call, so that the store can share scarce tasks out over all of them; a want is in one call
//! at a time.
//!
//! It never polls: a call waits in the store. It is made anew every sixth of the shortest ttl in
//! it, so that the frame from which a worker counts its lease (`seen`, noted when the call is
//! made) is young. A want that is taken back ends its call, and the others of that call are asked
//! for again at once.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use haulier_core::{Error, Lease, Result, Store, Want, limits};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::grpc::release;

/// Wants that may wait to be read.
const WAITING_MAX: usize = 1024;

/// One credit of one stream: the session's number, and the worker's number of it.
pub(super) type Credit = (u64, u64);

/// A want of a stream. It is answered exactly once.
pub(super) struct Ask {
    pub credit: Credit,
    pub want: Want,
    /// The last frame of the worker that its session has handled.
    pub seen: Arc<AtomicU64>,
    /// Where the answer goes; it has room for every credit of the session.
    pub to: mpsc::Sender<Claimed>,
}

/// What became of a want.
pub(super) struct Claimed {
    pub credit: Credit,
    pub leases: Result<Vec<Lease>>,
    /// The worker's frame from which it counts these leases.
    pub seen: u64,
}

enum Message {
    Ask(Ask),
    Withdraw(Credit),
}

/// The claimer, as sessions see it. It ends with the last of them.
#[derive(Clone)]
pub(in crate::grpc) struct Claims(mpsc::Sender<Message>);

impl Claims {
    pub fn start(store: Arc<dyn Store>) -> Self {
        let (sender, messages) = mpsc::channel(WAITING_MAX);
        let claimer = Claimer {
            store,
            waiting: Vec::new(),
            calls: FuturesUnordered::new(),
            out: HashMap::new(),
            call_of: HashMap::new(),
            last: 0,
        };
        tokio::spawn(claimer.run(messages));
        Self(sender)
    }

    /// Leases for a want, however long it takes.
    pub(super) async fn ask(&self, ask: Ask) {
        // The claimer outlives its senders.
        drop(self.0.send(Message::Ask(ask)).await);
    }

    /// Takes a want back: it is answered soon, mostly with nothing.
    pub(super) async fn withdraw(&self, credit: Credit) {
        drop(self.0.send(Message::Withdraw(credit)).await);
    }
}

type Answers = Option<Result<Vec<Vec<Lease>>>>;
type Call = Pin<Box<dyn Future<Output = (u64, Answers)> + Send>>;

struct Claimer {
    store: Arc<dyn Store>,
    /// Wants that no call is out for.
    waiting: Vec<Ask>,
    calls: FuturesUnordered<Call>,
    out: HashMap<u64, Out>,
    call_of: HashMap<Credit, u64>,
    last: u64,
}

/// A call that is out.
struct Out {
    /// Each with its worker's `seen` when the call was made.
    asks: Vec<(Ask, u64)>,
    withdrawn: HashSet<Credit>,
    hang_up: CancellationToken,
}

impl Claimer {
    async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        loop {
            self.call();
            tokio::select! {
                message = messages.recv() => {
                    let Some(message) = message else { return };
                    self.take(message);
                    // Wants that came together are asked for together.
                    while let Ok(message) = messages.try_recv() {
                        self.take(message);
                    }
                }
                Some((call, answers)) = self.calls.next() => self.answered(call, answers),
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Ask(ask) => self.waiting.push(ask),
            Message::Withdraw(credit) => self.withdraw(credit),
        }
    }

    fn withdraw(&mut self, credit: Credit) {
        if let Some(at) = self.waiting.iter().position(|ask| ask.credit == credit) {
            let ask = self.waiting.swap_remove(at);
            let seen = ask.seen.load(Ordering::Acquire);
            self.give(&ask, Ok(Vec::new()), seen);
        } else if let Some(out) = self.call_of.get(&credit).and_then(|call| self.out.get_mut(call))
        {
            out.withdrawn.insert(credit);
            out.hang_up.cancel();
        }
    }

    /// Asks the store for all that waits.
    fn call(&mut self) {
        while !self.waiting.is_empty() {
            let rest = self.waiting.split_off(self.waiting.len().min(limits::ITEMS_MAX));
            let asks = std::mem::replace(&mut self.waiting, rest);
            self.last += 1;
            let call = self.last;
            let wants: Vec<Want> = asks.iter().map(|ask| ask.want.clone()).collect();
            let wait = wants.iter().map(|want| want.ttl / 6).min().unwrap_or(Duration::ZERO);
            let asks = asks.into_iter().map(|ask| {
                self.call_of.insert(ask.credit, call);
                let seen = ask.seen.load(Ordering::Acquire);
                (ask, seen)
            });
            let asks = asks.collect();
            let hang_up = CancellationToken::new();
            let out = Out { asks, withdrawn: HashSet::new(), hang_up: hang_up.clone() };
            self.out.insert(call, out);
            let store = Arc::clone(&self.store);
            self.calls.push(Box::pin(async move {
                tokio::select! {
                    // What the store has granted is taken, also from a call that is given up.
                    biased;
                    answers = store.lease(wants, wait.min(limits::WAIT_MAX)) => {
                        (call, Some(answers))
                    }
                    () = hang_up.cancelled() => (call, None),
                }
            }));
        }
    }

    fn answered(&mut self, call: u64, answers: Answers) {
        let Some(Out { asks, withdrawn, .. }) = self.out.remove(&call) else { return };
        let mut answers = match answers {
            Some(Ok(answers)) if answers.len() == asks.len() => Ok(answers),
            Some(Ok(_)) => Err(Error::internal("the store did not answer every want")),
            Some(Err(error)) => Err(error),
            None => Ok(vec![Vec::new(); asks.len()]),
        };
        for (at, (ask, seen)) in asks.into_iter().enumerate() {
            self.call_of.remove(&ask.credit);
            match &mut answers {
                Ok(answers) => {
                    let leases = std::mem::take(&mut answers[at]);
                    if leases.is_empty() && !withdrawn.contains(&ask.credit) {
                        self.waiting.push(ask);
                    } else {
                        self.give(&ask, Ok(leases), seen);
                    }
                }
                Err(error) => self.give(&ask, Err(error.clone()), seen),
            }
        }
    }

    /// Answers a want. What a session that is gone cannot take is handed back.
    fn give(&self, ask: &Ask, leases: Result<Vec<Lease>>, seen: u64) {
        let claimed = Claimed { credit: ask.credit, leases, seen };
        let Err(back) = ask.to.try_send(claimed) else { return };
        let Ok(leases) = back.into_inner().leases else { return };
        if !leases.is_empty() {
            let store = Arc::clone(&self.store);
            let keys = leases.iter().map(|lease| lease.key).collect();
            tokio::spawn(async move { release(&*store, keys).await });
        }
    }
}
