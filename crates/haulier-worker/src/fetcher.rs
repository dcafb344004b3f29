//! Leases tasks for free slots and starts their attempts. It alone counts slots and owns what runs:
//! when it is dropped, so is every attempt, and the leases run out.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use haulier_core::limits::{ITEMS_MAX, WAIT_MAX};
use haulier_core::probe::planted;
use haulier_core::{Kind, Lease, Outcome, Result, Settlement, Want};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use crate::ctx::Ctx;
use crate::executor;
use crate::pause::Pause;
use crate::shared::{Phase, Shared, kept_until};
use crate::slots::{Ask, Slots};

/// Settlements that may wait for their answers, beyond which nothing more is leased.
const UNSETTLED_MAX: usize = 2 * ITEMS_MAX;
/// How long a call waits that leaves a queue out: its reserved slots must not idle for long.
const WAIT_PARTIAL: Duration = Duration::from_secs(1);

/// When to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// When told to.
    Told,
    /// When there is nothing left to do now.
    Idle,
}

/// A store that has nothing should wait; one that answers sooner than this is not asked without a
/// break.
const HASTE: Duration = Duration::from_millis(20);

type Call = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What a call brought.
struct Answer {
    ask: Ask,
    sent: Duration,
    leases: Result<Vec<Vec<Lease>>>,
}

struct Fetcher<'a> {
    shared: &'a Arc<Shared>,
    until: Until,
    kinds: Arc<[Kind]>,
    slots: Slots,
    calls: FuturesUnordered<Call>,
    /// Attempts; each tells the place of its queue when it ends.
    attempts: JoinSet<usize>,
    pause: Pause,
    /// Calls are not repeated before this.
    rest: Option<haulier_core::clock::Sleep>,
    /// The last call brought nothing, and nothing has happened since.
    dry: bool,
}

/// Fetches until told to drain, or until idle; then waits for what runs.
///
/// # Errors
/// What the store refuses for good, such as a token that is not valid, after what runs has ended.
pub(crate) async fn run(shared: &Arc<Shared>, until: Until) -> Result<()> {
    let mut phase = shared.phase.subscribe();
    let mut fetcher = Fetcher::new(shared, until);
    let mut failed = None;
    loop {
        let now = *phase.borrow_and_update();
        if fetcher.is_over(now) {
            return failed.map_or(Ok(()), Err);
        }
        match now {
            Phase::Run => fetcher.ask(),
            Phase::Quiet | Phase::Drain => fetcher.hang_up(),
        }
        if let Err(error) = fetcher.step(&mut phase).await {
            shared.drain();
            failed = Some(error);
        }
    }
}

impl<'a> Fetcher<'a> {
    fn new(shared: &'a Arc<Shared>, until: Until) -> Self {
        Self {
            shared,
            until,
            kinds: shared.handlers.kinds().into(),
            slots: Slots::new(&shared.settings),
            calls: FuturesUnordered::new(),
            attempts: JoinSet::new(),
            pause: Pause::default(),
            rest: None,
            dry: false,
        }
    }

    fn is_over(&self, phase: Phase) -> bool {
        // A call that is still out may bring tasks of other queues than the one that was dry.
        let dry = self.dry && self.calls.is_empty();
        let idle = self.until == Until::Idle && dry && self.shared.held.unsettled() == 0;
        self.attempts.is_empty() && (phase == Phase::Drain || idle)
    }

    /// Waits for one thing to happen, and deals with it.
    async fn step(&mut self, phase: &mut watch::Receiver<Phase>) -> Result<()> {
        tokio::select! {
            // In a fixed order, so that a seed repeats a run.
            biased;
            // The sender lives as long as the worker.
            changed = phase.changed() => drop(changed),
            // What was settled may be available again.
            () = self.shared.settler.answered.notified() => self.dry = false,
            Some(ended) = self.attempts.join_next() => self.ended(ended),
            () = rested(&mut self.rest) => self.rest = None,
            Some(answer) = self.calls.next() => return self.answered(answer),
        }
        Ok(())
    }

    /// Makes the calls that are worth making now.
    fn ask(&mut self) {
        let waits = self.until == Until::Idle && self.dry;
        if self.rest.is_some() || waits {
            return;
        }
        let room = UNSETTLED_MAX.saturating_sub(self.shared.held.unsettled()).min(ITEMS_MAX);
        while let Some(ask) = self.slots.ask(u32::try_from(room).unwrap_or(u32::MAX)) {
            self.calls.push(self.call(ask));
        }
    }

    fn call(&self, ask: Ask) -> Call {
        // A lease is safe from when the call was sent, not from when it was answered: a call that
        // waits as long as a ttl would bring leases that are over already.
        let longest = WAIT_MAX.min(self.shared.settings.ttl / 3);
        let wait = match (self.until, ask.complete) {
            (Until::Idle, _) => Duration::ZERO,
            (Until::Told, true) => longest,
            (Until::Told, false) => longest.min(WAIT_PARTIAL),
        };
        let want = Want {
            worker: self.shared.id.clone(),
            queues: ask.wanted(&self.shared.settings).into(),
            kinds: Arc::clone(&self.kinds),
            max: ask.max,
            ttl: self.shared.settings.ttl,
        };
        let (queue, sent) = (Arc::clone(&self.shared.link.queue), self.shared.now());
        Box::pin(async move { Answer { leases: queue.lease(vec![want], wait).await, ask, sent } })
    }

    /// Calls that are out are dropped: a store that notices gives back what it claimed for them.
    fn hang_up(&mut self) {
        if !self.calls.is_empty() {
            self.calls.clear();
            self.slots.hang_up();
        }
    }

    fn answered(&mut self, answer: Answer) -> Result<()> {
        let Answer { ask, sent, leases } = answer;
        self.slots.answered(&ask);
        let sent = if planted("deadline-from-reply") { self.shared.now() } else { sent };
        match leases {
            Ok(leases) => {
                self.pause.reset();
                let leases: Vec<Lease> = leases.into_iter().flatten().collect();
                self.dry = leases.is_empty();
                let hasty = self.shared.now().saturating_sub(sent) < HASTE;
                if self.dry && hasty && self.until == Until::Told {
                    self.rest = Some(self.shared.link.clock.sleep(HASTE));
                }
                for lease in leases {
                    self.start(lease, sent);
                }
                Ok(())
            }
            Err(error) if error.is_retryable() => {
                let wait = self.pause.next(&error, &*self.shared.link.entropy);
                tracing::warn!(
                    target: "haulier::worker", worker = %self.shared.id, code = %error.code(),
                    "leasing failed, and is repeated: {error:#}"
                );
                self.rest = Some(self.shared.link.clock.sleep(wait));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Starts an attempt.
    fn start(&mut self, lease: Lease, sent: Duration) {
        let shared = self.shared;
        let queues = &shared.settings.queues;
        let (kept_until, renew_at) = (kept_until(sent, lease.ttl), sent + lease.ttl / 3);
        let place = queues.iter().position(|(queue, _)| *queue == lease.task.queue);
        let ctx = Ctx::new(
            lease,
            Arc::clone(&shared.states),
            Arc::clone(&shared.link.clock),
            Some(Arc::clone(&shared.held)),
        );
        shared.held.insert(ctx.clone(), kept_until, renew_at);
        let in_time = shared.now() < kept_until;
        let Some(place) = place.filter(|_| in_time) else {
            // The store gave what was not asked for, or its answer came when somebody else might
            // have the task already.
            shared.held.settling(ctx.key());
            let release = Settlement { key: ctx.key(), outcome: Outcome::Release };
            return shared.settler.push(release);
        };
        self.slots.take(place);
        let shared = Arc::clone(shared);
        self.attempts.spawn(async move {
            executor::attempt(shared, ctx).await;
            place
        });
    }

    /// Frees the slots of every attempt that has ended by now, so that one call asks for them all.
    fn ended(&mut self, first: Result<usize, JoinError>) {
        self.dry = false;
        let mut next = Some(first);
        while let Some(ended) = next {
            match ended {
                Ok(place) => self.slots.free(place),
                // Handlers' panics are caught: this is a defect of the worker, and must not be
                // hidden.
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(error) => tracing::error!("an attempt was aborted: {error}"),
                },
            }
            next = self.attempts.try_join_next();
        }
    }
}

async fn rested(rest: &mut Option<haulier_core::clock::Sleep>) {
    match rest {
        Some(rest) => rest.await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use haulier_core::{ManualClock, NewTask, Payload, Queue, SeededEntropy, TaskId};
    use haulier_memory::MemoryStore;

    use super::*;
    use crate::{Link, Raw, TaskError, Worker};

    #[tokio::test]
    async fn a_worker_is_not_idle_while_a_call_is_out_although_the_last_one_brought_nothing() {
        let clock = Arc::new(ManualClock::new());
        let link = Link {
            queue: Arc::new(MemoryStore::new(clock.clone())),
            clock,
            entropy: Arc::new(SeededEntropy::from_u64(1)),
        };
        let handler = async |_: Raw| Ok::<_, TaskError>(None);
        let worker = Worker::new(link).register_raw(None, handler);
        let shared = Arc::new(worker.start().unwrap());
        let mut fetcher = Fetcher::new(&shared, Until::Idle);
        fetcher.dry = true;
        assert!(fetcher.is_over(Phase::Run));
        fetcher.calls.push(Box::pin(std::future::pending()));
        assert!(!fetcher.is_over(Phase::Run), "it may bring tasks of another queue");
        assert!(fetcher.is_over(Phase::Drain), "nobody waits for it at the end");
    }

    #[tokio::test]
    async fn a_lease_whose_answer_came_when_another_may_have_the_task_is_handed_back_unstarted() {
        let clock = Arc::new(ManualClock::new());
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let link = Link {
            queue: store.clone(),
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::from_u64(1)),
        };
        let handler = async |_: Raw| Ok::<_, TaskError>(None);
        let worker = Worker::new(link).register_raw(None, handler);
        let shared = Arc::new(worker.start().unwrap());
        let id = TaskId::generate(&*clock, &*shared.link.entropy);
        let task = NewTask::new(id, Kind::new("k").unwrap(), Payload::json("1"));
        store.enqueue(vec![task]).await.unwrap();
        let mut fetcher = Fetcher::new(&shared, Until::Told);
        fetcher.ask();
        let answer = fetcher.calls.next().await.unwrap();
        clock.advance(shared.settings.ttl * 9 / 10);
        fetcher.answered(answer).unwrap();
        assert!(fetcher.attempts.is_empty(), "I11: nothing begins");
        assert_eq!(shared.held.unsettled(), 1, "it is released");
    }
}
