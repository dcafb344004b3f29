//! A queue as the store keeps it: settings, counts, and who is next.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use haulier_core::{Priority, QueueSettings, State, StateCounts, TaskId};

/// A task's place in its line: highest priority first, then in the order of coming into line.
pub(crate) type Place = (Reverse<Priority>, u64, TaskId);

/// One queue.
#[derive(Debug, Default)]
pub(crate) struct Line {
    pub settings: QueueSettings,
    pub counts: StateCounts,
    /// Available tasks.
    pub ready: BTreeSet<Place>,
    pub accepted: u64,
    pub removed: u64,
    pub finished: u64,
    /// When the queue was last served, counted in grants; zero: never.
    pub served: u64,
}

impl Line {
    /// Whether its settings let one more task run.
    pub fn is_open(&self) -> bool {
        let running = self.counts.get(State::Running);
        let full = self.settings.concurrency.is_some_and(|most| running >= u64::from(most));
        !self.settings.paused && !full
    }

    /// Whether it has nothing to show.
    pub fn is_idle(&self) -> bool {
        self.counts.total() == 0 && self.settings == QueueSettings::default()
    }
}
