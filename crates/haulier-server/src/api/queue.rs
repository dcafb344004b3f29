//! Queues: how they stand, and what operators set on them.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::{QueueText, Span, Text};

/// A queue as it stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Queue {
    /// Its name.
    pub queue: QueueText,
    /// Tasks by state.
    pub tasks: StateCounts,
    /// How long the oldest available task has been available.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_available: Option<Span>,
    /// Tasks accepted since the store was opened, what it found then included.
    pub accepted: u64,
    /// Tasks that became final since the store was opened.
    pub finished: u64,
    /// Tasks pruned or deleted since the store was opened.
    pub removed: u64,
    /// How fast tasks come and go; absent until the server has seen the queue twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rates: Option<Rates>,
    /// How long the tasks that are due will take at the present rate; absent if nothing finishes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backlog_time: Option<Span>,
    /// Workers that serve it.
    pub workers: usize,
    /// What operators have set.
    pub settings: Settings,
}

/// Queues, by name.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct QueuePage {
    /// The queues.
    pub queues: Vec<Queue>,
    /// Where to go on: give it as `page_token`. Absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// Tasks by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct StateCounts {
    /// Wait for their time.
    pub scheduled: u64,
    /// Wait for a worker.
    pub available: u64,
    /// Held by a worker.
    pub running: u64,
    /// Failed; wait to be tried again.
    pub retryable: u64,
    /// Done.
    pub completed: u64,
    /// Called off.
    pub cancelled: u64,
    /// Given up.
    pub dead: u64,
}

/// How fast tasks come and go, as a mean over a while.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct Rates {
    /// Tasks accepted a second.
    pub accepted: f64,
    /// Tasks that became final a second.
    pub finished: f64,
    /// The while.
    pub over: Span,
}

/// What operators have set on a queue.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Settings {
    /// No task of the queue is leased.
    pub paused: bool,
    /// Tasks of the queue that may run at a time, over all workers; `null`: no limit.
    pub concurrency: Option<u32>,
    /// Tasks that are not final which the queue may hold; `null`: no limit.
    pub max_tasks: Option<u64>,
    /// How long finished tasks are kept.
    pub retain: Retain,
}

/// How long finished tasks are kept.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Retain {
    /// Completed ones.
    pub completed: Span,
    /// Completed ones at most; the oldest go first.
    pub completed_count: u64,
    /// Cancelled ones.
    pub cancelled: Span,
    /// Dead ones.
    pub dead: Span,
}

/// A change of settings; what is left out stays as it is.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingsPatch {
    /// Pause or resume.
    #[serde(default)]
    pub paused: Option<bool>,
    /// Limit what runs at a time; `null` lifts the limit.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<u32>)]
    pub concurrency: Option<Option<u32>>,
    /// Limit what the queue holds; `null` lifts the limit.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<u64>)]
    pub max_tasks: Option<Option<u64>>,
    /// How long finished tasks are kept.
    #[serde(default)]
    pub retain: Option<RetainPatch>,
}

/// A change of how long finished tasks are kept.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetainPatch {
    /// Completed ones.
    #[serde(default)]
    pub completed: Option<Span>,
    /// Completed ones at most.
    #[serde(default)]
    pub completed_count: Option<u64>,
    /// Cancelled ones.
    #[serde(default)]
    pub cancelled: Option<Span>,
    /// Dead ones.
    #[serde(default)]
    pub dead: Option<Span>,
}

/// Tells `null`, which lifts a limit, from an absent field, which leaves it.
#[expect(clippy::option_option, reason = "the core's patch has these three cases")]
fn said<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

impl From<SettingsPatch> for haulier_core::SettingsPatch {
    fn from(patch: SettingsPatch) -> Self {
        let retain = patch.retain.unwrap_or_default();
        Self {
            paused: patch.paused,
            concurrency: patch.concurrency,
            max_tasks: patch.max_tasks,
            retain_completed: retain.completed.map(|span| span.0),
            retain_completed_count: retain.completed_count,
            retain_cancelled: retain.cancelled.map(|span| span.0),
            retain_dead: retain.dead.map(|span| span.0),
        }
    }
}

impl From<&haulier_core::QueueSettings> for Settings {
    fn from(settings: &haulier_core::QueueSettings) -> Self {
        Self {
            paused: settings.paused,
            concurrency: settings.concurrency,
            max_tasks: settings.max_tasks,
            retain: Retain {
                completed: Span(settings.retain.completed),
                completed_count: settings.retain.completed_count,
                cancelled: Span(settings.retain.cancelled),
                dead: Span(settings.retain.dead),
            },
        }
    }
}

impl From<&haulier_core::StateCounts> for StateCounts {
    fn from(counts: &haulier_core::StateCounts) -> Self {
        use haulier_core::State;
        Self {
            scheduled: counts.get(State::Scheduled),
            available: counts.get(State::Available),
            running: counts.get(State::Running),
            retryable: counts.get(State::Retryable),
            completed: counts.get(State::Completed),
            cancelled: counts.get(State::Cancelled),
            dead: counts.get(State::Dead),
        }
    }
}

impl Queue {
    /// A queue with what the store cannot know: how fast it moves, and how many workers serve it.
    pub fn new(stats: &haulier_core::QueueStats, rates: Option<Rates>, workers: usize) -> Self {
        let available = stats.counts.get(haulier_core::State::Available);
        Self {
            queue: Text(stats.queue.clone()),
            tasks: StateCounts::from(&stats.counts),
            oldest_available: stats.oldest_available.map(Span),
            accepted: stats.accepted,
            finished: stats.finished,
            removed: stats.removed,
            rates,
            backlog_time: rates.and_then(|rates| rates.time_for(available)),
            workers,
            settings: Settings::from(&stats.settings),
        }
    }
}

impl Rates {
    /// How long so many tasks will take; `None` if nothing finishes.
    fn time_for(&self, tasks: u64) -> Option<Span> {
        if tasks == 0 {
            return Some(Span(std::time::Duration::ZERO));
        }
        let seconds = (approximate(tasks) / self.finished * 1_000.0).round() / 1_000.0;
        std::time::Duration::try_from_secs_f64(seconds).ok().map(Span)
    }
}

/// A count as a number to divide; counts beyond four thousand million are as good as that many.
pub(crate) fn approximate(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}
