//! The life of a task as a pure, total function: what may happen in which state, and where it
//! leads.
//!
//! ```text
//!         enqueue(run_at later)                    enqueue
//!                │                                    │
//!           ┌────▼────┐  due   ┌───────────┐◄─────────┘
//!           │scheduled├───────►│ available │◄──────────────┐ release (attempt refunded), lost
//!           └────▲────┘        └────┬──────┘               │
//!        snooze  │                  │ lease: epoch+1, attempt+1
//!    (refunded)  │             ┌────▼────┐                 │
//!                └─────────────┤ running ├─────────────────┘
//!           ┌─────────┐  fail  └─┬─┬──┬──┘
//!           │retryable│◄─────────┘ │  │ complete             cancel: from every state that is not
//!           └────┬────┘            │  └──────────► completed final; a running task is told at its
//!                │ due             │ reject, attempts or     next beat
//!                └──► available    └─ losses used up, expired ──► dead
//!                                          rerun: dead | completed | cancelled → available
//! ```
//!
//! Stores execute this table and are tested against it. It knows no time and no epoch: whether an
//! event may be asked for at all (is the key current, is it due?) is the store's to know.

use crate::error::{Code, Refusal};
use crate::limits::LOSSES_MAX;
use crate::probe::planted;

/// Where a task is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Waits for its time.
    Scheduled,
    /// Waits for a worker.
    Available,
    /// A worker holds a lease.
    Running,
    /// Failed; waits to be tried again.
    Retryable,
    /// Done.
    Completed,
    /// Called off.
    Cancelled,
    /// Given up; kept, listed, can be rerun.
    Dead,
}

impl State {
    /// Every state, in the order of a task's life.
    pub const ALL: [Self; 7] = [
        Self::Scheduled,
        Self::Available,
        Self::Running,
        Self::Retryable,
        Self::Completed,
        Self::Cancelled,
        Self::Dead,
    ];

    /// Whether nothing happens to the task any more, unless an operator reruns it.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Dead)
    }

    /// The state as it stands on every wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Available => "available",
            Self::Running => "running",
            Self::Retryable => "retryable",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Dead => "dead",
        }
    }

    /// The state of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a task was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeadReason {
    /// Its attempts are used up.
    Exhausted,
    /// Its handler said that it can never be done.
    Rejected,
    /// Too many of its leases ran out: it may kill its workers.
    Lost,
    /// It did not start in time.
    Expired,
}

impl DeadReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Exhausted, Self::Rejected, Self::Lost, Self::Expired];

    /// The reason as it stands on every wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Rejected => "rejected",
            Self::Lost => "lost",
            Self::Expired => "expired",
        }
    }

    /// The reason of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

impl std::fmt::Display for DeadReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where a task stands: its state and the counters that decide what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Standing {
    /// Its state.
    pub state: State,
    /// Why it is dead, if it is.
    pub reason: Option<DeadReason>,
    /// Deliveries that count against `max_attempts`.
    pub attempt: u32,
    /// Leases that ran out.
    pub losses: u32,
    /// Cancellation was asked for while it ran.
    pub cancel_requested: bool,
    /// A lease was granted at least once.
    pub started: bool,
}

impl Standing {
    /// A task that was just accepted; `due` if it may start at once.
    pub const fn new(due: bool) -> Self {
        Self {
            state: if due { State::Available } else { State::Scheduled },
            reason: None,
            attempt: 0,
            losses: 0,
            cancel_requested: false,
            started: false,
        }
    }
}

/// What can happen to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// Its time has come.
    Due,
    /// A worker gets it.
    Lease,
    /// Its holder completed it.
    Complete,
    /// Its holder failed; `retry` if the policy wants another attempt.
    Fail {
        /// Whether to try again, attempts permitting.
        retry: bool,
    },
    /// Its holder says that it can never be done.
    Reject,
    /// Its holder wants it later.
    Snooze,
    /// Its holder hands it back.
    Release,
    /// Its holder stopped because of a cancellation.
    Stopped,
    /// Its lease ran out or was revoked.
    Lost,
    /// It did not start in time.
    Expire,
    /// Somebody calls it off.
    Cancel,
    /// An operator wants it done again.
    Rerun,
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 13] = [
        Self::Due,
        Self::Lease,
        Self::Complete,
        Self::Fail { retry: true },
        Self::Fail { retry: false },
        Self::Reject,
        Self::Snooze,
        Self::Release,
        Self::Stopped,
        Self::Lost,
        Self::Expire,
        Self::Cancel,
        Self::Rerun,
    ];

    /// Whether this is a leaseholder's settlement.
    pub const fn is_settlement(self) -> bool {
        matches!(
            self,
            Self::Complete
                | Self::Fail { .. }
                | Self::Reject
                | Self::Snooze
                | Self::Release
                | Self::Stopped
        )
    }
}

/// Where `event` leads a task that may be tried `max_attempts` times.
///
/// A settlement is also taken by an available task: it is late. The store asks for that only if the
/// newest lease ran out and nobody took the task since; the loss is then taken back.
///
/// # Errors
/// [`Code::Final`] if the state does not allow the event; the task stays as it was.
pub fn transition(from: Standing, max_attempts: u32, event: Event) -> Result<Standing, Refusal> {
    use State::{Available, Cancelled, Completed, Dead, Retryable, Running, Scheduled};
    let tries = max_attempts + u32::from(planted("attempts-off-by-one"));
    let to = |state| Ok(Standing { state, reason: None, ..from });
    let die = |reason| Ok(Standing { state: Dead, reason: Some(reason), ..from });
    match (from.state, event) {
        (Scheduled | Retryable, Event::Due) => to(Available),
        (Available, Event::Lease) => {
            Ok(Standing { state: Running, attempt: from.attempt + 1, started: true, ..from })
        }
        (Available, late) if late.is_settlement() && from.losses > 0 => {
            let running = Standing {
                state: Running,
                attempt: from.attempt + 1,
                losses: from.losses - 1,
                ..from
            };
            transition(running, max_attempts, late)
        }
        (Running, settled) if settled.is_settlement() && from.cancel_requested => to(Cancelled),
        (Running, Event::Stopped) | (Scheduled | Available | Retryable, Event::Cancel) => {
            to(Cancelled)
        }
        (Running, Event::Complete) => to(Completed),
        (Running, Event::Fail { retry }) if retry && from.attempt < tries => to(Retryable),
        (Running, Event::Fail { .. }) => die(DeadReason::Exhausted),
        (Running, Event::Reject) => die(DeadReason::Rejected),
        (Running, Event::Snooze) => {
            Ok(Standing { state: Scheduled, attempt: refund(from.attempt), ..from })
        }
        (Running, Event::Release) => {
            Ok(Standing { state: Available, attempt: refund(from.attempt), ..from })
        }
        (Running, Event::Lost) => {
            let lost = Standing { attempt: refund(from.attempt), losses: from.losses + 1, ..from };
            Ok(match lost {
                _ if lost.cancel_requested && !planted("cancel-lost") => {
                    Standing { state: Cancelled, ..lost }
                }
                _ if lost.losses >= LOSSES_MAX => {
                    Standing { state: Dead, reason: Some(DeadReason::Lost), ..lost }
                }
                _ => Standing { state: Available, ..lost },
            })
        }
        (Scheduled | Available, Event::Expire) if !from.started => die(DeadReason::Expired),
        (Running, Event::Cancel) => Ok(Standing { cancel_requested: true, ..from }),
        // Asking twice is answered twice.
        (Cancelled, Event::Cancel) => Ok(from),
        (Completed | Cancelled | Dead, Event::Rerun) => Ok(Standing {
            state: Available,
            reason: None,
            attempt: 0,
            losses: 0,
            cancel_requested: false,
            ..from
        }),
        (state, event) => Err(Refusal::new(
            Code::Final,
            match event {
                Event::Cancel => format!("the task is {state} already; it cannot be cancelled"),
                Event::Rerun => {
                    format!(
                        "the task is {state}; only completed, cancelled or dead tasks can be rerun"
                    )
                }
                _ => format!("the task is {state}: {event:?} does not apply"),
            },
        )),
    }
}

/// An attempt that does not count. A store that lost the record of a delivery may be asked for more
/// refunds than attempts.
const fn refund(attempt: u32) -> u32 {
    attempt.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(events: &[Event], max_attempts: u32) -> Standing {
        events.iter().fold(Standing::new(true), |standing, event| {
            transition(standing, max_attempts, *event).unwrap()
        })
    }

    #[test]
    fn a_task_that_fails_is_tried_again_until_its_attempts_are_used_up() {
        let fail = Event::Fail { retry: true };
        let once = run(&[Event::Lease, fail], 2);
        assert_eq!((once.state, once.attempt), (State::Retryable, 1));
        let twice = run(&[Event::Lease, fail, Event::Due, Event::Lease, fail], 2);
        assert_eq!((twice.state, twice.reason), (State::Dead, Some(DeadReason::Exhausted)));
    }

    #[test]
    fn a_lease_that_runs_out_counts_as_a_loss_and_the_fifth_is_the_last() {
        let mut standing = Standing::new(true);
        for losses in 1..=LOSSES_MAX {
            standing = transition(standing, 1, Event::Lease).unwrap();
            assert_eq!(standing.attempt, 1, "a loss is no attempt");
            standing = transition(standing, 1, Event::Lost).unwrap();
            assert_eq!(standing.losses, losses);
        }
        assert_eq!((standing.state, standing.reason), (State::Dead, Some(DeadReason::Lost)));
    }

    #[test]
    fn a_late_completion_takes_its_loss_back() {
        let late = run(&[Event::Lease, Event::Lost, Event::Complete], 1);
        assert_eq!((late.state, late.attempt, late.losses), (State::Completed, 1, 0));
    }

    #[test]
    fn a_running_task_is_cancelled_when_its_holder_settles_however_it_ended() {
        for settled in Event::ALL.into_iter().filter(|event| event.is_settlement()) {
            let standing = run(&[Event::Lease, Event::Cancel, settled], 3);
            assert_eq!(standing.state, State::Cancelled, "{settled:?}");
        }
        assert_eq!(run(&[Event::Lease, Event::Cancel, Event::Lost], 3).state, State::Cancelled);
    }

    #[test]
    fn only_a_task_that_never_started_expires() {
        assert!(transition(Standing::new(true), 1, Event::Expire).is_ok());
        let released = run(&[Event::Lease, Event::Release], 1);
        assert!(transition(released, 1, Event::Expire).is_err());
    }

    proptest! {
        #[test]
        fn every_event_in_every_state_is_answered_and_keeps_the_invariants(
            picks in proptest::collection::vec(0..Event::ALL.len(), 0..200),
            max_attempts in 1u32..5,
            due in any::<bool>(),
        ) {
            let mut standing = Standing::new(due);
            for pick in picks {
                let event = Event::ALL[pick];
                match transition(standing, max_attempts, event) {
                    Ok(next) => {
                        prop_assert!(
                            !standing.state.is_final()
                                || matches!(event, Event::Rerun | Event::Cancel),
                            "I7: {standing:?} left a final state by {event:?}"
                        );
                        standing = next;
                    }
                    Err(refusal) => prop_assert_eq!(refusal.code, Code::Final),
                }
                prop_assert!(standing.losses <= LOSSES_MAX, "I6: losses end");
                prop_assert_eq!(standing.reason.is_some(), standing.state == State::Dead);
                if standing.state == State::Retryable {
                    prop_assert!(standing.attempt < max_attempts, "I6: attempts end");
                }
            }
        }
    }
}
