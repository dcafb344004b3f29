//! The order in which tasks arrived, for listings. It holds slot numbers only, in blocks that know
//! from when to when. An entry whose slot was emptied, or taken by a task of another time, means
//! nothing; blocks are looked through in turn, a little with every task that goes, so that what
//! means nothing stays little and nobody waits for it.

use std::collections::VecDeque;

use haulier_core::Timestamp;

use crate::index::SlotId;

/// Entries of a block; more only if they arrived in one moment.
const BLOCK: usize = 1_024;
/// Entries that are looked at for every task that goes.
const LOOKED_AT: usize = 2;

#[derive(Debug)]
struct Block {
    from: Timestamp,
    to: Timestamp,
    slots: Vec<SlotId>,
}

impl Block {
    /// Entries whose tasks, as `arrived` tells of a slot, arrived in this block's time. One that
    /// was emptied and taken again in that time stands here twice.
    fn current(&self, arrived: impl Fn(SlotId) -> Option<Timestamp>) -> Vec<(Timestamp, SlotId)> {
        let holds = |at: &Timestamp| self.from <= *at && *at <= self.to;
        let slots = self.slots.iter();
        let current = slots.filter_map(|slot| Some((arrived(*slot).filter(holds)?, *slot)));
        let mut current: Vec<_> = current.collect();
        current.sort_unstable();
        current.dedup();
        current
    }
}

/// Slots by the time at which their tasks arrived.
#[derive(Debug, Default)]
pub struct Arrivals {
    blocks: VecDeque<Block>,
    /// The block that is looked through next, and how much was saved up for it.
    turn: usize,
    saved: usize,
}

impl Arrivals {
    /// A task arrived, not before those that are there.
    pub fn push(&mut self, at: Timestamp, slot: SlotId) {
        match self.blocks.back_mut() {
            Some(block) if block.slots.len() < BLOCK || at <= block.to => {
                block.to = block.to.max(at);
                block.slots.push(slot);
            }
            _ => {
                let mut slots = Vec::with_capacity(BLOCK);
                slots.push(slot);
                self.blocks.push_back(Block { from: at, to: at, slots });
            }
        }
    }

    /// How many blocks may hold what arrived up to then; blocks are numbered from the oldest.
    pub fn blocks_until(&self, at: Timestamp) -> usize {
        self.blocks.partition_point(|block| block.from <= at)
    }

    /// The tasks of a block, by their time.
    pub fn block(
        &self,
        number: usize,
        arrived: impl Fn(SlotId) -> Option<Timestamp>,
    ) -> Vec<(Timestamp, SlotId)> {
        self.blocks.get(number).map_or_else(Vec::new, |block| block.current(arrived))
    }

    /// A task is gone: time to look for entries that mean nothing.
    pub fn leave(&mut self, arrived: impl Fn(SlotId) -> Option<Timestamp>) {
        self.saved += LOOKED_AT;
        if self.turn >= self.blocks.len() {
            self.turn = 0;
        }
        let Some(block) = self.blocks.get_mut(self.turn) else { return };
        if self.saved < block.slots.len() {
            return;
        }
        self.saved = 0;
        let current = block.current(arrived);
        block.slots.clear();
        block.slots.extend(current.into_iter().map(|(_, slot)| slot));
        if block.slots.is_empty() {
            self.blocks.remove(self.turn);
        } else if !self.join_the_one_before() {
            self.turn += 1;
        }
    }

    /// Small neighbours become one.
    fn join_the_one_before(&mut self) -> bool {
        let Some(before) = self.turn.checked_sub(1) else { return false };
        if self.blocks[before].slots.len() + self.blocks[self.turn].slots.len() > BLOCK {
            return false;
        }
        let Some(block) = self.blocks.remove(self.turn) else { return false };
        self.blocks[before].to = block.to;
        self.blocks[before].slots.extend(block.slots);
        true
    }

    /// Begins again with these, which may come in any order.
    pub fn rebuild(&mut self, all: impl Iterator<Item = (Timestamp, SlotId)>) {
        let mut all: Vec<(Timestamp, SlotId)> = all.collect();
        all.sort_by_key(|(at, _)| *at);
        *self = Self::default();
        for (at, slot) in all {
            self.push(at, slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_mean_nothing_are_swept_out_while_tasks_go() {
        let mut arrivals = Arrivals::default();
        for slot in 0..50_000 {
            arrivals.push(Timestamp(u64::from(slot)), slot);
        }
        // All but every thousandth are gone.
        let arrived =
            |slot: SlotId| slot.is_multiple_of(1_000).then_some(Timestamp(u64::from(slot)));
        (0..50_000).for_each(|_| arrivals.leave(arrived));
        let left: usize = arrivals.blocks.iter().map(|block| block.slots.len()).sum();
        assert_eq!((left, arrivals.blocks.len()), (50, 1));
        let found = arrivals.block(0, arrived);
        assert!(found.iter().map(|(_, slot)| *slot).eq((0..50).map(|number| number * 1_000)));
    }
}
