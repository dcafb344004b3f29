//! What the loops of one running worker share. Each loop owns what it alone changes; here is only
//! what several read, and the phase that they all follow.

use std::sync::Arc;
use std::time::Duration;

use haulier_core::{Directive, Queue, QueueName, WorkerAbout, WorkerId};
use tokio::sync::watch;

use crate::held::Held;
use crate::link::Link;
use crate::registry::Handlers;
use crate::settler::Settler;
use crate::states::States;

/// How a worker is set up.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Queues, each with the most that may run from it at a time.
    pub queues: Vec<(QueueName, Option<u32>)>,
    /// The most that may run at a time.
    pub concurrency: u32,
    /// What a lease lasts without a beat.
    pub ttl: Duration,
    /// How long handlers may go on once the worker shall stop.
    pub drain_limit: Duration,
}

/// How far a worker is in its life. It only goes on, but for `Run` and `Quiet`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Leases and runs.
    Run,
    /// Leases nothing, until told to run again.
    Quiet,
    /// Leases nothing and ends once its handlers have.
    Drain,
}

pub(crate) struct Shared {
    pub id: WorkerId,
    pub link: Link,
    pub settings: Settings,
    pub states: Arc<States>,
    pub handlers: Handlers,
    pub held: Arc<Held>,
    pub settler: Settler,
    pub phase: watch::Sender<Phase>,
}

/// Until when a lease is safe whose request was sent at `sent`: a tenth less than its ttl, for what
/// two clocks may differ and a handler's last write may take.
pub(crate) fn kept_until(sent: Duration, ttl: Duration) -> Duration {
    sent.saturating_add(ttl * 9 / 10)
}

impl Shared {
    pub fn queue(&self) -> &dyn Queue {
        &*self.link.queue
    }

    pub fn now(&self) -> Duration {
        self.link.clock.monotonic()
    }

    /// Follows what operators want.
    pub fn direct(&self, directive: Directive) {
        let wanted = match directive {
            Directive::Run => Phase::Run,
            Directive::Quiet => Phase::Quiet,
            Directive::Stop => Phase::Drain,
        };
        self.phase.send_if_modified(|phase| {
            let changes = *phase != wanted && *phase != Phase::Drain;
            if changes {
                tracing::info!(
                    target: "haulier::worker", worker = %self.id,
                    "told to {}", directive.as_str()
                );
                *phase = wanted;
            }
            changes
        });
    }

    /// Has the worker end once its handlers have.
    pub fn drain(&self) {
        self.direct(Directive::Stop);
    }

    /// What the worker tells of itself.
    pub fn about(&self) -> WorkerAbout {
        WorkerAbout {
            version: concat!("haulier-rust/", env!("CARGO_PKG_VERSION")).to_owned(),
            queues: self.settings.queues.iter().map(|(queue, _)| queue.clone()).collect(),
            kinds: self.handlers.kinds(),
            slots: self.settings.concurrency,
        }
    }
}
