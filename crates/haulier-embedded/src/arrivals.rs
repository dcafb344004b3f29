//! The order in which tasks arrived, for listings. It holds slot numbers only, in blocks that know
//! from when to when. An entry whose slot was emptied, or taken by a task of another time, means
//! nothing; a block is looked through when half of its tasks are gone, so that nobody waits for it.

use std::collections::VecDeque;

use haulier_core::Timestamp;

use crate::index::SlotId;

/// Entries of a block; more only if they arrived in one moment.
const BLOCK: usize = 1_024;

#[derive(Debug)]
struct Block {
    from: Timestamp,
    to: Timestamp,
    slots: Vec<SlotId>,
    /// How many of its tasks are gone since it was looked through.
    gone: usize,
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
    /// Something came late, as only a recovery meets it.
    mixed: bool,
}

impl Arrivals {
    /// A task arrived. Until [`Arrivals::is_mixed`] is mended, those that came late may be missing.
    pub fn push(&mut self, at: Timestamp, slot: SlotId) {
        self.mixed |= self.blocks.back().is_some_and(|block| at < block.to);
        match self.blocks.back_mut() {
            Some(block) if block.slots.len() < BLOCK || at <= block.to => {
                block.to = block.to.max(at);
                block.slots.push(slot);
            }
            _ => {
                let mut slots = Vec::with_capacity(BLOCK);
                slots.push(slot);
                self.blocks.push_back(Block { from: at, to: at, slots, gone: 0 });
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

    /// A task that arrived then is gone: a block that lost half is looked through.
    pub fn leave(&mut self, at: Timestamp, arrived: impl Fn(SlotId) -> Option<Timestamp>) {
        let Some(number) = self.block_of(at) else { return };
        let block = &mut self.blocks[number];
        block.gone += 1;
        if 2 * block.gone < block.slots.len() {
            return;
        }
        let current = block.current(arrived);
        block.gone = 0;
        block.slots.clear();
        block.slots.extend(current.into_iter().map(|(_, slot)| slot));
        if block.slots.is_empty() {
            self.blocks.remove(number);
        } else {
            self.join_the_one_before(number);
        }
    }

    /// The block of that time, looked for from the newest on, where most come and go.
    fn block_of(&self, at: Timestamp) -> Option<usize> {
        let len = self.blocks.len();
        let mut step = 1;
        while step < len && self.blocks[len - step].from > at {
            step *= 2;
        }
        let (mut begin, mut end) = (len - step.min(len), len);
        while begin < end {
            let middle = usize::midpoint(begin, end);
            if self.blocks[middle].from <= at {
                begin = middle + 1;
            } else {
                end = middle;
            }
        }
        begin.checked_sub(1)
    }

    /// Small neighbours become one.
    fn join_the_one_before(&mut self, number: usize) {
        let Some(before) = number.checked_sub(1) else { return };
        if self.blocks[before].slots.len() + self.blocks[number].slots.len() > BLOCK {
            return;
        }
        let Some(block) = self.blocks.remove(number) else { return };
        let before = &mut self.blocks[before];
        before.to = block.to;
        before.gone += block.gone;
        before.slots.extend(block.slots);
    }

    /// Whether something arrived before what was there already: it is to be built again then.
    pub const fn is_mixed(&self) -> bool {
        self.mixed
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
        for slot in (0..50_000).filter(|slot: &u32| !slot.is_multiple_of(1_000)) {
            arrivals.leave(Timestamp(u64::from(slot)), arrived);
        }
        let left: usize = arrivals.blocks.iter().map(|block| block.slots.len()).sum();
        assert!(left < 2 * 50 + 2 && arrivals.blocks.len() < 4, "{left} are left");
        let blocks = 0..arrivals.blocks.len();
        let found = blocks.flat_map(|number| arrivals.block(number, arrived));
        assert!(found.map(|(_, slot)| slot).eq((0..50).map(|number| number * 1_000)));
    }
}
