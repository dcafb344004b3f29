//! The one beat loop of a worker: every third of the ttl it renews all leases in one call; without
//! leases it only shows now and then that it lives. In between it sends what cannot wait
//! (checkpoints, and progress now and then), and beats at once when the store has news. A beat that
//! is not answered in time is given up and sent again; the leases' own deadlines, which the warden
//! keeps, do not wait for it.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use haulier_core::limits::{BEAT_IDLE, WAIT_MAX};
use haulier_core::probe::planted;
use haulier_core::{Beat, BeatReply, Code, Error, LeaseBeat, Queue, Result, WorkerAbout, WorkerId};

use crate::pause::Pause;
use crate::shared::{Shared, kept_until};

struct Keeper<'a> {
    shared: &'a Shared,
    /// When all leases are renewed next.
    next: Duration,
    /// Told until the store has answered once.
    about: Option<Arc<WorkerAbout>>,
    pause: Pause,
}

/// Beats for ever.
pub(crate) async fn run(shared: &Shared) {
    let about = Some(Arc::new(shared.about()));
    let mut keeper = Keeper { shared, next: shared.now(), about, pause: Pause::default() };
    let mut news = watch(shared);
    loop {
        let heard = tokio::select! {
            biased;
            () = keeper.due() => false,
            heard = &mut news => {
                // What was heard is read by the beat below; only then is it worth listening again.
                keeper.next = if heard { shared.now() } else { keeper.next };
                true
            }
        };
        if keeper.is_due() {
            keeper.beat().await;
        }
        if heard {
            news = watch(shared);
        }
    }
}

impl Keeper<'_> {
    /// Waits until something is to be sent.
    async fn due(&self) {
        loop {
            let flush = self.shared.held.flush.notified();
            let flush_at = self.shared.held.flush_at();
            let next = self.next();
            let at = flush_at.map_or(next, |at| at.min(next));
            let wait = at.saturating_sub(self.shared.now());
            if wait.is_zero() {
                return;
            }
            tokio::select! {
                biased;
                () = self.shared.link.clock.sleep(wait) => return,
                () = flush => {}
            }
        }
    }

    /// When the next beat of all is due: a lease that comes to an idle worker brings it forward.
    fn next(&self) -> Duration {
        self.shared.held.renew_at().map_or(self.next, |at| at.min(self.next))
    }

    fn is_due(&self) -> bool {
        let now = self.shared.now();
        now >= self.next() || self.shared.held.flush_at().is_some_and(|at| now >= at)
    }

    /// Sends what is due: all leases, or those with news only.
    async fn beat(&mut self) {
        let sent = self.shared.now();
        let every = sent >= self.next();
        let third = self.shared.settings.ttl / 3;
        let mut slices = self.shared.held.beats(every, sent);
        if slices.is_empty() && every {
            // An idle worker is alive, too.
            slices.push(Vec::new());
        }
        for slice in slices {
            let sent = self.shared.now();
            match self.send(&slice, third).await {
                Ok(reply) => self.answered(&slice, &reply, sent),
                Err(error) => return self.unanswered(&error),
            }
        }
        self.pause.reset();
        if every {
            let idle = self.shared.held.is_empty();
            self.next = sent + if idle { BEAT_IDLE.max(third) } else { third };
        }
    }

    async fn send(&self, leases: &[LeaseBeat], patience: Duration) -> Result<BeatReply> {
        let beat = Beat {
            worker: self.shared.id.clone(),
            about: self.about.clone(),
            ttl: self.shared.settings.ttl,
            leases: leases.to_vec(),
        };
        let unanswered = Error::new(Code::UnknownOutcome, "the beat was not answered in time");
        let mut replies = tokio::select! {
            biased;
            replies = self.shared.queue().beat(vec![beat]) => replies?,
            () = self.shared.link.clock.sleep(patience) => return Err(unanswered),
        };
        replies.pop().ok_or_else(|| Error::internal("the store gave no answer to a beat"))
    }

    fn answered(&mut self, leases: &[LeaseBeat], reply: &BeatReply, sent: Duration) {
        self.about = None;
        let sent = if planted("deadline-from-reply") { self.shared.now() } else { sent };
        let kept_until = kept_until(sent, self.shared.settings.ttl);
        self.shared.held.answered(leases, &reply.held, kept_until, self.shared.now());
        self.shared.direct(reply.directive);
    }

    fn unanswered(&mut self, error: &Error) {
        let wait = self.pause.next(error, &*self.shared.link.entropy);
        let again = self.shared.now() + wait.min(self.shared.settings.ttl / 3);
        tracing::warn!(
            target: "haulier::worker", worker = %self.shared.id, code = %error.code(),
            "beating failed, and is repeated: {error:#}"
        );
        // The store may be another one by now, which does not know the worker.
        self.about = Some(Arc::new(self.shared.about()));
        self.next = again;
        self.shared.held.unanswered(again);
    }
}

type News = Pin<Box<dyn Future<Output = bool> + Send>>;

/// Listens for something that the worker should know before its next beat.
fn watch(shared: &Shared) -> News {
    let (queue, clock) = (Arc::clone(&shared.link.queue), Arc::clone(&shared.link.clock));
    let (worker, ttl) = (shared.id.clone(), shared.settings.ttl);
    Box::pin(async move {
        if let Some(heard) = listen(&*queue, worker).await {
            return heard;
        }
        // Without hints, the beats alone tell: cancelling takes up to a third of the ttl.
        clock.sleep(ttl / 3).await;
        false
    })
}

/// `None` if the store cannot tell for now, or ever.
async fn listen(queue: &dyn Queue, worker: WorkerId) -> Option<bool> {
    match queue.watch(worker, WAIT_MAX).await {
        Ok(heard) => Some(heard),
        Err(error) if error.code() == Code::NotSupported => pending().await,
        Err(_) => None,
    }
}
