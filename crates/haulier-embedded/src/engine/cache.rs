//! Tasks that were enqueued lately, whole, so that those which are delivered soon need no read.
//! Filled by enqueues and emptied by deliveries it holds the heads of the lines; a task that finds
//! it full is read from the disk when its turn comes. No line takes more than half of what the
//! others leave, so that a line where thousands wait leaves room for one where tasks come and go.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use haulier_core::Task;

use crate::codec::wide;
use crate::index::SlotId;

/// Whole tasks by slot.
#[derive(Debug)]
pub struct Cache {
    tasks: HashMap<SlotId, Arc<Task>, RandomState>,
    bytes: usize,
    bytes_max: usize,
    /// What each line has of it, by its number.
    shares: Vec<usize>,
}

impl Cache {
    /// A cache of that many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self { tasks: HashMap::default(), bytes: 0, bytes_max, shares: Vec::new() }
    }

    fn cost(task: &Task) -> usize {
        512 + task.payload.bytes.len() + task.headers.byte_len() + task.labels.byte_len()
    }

    /// The task of a slot, if it is here.
    pub fn get(&self, slot: SlotId) -> Option<&Arc<Task>> {
        self.tasks.get(&slot)
    }

    /// Keeps a task of a line, if there is room for it.
    pub fn put(&mut self, slot: SlotId, line: u32, task: Arc<Task>) {
        let (line, cost) = (wide(line), Self::cost(&task));
        if line >= self.shares.len() {
            self.shares.resize(line + 1, 0);
        }
        let share = self.shares[line] + cost;
        let others = self.bytes - self.shares[line];
        if 2 * share > self.bytes_max.saturating_sub(others) {
            return;
        }
        self.shares[line] = share;
        self.bytes += cost;
        self.tasks.insert(slot, task);
    }

    /// Gives a task up.
    pub fn take(&mut self, slot: SlotId, line: u32) -> Option<Arc<Task>> {
        let task = self.tasks.remove(&slot)?;
        let cost = Self::cost(&task);
        self.bytes -= cost;
        self.shares[wide(line)] -= cost;
        Some(task)
    }
}

#[cfg(test)]
mod tests {
    use haulier_core::{Kind, NewTask, Payload, TaskId};

    use super::*;

    fn task() -> Arc<Task> {
        let payload = Payload::new(vec![7; 488], Payload::BINARY);
        let id = TaskId::from_bytes([1; 16]);
        Arc::new(NewTask::new(id, Kind::new("work").unwrap(), payload).task)
    }

    #[test]
    fn a_long_line_leaves_room_for_others_and_what_was_taken_is_room_again() {
        let mut cache = Cache::new(100 * 1_000);
        (0..1_000).for_each(|slot| cache.put(slot, 0, task()));
        assert_eq!((cache.tasks.len(), cache.bytes), (50, 50_000));
        (1_000..2_000).for_each(|slot| cache.put(slot, 1, task()));
        assert_eq!(cache.shares, [50_000, 25_000]);
        assert!(cache.take(1_000, 1).is_some() && cache.take(1_000, 1).is_none());
        cache.put(3_000, 1, task());
        assert!(cache.get(3_000).is_some());
        (0..50).for_each(|slot| drop(cache.take(slot, 0)));
        assert_eq!(cache.shares, [0, 25_000]);
    }
}
