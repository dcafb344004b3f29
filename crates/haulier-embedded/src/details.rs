//! The details of the tasks that have some, by slot. What is done to a task looks at its detail
//! several times: the one that was found last is found again for nothing.

use std::cell::Cell;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::detail::Detail;
use crate::index::SlotId;
use crate::slab::Slab;

/// Details by slot.
#[derive(Debug, Default)]
pub struct Details {
    numbers: HashMap<SlotId, u32, RandomState>,
    all: Slab<Detail>,
    last: Cell<Option<(SlotId, u32)>>,
}

impl Details {
    /// How many tasks have one.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    fn find(&self, slot: SlotId) -> Option<u32> {
        if let Some((_, number)) = self.last.get().filter(|(last, _)| *last == slot) {
            return Some(number);
        }
        let number = *self.numbers.get(&slot)?;
        self.last.set(Some((slot, number)));
        Some(number)
    }

    /// The detail of a task, if it has one.
    pub fn get(&self, slot: SlotId) -> Option<&Detail> {
        self.find(slot).map(|number| &self.all[number])
    }

    /// The detail of a task, if it has one.
    pub fn get_mut(&mut self, slot: SlotId) -> Option<&mut Detail> {
        self.find(slot).map(|number| &mut self.all[number])
    }

    /// The detail of a task, which has one from now on.
    pub fn entry(&mut self, slot: SlotId) -> &mut Detail {
        let number = self.find(slot).unwrap_or_else(|| {
            let number = self.all.insert(Detail::default());
            self.numbers.insert(slot, number);
            self.last.set(Some((slot, number)));
            number
        });
        &mut self.all[number]
    }

    /// A task has no detail any more.
    pub fn remove(&mut self, slot: SlotId) {
        self.last.set(None);
        if let Some(number) = self.numbers.remove(&slot) {
            self.all[number] = Detail::default();
            self.all.free(number);
        }
    }
}
