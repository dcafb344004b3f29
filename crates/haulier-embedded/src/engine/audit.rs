//! Looking over the whole state at once, for a check: whether it adds up, and whose something on
//! the disk is. No caller of a store ever waits for it.

use haulier_core::{State, StateCounts, TaskId};

use crate::detail::Detail;
use crate::engine::Engine;
use crate::place::Extent;

/// Most findings that are told; the first says enough.
const FINDINGS_MAX: usize = 20;

/// What a look over the state found.
#[derive(Debug, Default)]
pub struct Audit {
    /// Tasks by state, counted one by one.
    pub counts: StateCounts,
    /// What does not add up.
    pub findings: Vec<String>,
}

impl Engine {
    /// Counts every task and compares with what the queues count (I14); and compares each task's
    /// state with what is known of it besides.
    pub fn audit(&self) -> Audit {
        let mut audit = Audit::default();
        let mut by_queue = vec![StateCounts::default(); self.lines.queues.len()];
        for (slot, place) in self.index.iter() {
            let state = place.state();
            *audit.counts.slot(state) += 1;
            let queue = crate::codec::wide(self.lines.get(place.line).queue);
            *by_queue[queue].slot(state) += 1;
            let detail = self.details.get(slot);
            let leased = detail.is_some_and(|detail| detail.lease.is_some());
            let finished = detail.is_some_and(|detail| detail.finished_at.is_some());
            if leased != (state == State::Running) {
                audit.find(format!("task {}: {state}, leased: {leased}", place.id));
            }
            if finished != state.is_final() {
                audit.find(format!("task {}: {state}, finished: {finished}", place.id));
            }
        }
        for (queue, counted) in self.lines.queues.iter().zip(by_queue) {
            if queue.counts != counted {
                let name = &queue.name;
                audit.find(format!("queue {name}: it counts {:?}, has {counted:?}", queue.counts));
            }
        }
        audit
    }

    /// The tasks that need something that stands in a stretch of a segment, with what they need.
    pub fn owners(&self, segment: u32, from: u32, to: u32) -> Vec<(TaskId, Extent)> {
        let within = |extent: &Extent| {
            let end = extent.offset.saturating_add(4).saturating_add(extent.len);
            extent.segment == segment && extent.offset < to && end > from
        };
        let mut owners = Vec::new();
        for (slot, place) in self.index.iter() {
            let more = self.details.get(slot).into_iter().flat_map(Detail::extents);
            let needed = std::iter::once(place.definition()).chain(more).filter(within);
            owners.extend(needed.map(|extent| (place.id, extent)));
        }
        owners
    }

    /// The generation whose epochs are handed out.
    pub const fn generation(&self) -> u32 {
        self.generation
    }
}

impl Audit {
    fn find(&mut self, what: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(what);
        }
    }
}
