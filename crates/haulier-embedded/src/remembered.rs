//! Ids whose tasks are gone, for the dedup window: whoever enqueues one again is told that it was
//! there. Beyond the limit the oldest are forgotten.
//!
//! They stand in batches, oldest first, each with a small table of its own. So remembering an id
//! touches little memory and forgetting one none, and an id that is newer than all of a batch, as
//! most that come are, is not looked for in it.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use haulier_core::{TaskId, Timestamp, limits};

/// Ids of a batch.
const BATCH: usize = 32_768;

/// An id, and when its task went.
pub type Gone = (TaskId, Timestamp);

/// Ids that went one after another.
#[derive(Debug)]
struct Batch {
    gone: Vec<Gone>,
    /// Numbers in `gone`, by id.
    by_id: HashTable<u16>,
    least: TaskId,
    largest: TaskId,
    /// When the last one went.
    newest: Timestamp,
    /// The oldest segment that one of them stands in.
    segment: u32,
}

impl Batch {
    fn new(id: TaskId, at: Timestamp, segment: u32) -> Self {
        let (gone, by_id) = (Vec::new(), HashTable::new());
        Self { gone, by_id, least: id, largest: id, newest: at, segment }
    }

    fn push(&mut self, hasher: &RandomState, id: TaskId, at: Timestamp, segment: u32) {
        let Ok(number) = u16::try_from(self.gone.len()) else { return };
        self.gone.push((id, at));
        let gone = &self.gone;
        let rehash = |number: &u16| hasher.hash_one(gone[usize::from(*number)].0);
        self.by_id.insert_unique(hasher.hash_one(id), number, rehash);
        self.least = self.least.min(id);
        self.largest = self.largest.max(id);
        self.newest = self.newest.max(at);
        self.segment = self.segment.min(segment);
    }

    fn contains(&self, hash: u64, id: TaskId, now: Timestamp) -> bool {
        let same = |number: &u16| {
            let (other, at) = self.gone[usize::from(*number)];
            other == id && is_known(at, now)
        };
        self.least <= id && id <= self.largest && self.by_id.find(hash, same).is_some()
    }
}

fn is_known(at: Timestamp, now: Timestamp) -> bool {
    at.after(limits::DEDUP_WINDOW) > now
}

/// The ids.
#[derive(Debug, Default)]
pub struct Remembered {
    batches: VecDeque<Batch>,
    len: usize,
    hasher: RandomState,
    /// No id is larger.
    largest: Option<TaskId>,
    /// The time that windows are counted to.
    now: Timestamp,
}

impl Remembered {
    /// Remembers an id.
    pub fn put(&mut self, at: Timestamp, id: TaskId, segment: u32) {
        if self.batches.back().is_none_or(|batch| batch.gone.len() == BATCH) {
            self.batches.push_back(Batch::new(id, at, segment));
        }
        let Some(batch) = self.batches.back_mut() else { return };
        batch.push(&self.hasher, id, at, segment);
        self.largest = self.largest.max(Some(id));
        self.len += 1;
        while self.len > limits::DEDUP_IDS_MAX {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        self.len -= self.batches.pop_front().map_or(0, |batch| batch.gone.len());
        self.largest = self.batches.iter().map(|batch| batch.largest).max();
    }

    /// How many ids are written again with what stands in segments up to this one.
    pub fn len_through(&self, segment: u32) -> usize {
        let old = self.batches.iter().filter(|batch| batch.segment <= segment);
        old.map(|batch| batch.gone.len()).sum()
    }

    /// Whether an id is remembered.
    pub fn contains(&self, id: TaskId) -> bool {
        if Some(id) > self.largest {
            return false;
        }
        let hash = self.hasher.hash_one(id);
        self.batches.iter().any(|batch| batch.contains(hash, id, self.now))
    }

    /// Forgets what is older than the window.
    pub fn expire(&mut self, now: Timestamp) {
        self.now = now;
        while self.batches.front().is_some_and(|batch| !is_known(batch.newest, now)) {
            self.forget_oldest();
        }
    }

    /// A batch of which something stands in a segment up to this one, to be written again: its
    /// number, and what of it is still known.
    pub fn through(&self, segment: u32) -> Option<(usize, Vec<Gone>)> {
        let number = self.batches.iter().position(|batch| batch.segment <= segment)?;
        let gone = self.batches[number].gone.iter();
        Some((number, gone.filter(|(_, at)| is_known(*at, self.now)).copied().collect()))
    }

    /// All of a batch stands in this segment now.
    pub fn moved(&mut self, number: usize, segment: u32) {
        if let Some(batch) = self.batches.get_mut(number) {
            batch.segment = segment;
        }
    }

    /// Puts batches in the order of removal, after a recovery which meets moved ones late.
    pub fn sort(&mut self) {
        self.batches.make_contiguous().sort_by_key(|batch| batch.newest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> TaskId {
        TaskId::from_bytes([number; 16])
    }

    #[test]
    fn an_id_is_known_until_its_own_window_is_over() {
        let mut remembered = Remembered::default();
        remembered.put(Timestamp(1), id(1), 1);
        remembered.put(Timestamp(1_000), id(2), 1);
        assert!(remembered.contains(id(1)) && remembered.contains(id(2)));
        remembered.expire(Timestamp(1).after(limits::DEDUP_WINDOW));
        assert!(!remembered.contains(id(1)) && remembered.contains(id(2)));
        remembered.put(Timestamp(2_000), id(1), 1);
        assert!(remembered.contains(id(1)), "its task was there again");
        remembered.expire(Timestamp(2_000).after(limits::DEDUP_WINDOW));
        assert_eq!(remembered.len_through(u32::MAX), 0);
    }

    #[test]
    fn what_stands_in_old_segments_is_told_until_it_was_moved() {
        let mut remembered = Remembered::default();
        for number in 0..6 {
            remembered.put(Timestamp(u64::from(number)), id(number), 3 + u32::from(number));
        }
        assert_eq!(remembered.through(2), None);
        let (batch, gone) = remembered.through(3).unwrap();
        assert_eq!(gone.len(), 6);
        remembered.moved(batch, 9);
        assert_eq!(remembered.through(8), None);
        remembered.put(Timestamp(7), id(7), 10);
        assert_eq!(remembered.through(9).unwrap().1.len(), 7);
    }

    #[test]
    fn beyond_the_limit_the_oldest_are_forgotten() {
        let mut remembered = Remembered::default();
        let id = |number: u32| {
            let mut bytes = [0; 16];
            bytes[12..].copy_from_slice(&number.to_be_bytes());
            TaskId::from_bytes(bytes)
        };
        let count = u32::try_from(limits::DEDUP_IDS_MAX).unwrap() + 1;
        (0..count).for_each(|number| remembered.put(Timestamp(1), id(number), 1));
        assert!(remembered.len_through(u32::MAX) <= limits::DEDUP_IDS_MAX);
        assert!(!remembered.contains(id(0)) && remembered.contains(id(count - 1)));
        assert!(remembered.contains(id(count / 2)));
    }
}
