//! The index: a slot for every task, found by id, and in the order of arrival for listings.
//!
//! A slot knows where its task's definition stands on the disk and never holds a payload. Whatever
//! only some tasks have (deliveries, a unique key, a lease) is in [`crate::detail`]. With its entry
//! in the table of ids and in the order of arrival a pending task costs at most 64 bytes, so
//! neither slots nor the table grow by doubling: slots come in chunks, and ids are spread over many
//! small tables, whose growth nobody notices.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use hashbrown::hash_table::{Entry, HashTable};
use haulier_core::{DeadReason, State, TaskId, Timestamp};

use crate::arrivals::Arrivals;
use crate::codec::wide;
use crate::place::Extent;
use crate::slab::Slab;

/// The number of a slot, reused when its task is gone.
pub type SlotId = u32;
/// No slot.
pub const NONE: SlotId = SlotId::MAX;

/// What is known of every task.
#[derive(Debug, Clone)]
pub struct Slot {
    /// Its id.
    pub id: TaskId,
    /// Where its definition stands: the segment, zero in an empty slot, and the offset.
    segment: u32,
    offset: u32,
    /// The definition's length, the state, and why it is dead.
    marks: Marks,
    /// The line that it stands in.
    pub line: u32,
    /// Neighbours in the list that it is in: its line, or its queue's completed tasks.
    pub next: SlotId,
    /// The neighbour before.
    pub prev: SlotId,
    enqueued_at: [u8; 6],
    order: [u8; 6],
}

const _: () = assert!(size_of::<Slot>() == 52, "a pending task costs at most 64 bytes in all");

/// A length of 25 bits, a state of 3, a reason of 3, and whether the due time stands elsewhere.
#[derive(Debug, Clone, Copy)]
struct Marks(u32);

impl Marks {
    const LEN_BITS: u32 = 25;
    const STATE: u32 = 7 << Self::LEN_BITS;
    const REASON_BITS: u32 = Self::LEN_BITS + 3;
    const REASON: u32 = 7 << Self::REASON_BITS;
    const DUE_ELSEWHERE: u32 = 1 << 31;
    const LEN: u32 = (1 << Self::LEN_BITS) - 1;

    const fn set(&mut self, mask: u32, bits: u32) {
        self.0 = (self.0 & !mask) | bits;
    }
}

/// The longest definition that a slot can point to; limits keep every task far below.
pub const DEFINITION_BYTES_MAX: u32 = Marks::LEN;

/// The low 48 bits: milliseconds in them last until the year 10889, places in a line longer than
/// any disk.
const fn pack(number: u64) -> [u8; 6] {
    let [_, _, rest @ ..] = number.to_be_bytes();
    if number >> 48 == 0 { rest } else { [0xff; 6] }
}

const fn unpack(bytes: [u8; 6]) -> u64 {
    let mut wide = [0; 8];
    let (_, low) = wide.split_at_mut(2);
    low.copy_from_slice(&bytes);
    u64::from_be_bytes(wide)
}

impl Slot {
    /// A slot for a task that was just accepted.
    pub fn new(id: TaskId, definition: Extent, line: u32, enqueued_at: Timestamp) -> Self {
        let mut slot = Self {
            id,
            segment: 0,
            offset: 0,
            marks: Marks(0),
            line,
            next: NONE,
            prev: NONE,
            enqueued_at: pack(enqueued_at.0),
            order: [0; 6],
        };
        slot.stand_on(definition);
        slot.set_standing(State::Scheduled, None);
        slot
    }

    /// Where its definition stands.
    pub const fn definition(&self) -> Extent {
        Extent { segment: self.segment, offset: self.offset, len: self.marks.0 & Marks::LEN }
    }

    /// Its definition stands there from now on.
    ///
    /// # Panics
    /// It is longer than [`DEFINITION_BYTES_MAX`], which limits and recovery rule out.
    pub fn stand_on(&mut self, definition: Extent) {
        assert!(definition.len <= DEFINITION_BYTES_MAX, "limits keep definitions small");
        (self.segment, self.offset) = (definition.segment, definition.offset);
        self.marks.set(Marks::LEN, definition.len);
    }

    /// Whether it holds a task.
    pub const fn is_taken(&self) -> bool {
        self.segment != 0
    }

    /// Its state.
    pub fn state(&self) -> State {
        State::ALL[wide((self.marks.0 & Marks::STATE) >> Marks::LEN_BITS)]
    }

    /// Why it is dead.
    pub fn reason(&self) -> Option<DeadReason> {
        let number = wide((self.marks.0 & Marks::REASON) >> Marks::REASON_BITS);
        number.checked_sub(1).map(|number| DeadReason::ALL[number])
    }

    /// Its state, and why it is dead.
    pub fn set_standing(&mut self, state: State, reason: Option<DeadReason>) {
        self.marks.set(Marks::STATE, (state as u32) << Marks::LEN_BITS);
        let reason = reason.map_or(0, |reason| reason as u32 + 1);
        self.marks.set(Marks::REASON, reason << Marks::REASON_BITS);
    }

    /// When it was accepted.
    pub const fn enqueued_at(&self) -> Timestamp {
        Timestamp(unpack(self.enqueued_at))
    }

    /// Its place in the line: later ones are larger.
    pub const fn order(&self) -> u64 {
        unpack(self.order)
    }

    /// Its place in the line.
    pub const fn set_order(&mut self, order: u64) {
        self.order = pack(order);
    }

    /// When its task arrived, if it holds one.
    fn arrived(&self) -> Option<Timestamp> {
        self.is_taken().then(|| self.enqueued_at())
    }
}

/// Tables that ids are spread over: by the time that they tell, in steps of four seconds, and by
/// their hash.
const TABLES: usize = TIMES * HASHES;
const TIMES: usize = 32;
const HASHES: usize = 32;

/// The table of an id. Ids that were made together stand together, so that tasks that come and go
/// touch little memory, however many wait. An id that tells no time is spread by chance.
fn table_of(id: TaskId, hash: u64) -> usize {
    let [_, _, _, a, b, ..] = id.to_bytes();
    // A table looks at the lowest and the highest bits of the hash.
    let [.., byte, _, _, _, _] = hash.to_be_bytes();
    let time = usize::from(u16::from_be_bytes([a, b]) >> 4) % TIMES;
    time * HASHES + usize::from(byte) % HASHES
}

/// All slots.
#[derive(Debug)]
pub struct Index {
    slots: Slab<Slot>,
    by_id: Vec<HashTable<SlotId>>,
    hasher: RandomState,
    arrivals: Arrivals,
    /// When tasks are due that were not due when they were accepted.
    due: HashMap<SlotId, Timestamp, RandomState>,
    len: usize,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            slots: Slab::default(),
            by_id: (0..TABLES).map(|_| HashTable::new()).collect(),
            hasher: RandomState::default(),
            arrivals: Arrivals::default(),
            due: HashMap::default(),
            len: 0,
        }
    }
}

impl std::ops::Index<SlotId> for Index {
    type Output = Slot;
    fn index(&self, slot: SlotId) -> &Slot {
        &self.slots[slot]
    }
}

impl std::ops::IndexMut<SlotId> for Index {
    fn index_mut(&mut self, slot: SlotId) -> &mut Slot {
        &mut self.slots[slot]
    }
}

impl Index {
    /// How many tasks there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// The slot of a task.
    pub fn find(&self, id: TaskId) -> Option<SlotId> {
        let hash = self.hasher.hash_one(id);
        let same = |slot: &SlotId| self.slots[*slot].id == id;
        self.by_id[table_of(id, hash)].find(hash, same).copied()
    }

    /// Takes a slot for a task; `None` if its id is there already.
    pub fn insert(&mut self, slot: Slot) -> Option<SlotId> {
        let (id, at) = (slot.id, slot.enqueued_at());
        let (slots, hasher) = (&mut self.slots, &self.hasher);
        let hash = hasher.hash_one(id);
        let table = &mut self.by_id[table_of(id, hash)];
        let same = |other: &SlotId| slots[*other].id == id;
        let rehash = |other: &SlotId| hasher.hash_one(slots[*other].id);
        let Entry::Vacant(place) = table.entry(hash, same, rehash) else { return None };
        let number = slots.insert(slot);
        place.insert(number);
        self.arrivals.push(at, number);
        self.len += 1;
        Some(number)
    }

    /// Empties a slot and returns what it held.
    pub fn remove(&mut self, slot: SlotId) -> Slot {
        self.forget_due(slot);
        let removed = self.slots[slot].clone();
        let hash = self.hasher.hash_one(removed.id);
        if let Ok(entry) =
            self.by_id[table_of(removed.id, hash)].find_entry(hash, |found| *found == slot)
        {
            entry.remove();
        }
        self.slots[slot].segment = 0;
        self.slots.free(slot);
        self.len -= 1;
        let slots = &self.slots;
        let arrived = |slot: SlotId| slots[slot].arrived();
        self.arrivals.leave(removed.enqueued_at(), arrived);
        removed
    }

    /// When a task became or becomes available.
    pub fn due_at(&self, slot: SlotId) -> Timestamp {
        let place = &self.slots[slot];
        let elsewhere = place.marks.0 & Marks::DUE_ELSEWHERE != 0;
        let due = elsewhere.then(|| self.due.get(&slot).copied()).flatten();
        due.unwrap_or_else(|| place.enqueued_at())
    }

    /// Moves the due time of a task.
    pub fn set_due(&mut self, slot: SlotId, due_at: Timestamp) {
        let place = &mut self.slots[slot];
        if due_at == place.enqueued_at() {
            return self.forget_due(slot);
        }
        place.marks.set(Marks::DUE_ELSEWHERE, Marks::DUE_ELSEWHERE);
        self.due.insert(slot, due_at);
    }

    fn forget_due(&mut self, slot: SlotId) {
        let marks = &mut self.slots[slot].marks;
        if marks.0 & Marks::DUE_ELSEWHERE != 0 {
            marks.set(Marks::DUE_ELSEWHERE, 0);
            self.due.remove(&slot);
        }
    }

    /// Puts arrivals in order after a recovery, which meets moved tasks late.
    pub fn sort_arrivals(&mut self) {
        if !self.arrivals.is_mixed() {
            return;
        }
        let mut arrivals = std::mem::take(&mut self.arrivals);
        arrivals.rebuild(self.iter().map(|(number, slot)| (slot.enqueued_at(), number)));
        self.arrivals = arrivals;
    }

    /// Every slot that holds a task.
    pub fn iter(&self) -> impl Iterator<Item = (SlotId, &Slot)> {
        self.slots.iter().filter(|(_, slot)| slot.is_taken())
    }

    /// Tasks newest first, by (accepted, id) descending, that come after `(at, id)`.
    pub fn newest(&self, after: Option<(Timestamp, TaskId)>) -> impl Iterator<Item = SlotId> {
        let end = self.arrivals.blocks_until(after.map_or(Timestamp(u64::MAX), |(at, _)| at));
        let blocks = (0..end).rev().map(|number| {
            let block = self.arrivals.block(number, |slot| self.slots[slot].arrived());
            let key = |(at, slot): (Timestamp, SlotId)| (at, self[slot].id, slot);
            let mut block: Vec<_> = block.into_iter().map(key).collect();
            block.sort_unstable_by(|a, b| b.cmp(a));
            block
        });
        let older = move |(at, id): (Timestamp, TaskId)| after.is_none_or(|last| (at, id) < last);
        blocks.flatten().filter(move |(at, id, _)| older((*at, *id))).map(|(_, _, slot)| slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(number: u8, at: u64) -> Slot {
        let place = Extent { segment: 1, offset: 0, len: 0 };
        Slot::new(TaskId::from_bytes([number; 16]), place, 0, Timestamp(at))
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
        let first = index.insert(slot(1, 1)).unwrap();
        index.remove(first);
        assert_eq!(index.find(TaskId::from_bytes([1; 16])), None);
        assert_eq!(index.insert(slot(2, 1)), Some(first));
        assert_eq!(index.insert(slot(2, 1)), None, "it is there");
        assert_eq!(index.newest(None).collect::<Vec<_>>(), [first]);
        assert_eq!(index.len(), 1);
    }
}
