//! What this server was told, against what Redis knows after it has become another one: a replica
//! that missed the last writes, a copy, or itself, started anew from a log that lacks some. What is
//! missing then was acknowledged, and is lost; it is said in numbers, once.
//!
//! A server counts what it was told itself: others may have been told more.

use haulier_core::Result;

use crate::pack::Value;

/// How much of each: what a store has seen since it was made, or what it lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Tasks that were accepted.
    pub tasks: u64,
    /// Leases that were handed out.
    pub leases: u64,
    /// Tasks that became final.
    pub ends: u64,
}

impl Counts {
    /// As `reply` in `prelude.lua` writes it.
    pub(crate) fn read(value: Value) -> Result<Self> {
        let [tasks, leases, ends] = value.tuple()?;
        Ok(Self { tasks: tasks.count()?, leases: leases.count()?, ends: ends.count()? })
    }

    fn of_both(self, other: Self, count: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            tasks: count(self.tasks, other.tasks),
            leases: count(self.leases, other.leases),
            ends: count(self.ends, other.ends),
        }
    }

    fn or_more(self, other: Self) -> Self {
        self.of_both(other, u64::max)
    }

    fn beyond(self, other: Self) -> Self {
        self.of_both(other, u64::saturating_sub)
    }

    fn and(self, other: Self) -> Self {
        self.of_both(other, u64::saturating_add)
    }
}

/// What was there when Redis became what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Met {
    /// Raised then.
    pub generation: u64,
    survived: Counts,
}

impl Met {
    /// As `meet.lua` writes it.
    pub fn read(value: Value) -> Result<Self> {
        let parts = Value::read(value.bytes()?)?.tuple()?;
        let [generation, tasks, leases, ends] = parts;
        let survived =
            Counts { tasks: tasks.count()?, leases: leases.count()?, ends: ends.count()? };
        Ok(Self { generation: generation.count()?, survived })
    }
}

/// What became of a Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Another one than before that has everything that this server knows of.
    Whole,
    /// It lacks so much.
    Lost(Counts),
}

impl Change {
    /// Says it.
    pub fn tell(self, generation: u64) {
        match self {
            Self::Whole => tracing::info!(
                generation,
                "Redis was started anew or failed over: the generation was raised. It has all that \
                 this server was told of"
            ),
            Self::Lost(Counts { tasks, leases, ends }) => {
                tracing::error!(
                    generation,
                    tasks,
                    leases,
                    ends,
                    "Redis has lost acknowledged writes: {tasks} tasks, {leases} leases and \
                     {ends} ends of tasks that this server was told of are missing in it. It \
                     failed over to a replica without them, or was restored. The generation was \
                     raised, so no epoch comes twice; tasks whose end is lost run again"
                );
            }
        }
    }
}

/// What this server was told.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    generation: Option<u64>,
    most: Counts,
    /// All that was missing so far.
    lost: Counts,
}

impl Witness {
    /// An answer came in. Answers of before a change may come in behind it: they tell nothing.
    pub fn hear(&mut self, met: Met, seen: Counts) -> Option<Change> {
        let before = *self.generation.get_or_insert(met.generation);
        if met.generation < before {
            return None;
        }
        if met.generation == before {
            self.most = self.most.or_more(seen);
            return None;
        }
        let lost = self.most.beyond(met.survived);
        self.generation = Some(met.generation);
        self.most = met.survived.or_more(seen);
        self.lost = self.lost.and(lost);
        Some(if lost == Counts::default() { Change::Whole } else { Change::Lost(lost) })
    }

    /// All that this server was told and that is not there any more.
    pub fn lost(&self) -> Counts {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(tasks: u64, leases: u64, ends: u64) -> Counts {
        Counts { tasks, leases, ends }
    }

    fn met(generation: u64, survived: Counts) -> Met {
        Met { generation, survived }
    }

    #[test]
    fn what_was_told_and_is_missing_in_another_redis_is_counted_once() {
        let mut witness = Witness::default();
        let first = met(1, Counts::default());
        assert_eq!(witness.hear(first, seen(10, 5, 3)), None);
        // Answers may come in in another order than they were given.
        assert_eq!(witness.hear(first, seen(9, 6, 3)), None);
        let other = met(2, seen(8, 6, 1));
        assert_eq!(witness.hear(other, seen(20, 20, 20)), Some(Change::Lost(seen(2, 0, 2))));
        assert_eq!(witness.hear(other, seen(21, 20, 20)), None);
        assert_eq!(witness.hear(first, seen(30, 30, 30)), None, "an answer from before");
        let whole = met(3, seen(21, 20, 20));
        assert_eq!(witness.hear(whole, seen(21, 20, 20)), Some(Change::Whole));
    }

    #[test]
    fn whoever_was_told_nothing_yet_misses_nothing() {
        let mut witness = Witness::default();
        assert_eq!(witness.hear(met(7, seen(5, 5, 5)), seen(5, 5, 5)), None);
    }
}
