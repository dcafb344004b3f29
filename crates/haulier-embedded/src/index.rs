//! The index: a slot of 64 bytes for every task, found by id, and in the order of arrival for
//! listings.
//!
//! A slot knows where its task's definition stands on the disk and never holds a payload. Whatever
//! only some tasks have (deliveries, a unique key, a lease) is in [`crate::detail`].

use std::collections::VecDeque;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use haulier_core::{DeadReason, State, TaskId, Timestamp};

use crate::codec::{narrow, wide};
use crate::place::Extent;

/// The number of a slot, reused when its task is gone.
pub type SlotId = u32;
/// No slot.
pub const NONE: SlotId = SlotId::MAX;

/// What is known of every task.
#[derive(Debug, Clone)]
pub struct Slot {
    /// Its id.
    pub id: TaskId,
    /// Where its definition stands; segment zero marks an empty slot.
    pub definition: Extent,
    /// The line that it stands in.
    pub line: u32,
    enqueued_at: [u8; 6],
    due_at: [u8; 6],
    /// Neighbours in the list that it is in: its line, or its queue's completed tasks.
    pub next: SlotId,
    /// The neighbour before.
    pub prev: SlotId,
    /// Its place in the line: later ones are larger.
    pub order: u64,
    /// Its state.
    pub state: State,
    /// Why it is dead.
    pub reason: Option<DeadReason>,
}

const _: () = assert!(size_of::<Slot>() <= 64, "a pending task costs at most 64 bytes");

/// Milliseconds in 48 bits last until the year 10889.
const fn pack(time: Timestamp) -> [u8; 6] {
    let [_, _, rest @ ..] = time.0.to_be_bytes();
    if time.0 >> 48 == 0 { rest } else { [0xff; 6] }
}

const fn unpack(bytes: [u8; 6]) -> Timestamp {
    let mut wide = [0; 8];
    let (_, low) = wide.split_at_mut(2);
    low.copy_from_slice(&bytes);
    Timestamp(u64::from_be_bytes(wide))
}

impl Slot {
    /// A slot for a task that was just accepted.
    pub const fn new(
        id: TaskId,
        definition: Extent,
        line: u32,
        enqueued_at: Timestamp,
        due_at: Timestamp,
    ) -> Self {
        Self {
            id,
            definition,
            line,
            enqueued_at: pack(enqueued_at),
            due_at: pack(due_at),
            next: NONE,
            prev: NONE,
            order: 0,
            state: State::Scheduled,
            reason: None,
        }
    }

    /// When it was accepted.
    pub const fn enqueued_at(&self) -> Timestamp {
        unpack(self.enqueued_at)
    }

    /// When it became or becomes available.
    pub const fn due_at(&self) -> Timestamp {
        unpack(self.due_at)
    }

    /// Moves its due time.
    pub const fn set_due(&mut self, due_at: Timestamp) {
        self.due_at = pack(due_at);
    }
}

/// A task's place in the order of arrival. One whose slot was emptied or taken by another task is
/// skipped, and swept out when half are.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    at: Timestamp,
    slot: SlotId,
}

/// All slots.
#[derive(Debug, Default)]
pub struct Index {
    slots: Vec<Slot>,
    free: Vec<SlotId>,
    by_id: HashTable<SlotId>,
    hasher: RandomState,
    arrivals: VecDeque<Arrival>,
}

impl std::ops::Index<SlotId> for Index {
    type Output = Slot;
    fn index(&self, slot: SlotId) -> &Slot {
        &self.slots[wide(slot)]
    }
}

impl std::ops::IndexMut<SlotId> for Index {
    fn index_mut(&mut self, slot: SlotId) -> &mut Slot {
        &mut self.slots[wide(slot)]
    }
}

impl Index {
    /// How many tasks there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The slot of a task.
    pub fn find(&self, id: TaskId) -> Option<SlotId> {
        let hash = self.hasher.hash_one(id);
        self.by_id.find(hash, |slot| self.slots[wide(*slot)].id == id).copied()
    }

    /// Takes a slot for a task whose id is not there yet.
    pub fn insert(&mut self, slot: Slot) -> SlotId {
        let (id, at) = (slot.id, slot.enqueued_at());
        let number = if let Some(number) = self.free.pop() {
            self.slots[wide(number)] = slot;
            number
        } else {
            self.slots.push(slot);
            narrow(self.slots.len() - 1)
        };
        let (slots, hasher) = (&self.slots, &self.hasher);
        let rehash = |slot: &SlotId| hasher.hash_one(slots[wide(*slot)].id);
        self.by_id.insert_unique(hasher.hash_one(id), number, rehash);
        self.arrivals.push_back(Arrival { at, slot: number });
        number
    }

    /// Empties a slot and returns what it held.
    pub fn remove(&mut self, slot: SlotId) -> Slot {
        let removed = self.slots[wide(slot)].clone();
        let hash = self.hasher.hash_one(removed.id);
        if let Ok(entry) = self.by_id.find_entry(hash, |found| *found == slot) {
            entry.remove();
        }
        self.slots[wide(slot)].definition = Extent::default();
        self.free.push(slot);
        while self.arrivals.front().is_some_and(|arrival| !self.is_current(arrival)) {
            self.arrivals.pop_front();
        }
        if self.arrivals.len() > 2 * self.len() + 1_024 {
            let mut arrivals = std::mem::take(&mut self.arrivals);
            arrivals.retain(|arrival| self.is_current(arrival));
            self.arrivals = arrivals;
        }
        removed
    }

    fn is_current(&self, arrival: &Arrival) -> bool {
        let slot = &self.slots[wide(arrival.slot)];
        slot.definition.segment != 0 && slot.enqueued_at() == arrival.at
    }

    /// Puts arrivals in order after a recovery, which meets moved tasks late.
    pub fn sort_arrivals(&mut self) {
        self.arrivals.make_contiguous().sort_by_key(|arrival| arrival.at);
    }

    /// Every slot that holds a task.
    pub fn iter(&self) -> impl Iterator<Item = (SlotId, &Slot)> {
        (0..).zip(&self.slots).filter(|(_, slot)| slot.definition.segment != 0)
    }

    /// Tasks newest first, by (accepted, id) descending, that come after `(at, id)`.
    pub fn newest(&self, after: Option<(Timestamp, TaskId)>) -> impl Iterator<Item = SlotId> {
        let end = match after {
            None => self.arrivals.len(),
            Some((at, _)) => self.arrivals.partition_point(|arrival| arrival.at <= at),
        };
        Newest { index: self, end, group: Vec::new() }.filter(move |slot| match after {
            None => true,
            Some(last) => (self[*slot].enqueued_at(), self[*slot].id) < last,
        })
    }
}

/// Walks arrivals backwards, one moment at a time: within a moment the larger id comes first.
struct Newest<'a> {
    index: &'a Index,
    end: usize,
    group: Vec<SlotId>,
}

impl Iterator for Newest<'_> {
    type Item = SlotId;

    fn next(&mut self) -> Option<SlotId> {
        while self.group.is_empty() {
            let arrivals = &self.index.arrivals;
            let at = arrivals.get(self.end.checked_sub(1)?)?.at;
            while let Some(arrival) = self.end.checked_sub(1).and_then(|last| arrivals.get(last)) {
                if arrival.at != at {
                    break;
                }
                self.end -= 1;
                if self.index.is_current(arrival) {
                    self.group.push(arrival.slot);
                }
            }
            self.group.sort_unstable_by_key(|slot| self.index[*slot].id);
            // A slot that was emptied and taken again within one moment stands here twice.
            self.group.dedup();
        }
        self.group.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(number: u8, at: u64) -> Slot {
        let place = Extent { segment: 1, offset: 0, len: 0 };
        Slot::new(TaskId::from_bytes([number; 16]), place, 0, Timestamp(at), Timestamp(at))
    }

    #[test]
    fn tasks_are_listed_newest_first_and_a_page_goes_on_where_the_last_one_ended() {
        let mut index = Index::default();
        for (number, at) in [(2, 5), (1, 5), (9, 3), (7, 8)] {
            index.insert(slot(number, at));
        }
        index.sort_arrivals();
        let ids = |after| {
            let list = index.newest(after).map(|slot| index[slot].id.to_bytes()[0]);
            list.collect::<Vec<_>>()
        };
        assert_eq!(ids(None), [7, 2, 1, 9]);
        assert_eq!(ids(Some((Timestamp(5), TaskId::from_bytes([2; 16])))), [1, 9]);
    }

    #[test]
    fn an_emptied_slot_is_used_again_and_its_old_task_is_not_found() {
        let mut index = Index::default();
        let first = index.insert(slot(1, 1));
        index.remove(first);
        assert_eq!(index.find(TaskId::from_bytes([1; 16])), None);
        assert_eq!(index.insert(slot(2, 1)), first);
        assert_eq!(index.newest(None).collect::<Vec<_>>(), [first]);
        assert_eq!(index.len(), 1);
    }
}
