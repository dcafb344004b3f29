//! A worker's exclusive, time-limited, fenced right to run a task, and everything that it does with
//! it.
//!
//! Every write by a leaseholder carries its [`LeaseKey`]. The epoch in it only grows, on every
//! delivery, across restarts and failovers; a store refuses every key but the newest (I2, I3). The
//! attempt is policy: it may go back (a release refunds it), so nothing is ever fenced on it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::error::{Code, Refusal};
use crate::limits;
use crate::name::{Kind, QueueName, WorkerId};
use crate::task::{Payload, Task, TaskId};
use crate::transition::State;

/// Orders the deliveries of a task. The upper 32 bits are the store's generation, raised at every
/// start, failover and restore; the rest counts. Zero: never delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch of the next delivery, in the store's present generation: larger than this one in
    /// any case.
    #[must_use]
    pub fn next(self, generation: u32) -> Self {
        Self((self.0 + 1).max((u64::from(generation) << 32) + 1))
    }
}

impl std::fmt::Display for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The fence: which task, and which delivery of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseKey {
    /// The task.
    pub task: TaskId,
    /// The delivery.
    pub epoch: Epoch,
}

/// What a worker would like to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// Whose leases they will be.
    pub worker: WorkerId,
    /// From which queues, each with the most that may come from it now. Equal priorities are taken
    /// from them in turn.
    pub queues: Arc<[WantedQueue]>,
    /// Which kinds; empty takes every kind.
    pub kinds: Arc<[Kind]>,
    /// How many at most, over all queues.
    pub max: u32,
    /// How long each lease lasts without a beat.
    pub ttl: Duration,
}

/// One queue of a want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedQueue {
    /// The queue.
    pub queue: QueueName,
    /// How many at most from this one: the worker's own limit less what it holds.
    pub max: u32,
}

impl Want {
    /// A want for as many as `max` from one queue, of every kind, for the default ttl.
    pub fn new(worker: WorkerId, queue: QueueName, max: u32) -> Self {
        Self {
            worker,
            queues: Arc::new([WantedQueue { queue, max }]),
            kinds: Arc::new([]),
            max,
            ttl: limits::LEASE_TTL_DEFAULT,
        }
    }

    /// Checks the want against the limits. Every store calls it.
    ///
    /// # Errors
    /// [`Code::Invalid`] with what is allowed.
    pub fn check(&self) -> Result<(), Refusal> {
        let invalid = |message: String| Err(Refusal::new(Code::Invalid, message));
        if self.queues.is_empty() || self.queues.len() > limits::WANT_NAMES_MAX {
            return invalid(format!(
                "a want names {} queues; it must name 1 to {}",
                self.queues.len(),
                limits::WANT_NAMES_MAX
            ));
        }
        if self.kinds.len() > limits::WANT_NAMES_MAX {
            return invalid(format!(
                "a want names {} kinds; at most {} are allowed",
                self.kinds.len(),
                limits::WANT_NAMES_MAX
            ));
        }
        check_ttl(self.ttl)
    }
}

/// Checks how long a lease is asked for.
///
/// # Errors
/// [`Code::Invalid`] outside the limits.
pub fn check_ttl(ttl: Duration) -> Result<(), Refusal> {
    if (limits::LEASE_TTL_MIN..=limits::LEASE_TTL_MAX).contains(&ttl) {
        return Ok(());
    }
    Err(Refusal::new(Code::Invalid, "ttl must be between 100 ms and one hour; beats renew it"))
}

/// The right itself, with the task that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The fence that every write carries.
    pub key: LeaseKey,
    /// What to do.
    pub task: Arc<Task>,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Leases of this task that ran out so far.
    pub losses: u32,
    /// How long the lease lasts without a beat. A worker counts it from when it *sent* the request.
    pub ttl: Duration,
    /// When the task was accepted.
    pub enqueued_at: Timestamp,
    /// What earlier deliveries saved.
    pub checkpoints: Vec<Checkpoint>,
}

/// A step that was done, with what it gave: it is not done again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The step's name; unique within the task.
    pub name: Arc<str>,
    /// What the step returned.
    pub value: Bytes,
}

/// How far a handler has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// From 0 to 1.
    pub fraction: f64,
    /// What it is doing, for people.
    pub note: Arc<str>,
}

/// A worker's sign of life.
#[derive(Debug, Clone, PartialEq)]
pub struct Beat {
    /// Who is alive.
    pub worker: WorkerId,
    /// What the worker is; may be left out once the store has seen it.
    pub about: Option<Arc<WorkerAbout>>,
    /// How long the listed leases last from now on. A short one shortens them.
    pub ttl: Duration,
    /// The leases that it still holds and wants to keep.
    pub leases: Vec<LeaseBeat>,
}

/// One lease of a beat.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaseBeat {
    /// The fence.
    pub key: LeaseKey,
    /// How far the handler has come, if that is news.
    pub progress: Option<Progress>,
    /// Steps that were done since the last beat; durable once the beat is answered. A name that is
    /// known already keeps its first value.
    pub checkpoints: Vec<Checkpoint>,
}

impl LeaseBeat {
    /// Renews a lease and says nothing else.
    pub fn renew(key: LeaseKey) -> Self {
        Self { key, progress: None, checkpoints: Vec::new() }
    }
}

/// What a worker tells of itself, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerAbout {
    /// The worker's version and language, as in `haulier-rust/0.1.0`.
    pub version: String,
    /// The queues that it serves.
    pub queues: Vec<QueueName>,
    /// The kinds that it knows; empty: all.
    pub kinds: Vec<Kind>,
    /// How many tasks it runs at a time.
    pub slots: u32,
}

/// The answer to a [`Beat`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeatReply {
    /// What operators want of the worker.
    pub directive: Directive,
    /// One answer a lease, in the order of the beat.
    pub held: Vec<Held>,
}

/// What operators want of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Directive {
    /// Lease and run tasks.
    #[default]
    Run,
    /// Finish what runs, lease no more.
    Quiet,
    /// Finish what runs, then end the process.
    Stop,
}

impl Directive {
    /// The directive as it stands on every wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Quiet => "quiet",
            Self::Stop => "stop",
        }
    }
}

/// Whether a lease is still the worker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Held {
    /// Renewed.
    Yes,
    /// Renewed, but stop the handler and settle as cancelled: its completion will be refused.
    Cancel,
    /// Not renewed: it ran out, was superseded, or has run past its timeout. Stop the handler.
    Stale,
}

impl Held {
    /// The answer as it stands on every wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Cancel => "cancel",
            Self::Stale => "stale",
        }
    }
}

/// The end of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The fence.
    pub key: LeaseKey,
    /// How it ended.
    pub outcome: Outcome,
}

/// How an attempt ended. Decided by the worker, executed by the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done. The task is completed.
    Complete {
        /// What the handler returned.
        result: Option<Payload>,
    },
    /// Not done. `retry_in` is the pause that [`crate::retry::decide`] chose; `None`, or no
    /// attempts left, means dead (exhausted).
    Fail {
        /// Why.
        failure: Failure,
        /// When to try again.
        retry_in: Option<Duration>,
    },
    /// Can never be done: dead at once, reason rejected.
    Reject {
        /// Why.
        failure: Failure,
    },
    /// Not now: tried again later, and this attempt does not count.
    Snooze {
        /// How much later.
        delay: Duration,
    },
    /// Handed back untouched: available at once, and this attempt does not count.
    Release,
    /// Stopped because it was cancelled.
    Cancelled,
}

impl Outcome {
    /// Checks texts and sizes against the limits. Every store calls it; a refused outcome leaves
    /// the lease as it was.
    ///
    /// # Errors
    /// [`Code::TooLarge`] or [`Code::Invalid`], with what is allowed.
    pub fn check(&self, payload_bytes_max: usize) -> Result<(), Refusal> {
        let delay = match self {
            Self::Complete { result: Some(result) } => {
                return result.check("result", payload_bytes_max);
            }
            Self::Fail { retry_in, .. } => *retry_in,
            Self::Snooze { delay } => Some(*delay),
            Self::Complete { .. } | Self::Reject { .. } | Self::Release | Self::Cancelled => None,
        };
        if delay.is_some_and(|delay| delay > limits::DELAY_MAX) {
            return Err(Refusal::new(Code::Invalid, "a delay is more than ten years"));
        }
        Ok(())
    }
}

/// Why an attempt failed. Texts longer than the limit are cut with a mark when it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What sort of failure.
    pub cause: Cause,
    /// The error's type, as the handler's language names it; may be empty.
    pub class: Arc<str>,
    /// What it says.
    pub message: Arc<str>,
    /// Where it came from: a backtrace or chain of causes; may be empty.
    pub trace: Arc<str>,
}

impl Failure {
    /// A failure with a message; longer texts are cut.
    pub fn new(cause: Cause, message: &str) -> Self {
        Self { cause, class: "".into(), message: cut(message), trace: "".into() }
    }

    /// Names the error's type.
    #[must_use]
    pub fn with_class(mut self, class: &str) -> Self {
        self.class = cut(class);
        self
    }

    /// Adds where it came from.
    #[must_use]
    pub fn with_trace(mut self, trace: &str) -> Self {
        self.trace = cut(trace);
        self
    }

    /// Bytes of its texts.
    pub fn bytes(&self) -> usize {
        self.class.len() + self.message.len() + self.trace.len()
    }
}

/// Cuts a text at [`limits::TEXT_BYTES_MAX`], at a character's border, and marks the cut.
pub fn cut(text: &str) -> Arc<str> {
    const MARK: &str = "… [cut]";
    if text.len() <= limits::TEXT_BYTES_MAX {
        return text.into();
    }
    let end = text.floor_char_boundary(limits::TEXT_BYTES_MAX - MARK.len());
    format!("{}{MARK}", &text[..end]).into()
}

/// What sort of failure ended an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The handler returned an error.
    Error,
    /// The handler ran longer than the task's timeout.
    Timeout,
    /// The handler panicked.
    Panic,
    /// The payload could not be read: a newer worker may know how.
    Decode,
}

impl Cause {
    /// The cause as it stands on every wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Panic => "panic",
            Self::Decode => "decode",
        }
    }

    /// The cause of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Error, Self::Timeout, Self::Panic, Self::Decode]
            .into_iter()
            .find(|cause| cause.as_str() == name)
    }
}

/// The answer to a [`Settlement`]. Repeating it with the same key gives the same answer for as long
/// as the delivery is remembered (I8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// The outcome was carried out.
    Applied {
        /// Where the task stands now.
        state: State,
        /// The lease had run out, but nobody had taken the task: accepted, and marked.
        late: bool,
    },
    /// The task had been cancelled: it is cancelled now, whatever the outcome said.
    Cancelled,
    /// The key was superseded, or the task is gone: nothing changed.
    Stale,
    /// The outcome breaks a rule: nothing changed, the lease goes on.
    Refused(Refusal),
}

/// How a delivery ended, for the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ended {
    /// Completed.
    Complete,
    /// Failed.
    Fail,
    /// Rejected.
    Reject,
    /// Snoozed.
    Snooze,
    /// Released.
    Release,
    /// Cancelled.
    Cancelled,
    /// The lease ran out.
    Lost,
}

impl Ended {
    /// Every way a delivery can end.
    pub const ALL: [Self; 7] = [
        Self::Complete,
        Self::Fail,
        Self::Reject,
        Self::Snooze,
        Self::Release,
        Self::Cancelled,
        Self::Lost,
    ];

    /// The word as it stands on every wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Fail => "fail",
            Self::Reject => "reject",
            Self::Snooze => "snooze",
            Self::Release => "release",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
        }
    }
}

impl From<&Outcome> for Ended {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Complete { .. } => Self::Complete,
            Outcome::Fail { .. } => Self::Fail,
            Outcome::Reject { .. } => Self::Reject,
            Outcome::Snooze { .. } => Self::Snooze,
            Outcome::Release => Self::Release,
            Outcome::Cancelled => Self::Cancelled,
        }
    }
}

/// Whether a task's checkpoints, with these added, stay within the limits.
///
/// # Errors
/// [`Code::TooLarge`].
pub fn check_checkpoints<'a>(all: impl Iterator<Item = &'a Checkpoint>) -> Result<(), Refusal> {
    let (count, bytes) = all.fold((0, 0), |(count, bytes), checkpoint| {
        (count + 1, bytes + checkpoint.name.len() + checkpoint.value.len())
    });
    if count > limits::CHECKPOINTS_MAX || bytes > limits::CHECKPOINTS_BYTES_MAX {
        return Err(Refusal::new(
            Code::TooLarge,
            format!(
                "{count} checkpoints with {bytes} bytes; at most {} with {} bytes are allowed",
                limits::CHECKPOINTS_MAX,
                limits::CHECKPOINTS_BYTES_MAX
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_grows_within_a_generation_and_across_generations() {
        let first = Epoch::default().next(2);
        assert_eq!(first, Epoch((2 << 32) + 1));
        assert_eq!(first.next(2), Epoch((2 << 32) + 2));
        assert_eq!(first.next(3), Epoch((3 << 32) + 1));
        assert!(first.next(1) > first, "a generation that fell back must not take the epoch along");
    }

    #[test]
    fn a_long_text_is_cut_at_a_border_and_says_so() {
        let cut = cut(&"ü".repeat(limits::TEXT_BYTES_MAX));
        assert!(cut.len() <= limits::TEXT_BYTES_MAX && cut.ends_with("… [cut]"));
        assert_eq!(&*super::cut("short"), "short");
    }
}
