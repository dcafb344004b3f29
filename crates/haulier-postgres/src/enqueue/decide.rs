//! What is decided about tasks one by one: the order of the checks is part of the contract (its id,
//! its unique key, room in its queue). Nothing here asks the database; what it decides is carried
//! out by `general`.

use std::collections::{HashMap, HashSet};

use haulier_core::{
    Code, Durability, Enqueued, OnConflict, Refusal, Start, State, Task, TaskId, Timestamp, Unique,
    limits,
};

use super::Given;
use crate::known::Known;

/// What a batch meets, as it is before the next task of it.
#[derive(Debug)]
pub(super) struct World<'a> {
    pub now: Timestamp,
    pub durability: Durability,
    met: HashMap<TaskId, Met<'a>>,
    /// Which places of the batch are the same work as what is stored under their ids.
    same: HashSet<usize>,
    holders: HashMap<Key, TaskId>,
    rooms: HashMap<i32, Room>,
}

/// A unique key: a queue, and the key as it stands in the table.
pub(super) type Key = (i32, String);

/// A queue that may hold so many tasks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub pending: i64,
    pub most: i64,
}

/// A task that is there.
#[derive(Debug)]
struct Met<'a> {
    /// `None`: only the id is known.
    state: Option<State>,
    started: bool,
    enqueued_at: Timestamp,
    queue: i32,
    unique: Option<Unique>,
    /// The task, if it came with this batch.
    new: Option<&'a Task>,
}

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Plan<'a> {
    /// Tasks to be stored, in their order.
    pub stored: Vec<Given<'a>>,
    /// Tasks to be cancelled, because others take their places.
    pub replaced: Vec<TaskId>,
    /// Who holds keys now.
    pub taken: HashMap<Key, TaskId>,
    pub answers: Vec<(usize, Enqueued)>,
}

impl<'a> World<'a> {
    pub(super) fn new(
        now: Timestamp,
        durability: Durability,
        known: Vec<Known>,
        same: HashSet<usize>,
        holders: HashMap<Key, TaskId>,
        rooms: HashMap<i32, Room>,
    ) -> Self {
        let met = known.into_iter().map(|task| {
            let met = Met {
                state: (!task.gone).then_some(task.standing.state),
                started: task.standing.started,
                enqueued_at: task.enqueued_at,
                queue: task.queue,
                unique: task.unique,
                new: None,
            };
            (task.id, met)
        });
        Self { now, durability, met: met.collect(), same, holders, rooms }
    }

    /// Decides about every task of a batch.
    pub(super) fn decide(mut self, given: &[Given<'a>], keys: &[Option<Key>]) -> Plan<'a> {
        let mut plan = Plan::default();
        for (given, key) in given.iter().zip(keys) {
            let answer = self.one(given, key.as_ref(), &mut plan);
            plan.answers.push((given.at, answer));
        }
        plan
    }

    fn one(&mut self, given: &Given<'a>, key: Option<&Key>, plan: &mut Plan<'a>) -> Enqueued {
        if let Some(known) = self.meet_id(given) {
            return known;
        }
        let holder = key.and_then(|key| self.key_holder(key, given));
        let replaced = match holder.map(|id| self.meet_holder(given, id)) {
            None => None,
            Some(Err(answer)) => return answer,
            // One that is final already has nothing to be called off; it only gives its key away.
            Some(Ok(id)) => Some(id).filter(|id| self.is_pending(*id)),
        };
        if let Err(refusal) = self.room(given, replaced.is_some()) {
            return Enqueued::Refused(refusal);
        }
        if let Some(id) = replaced {
            self.call_off(id);
            plan.replaced.push(id);
        }
        if let Some(key) = key {
            self.holders.insert(key.clone(), given.task.id);
            plan.taken.insert(key.clone(), given.task.id);
        }
        plan.stored.push(*given);
        self.accept(given)
    }

    /// The answer to a task whose id is known.
    fn meet_id(&self, given: &Given<'a>) -> Option<Enqueued> {
        let id = given.task.id;
        let met = self.met.get(&id)?;
        let same = match (met.state, met.new) {
            (None, _) => true,
            (Some(_), Some(new)) => new.is_same_work(given.task),
            (Some(_), None) => self.same.contains(&given.at),
        };
        Some(if same {
            Enqueued::Existing { id, state: met.state, durability: self.durability }
        } else {
            Enqueued::Refused(Refusal::new(
                Code::IdConflict,
                format!(
                    "task {id} exists with another queue, kind or payload; repeat it unchanged or \
                     give the new work a new id"
                ),
            ))
        })
    }

    /// The other task that holds the new one's unique key.
    fn key_holder(&self, key: &Key, given: &Given<'_>) -> Option<TaskId> {
        let id = *self.holders.get(key)?;
        let met = self.met.get(&id)?;
        let (unique, asked) = (met.unique.as_ref()?, given.task.unique.as_ref()?);
        // Whoever stands in the table may have been refused, and have come again as another task.
        let its_own = met.queue == key.0 && unique.key == asked.key;
        let held = unique.is_held(met.state?, met.started, met.enqueued_at, self.now);
        (its_own && held).then_some(id)
    }

    /// What happens to a task whose unique key another one holds: that one gives way, or this is
    /// the answer.
    fn meet_holder(&self, given: &Given<'_>, holder: TaskId) -> Result<TaskId, Enqueued> {
        let met = self.met.get(&holder);
        let started = met.is_none_or(|met| met.started);
        match given.task.unique.as_ref().map(|unique| unique.on_conflict) {
            Some(OnConflict::Replace) if !started => Ok(holder),
            Some(OnConflict::Reject) => Err(Enqueued::Refused(Refusal::new(
                Code::UniqueConflict,
                format!("task {holder} holds the unique key until it is free again"),
            ))),
            _ => Err(Enqueued::Existing {
                id: holder,
                state: met.and_then(|met| met.state),
                durability: self.durability,
            }),
        }
    }

    fn is_pending(&self, id: TaskId) -> bool {
        let state = self.met.get(&id).and_then(|met| met.state);
        state.is_some_and(|state| !state.is_final())
    }

    /// Whether the queue has room, counting the place that a replaced task leaves.
    fn room(&self, given: &Given<'_>, replaces: bool) -> Result<(), Refusal> {
        let Some(queue) = given.queue else {
            return Err(Refusal::new(
                Code::StorageFull,
                format!("the store has {} queues already; use one of them", limits::QUEUES_MAX),
            ));
        };
        let Some(room) = self.rooms.get(&queue) else { return Ok(()) };
        let held = room.pending - i64::from(replaces);
        if held < room.most {
            return Ok(());
        }
        Err(Refusal::new(
            Code::QueueFull,
            format!(
                "queue {} holds {held} tasks and may hold {}; try later or raise max_tasks",
                given.task.queue, room.most
            ),
        ))
    }

    fn call_off(&mut self, id: TaskId) {
        let Some(met) = self.met.get_mut(&id) else { return };
        met.state = Some(State::Cancelled);
        if let Some(room) = self.rooms.get_mut(&met.queue) {
            room.pending -= 1;
        }
    }

    fn accept(&mut self, given: &Given<'a>) -> Enqueued {
        let (id, queue) = (given.task.id, given.queue.unwrap_or_default());
        let due = match given.task.start {
            Start::Now => true,
            Start::After(delay) => delay.as_millis() == 0,
            Start::At(at) => at <= self.now,
        };
        let state = if due { State::Available } else { State::Scheduled };
        let met = Met {
            state: Some(state),
            started: false,
            enqueued_at: self.now,
            queue,
            unique: given.task.unique.clone(),
            new: Some(&given.task.task),
        };
        self.met.insert(id, met);
        if let Some(room) = self.rooms.get_mut(&queue) {
            room.pending += 1;
        }
        Enqueued::Inserted { id, state, durability: self.durability }
    }
}
