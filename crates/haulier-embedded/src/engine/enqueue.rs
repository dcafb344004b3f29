//! Accepting tasks: what is known already, who holds a unique key, and whether there is room.

use std::sync::Arc;

use haulier_core::{
    Code, Durability, Enqueued, Event, OnConflict, Refusal, Start, State, Task, TaskId, Timestamp,
    Unique, probe, transition,
};

use crate::engine::offer::{Offer, Offers};
use crate::engine::{Body, Engine, Now};
use crate::index::SlotId;
use crate::lines::NameId;
use crate::log::Tail;
use crate::record::{Accepted, Change, Happened, Record};

/// The answer to one task.
#[derive(Debug)]
pub enum Answer {
    /// It is decided.
    Known(Enqueued),
    /// The id is taken: what stands on the disk has to be compared.
    Compare {
        /// What is there.
        there: Body,
        /// Where it stands.
        state: State,
        /// What came.
        came: Arc<Task>,
    },
}

const DURABILITY: Durability = Durability::D2;

/// The answer for a task that is there, or whose id is remembered.
pub fn existing(id: TaskId, state: Option<State>) -> Enqueued {
    Enqueued::Existing { id, state, durability: DURABILITY }
}

/// The refusal of an id that is taken by other work.
pub fn id_conflict(id: TaskId) -> Enqueued {
    Enqueued::Refused(Refusal::new(
        Code::IdConflict,
        format!(
            "task {id} exists with another queue, kind or payload; repeat it unchanged or give the \
             new work a new id"
        ),
    ))
}

fn refused(code: Code, message: String) -> Answer {
    Answer::Known(Enqueued::Refused(Refusal::new(code, message)))
}

impl Engine {
    pub(super) fn enqueue(&mut self, now: Now, offers: Offers, records: &mut Tail) -> Vec<Answer> {
        self.remembered.expire(now.wall);
        let (offers, definitions) = offers.into_parts();
        let one = |offer| self.enqueue_one(now, offer, &definitions, records);
        offers.into_iter().map(one).collect()
    }

    fn enqueue_one(
        &mut self,
        now: Now,
        offer: Offer,
        definitions: &[u8],
        records: &mut Tail,
    ) -> Answer {
        if let Some(refusal) = offer.refusal {
            return Answer::Known(Enqueued::Refused(refusal));
        }
        let task = &offer.task;
        if let Some(slot) = self.index.find(task.id) {
            return self.meet(slot, offer.task);
        }
        if self.remembered.contains(task.id) {
            return Answer::Known(existing(task.id, None));
        }
        let queue = self.lines.find_queue(task.queue.as_str());
        let key = offer.unique.as_ref().map(|unique| &unique.key);
        let holder = queue.zip(key).and_then(|(queue, key)| self.key_holder(now.wall, queue, key));
        let replaced = match holder.map(|slot| self.conflict(slot, offer.unique.as_ref())) {
            None => None,
            Some(Ok(slot)) => Some(slot),
            Some(Err(answer)) => {
                let winner = holder.map(|slot| self.index[slot].definition().position());
                if winner.is_some_and(|at| at >= records.durable()) {
                    probe::sometimes("conflict before the winner is durable");
                }
                return answer;
            }
        };
        // One that never started and is over already leaves no place.
        let replaced = replaced.filter(|slot| !self.index[*slot].state().is_final());
        if let Some(refusal) = self.no_room(queue, task, replaced.is_some()) {
            if probe::planted("refused-but-stored") {
                self.insert(now, offer, definitions, records);
            }
            return refusal;
        }
        if let Some(slot) = replaced {
            self.call_off(now, slot, records);
        }
        self.insert(now, offer, definitions, records)
    }

    /// The id is there: the same work again, or a conflict.
    fn meet(&self, slot: SlotId, task: Arc<Task>) -> Answer {
        let envelope = self.envelope(slot);
        if envelope.queue != task.queue || envelope.kind != task.kind {
            return Answer::Known(id_conflict(task.id));
        }
        let state = self.index[slot].state();
        match self.body(slot) {
            Body::Here(there) if there.is_same_work(&task) => {
                Answer::Known(existing(task.id, Some(state)))
            }
            Body::Here(_) => Answer::Known(id_conflict(task.id)),
            there @ Body::There(..) => Answer::Compare { there, state, came: task },
        }
    }

    /// Who holds a unique key.
    pub(super) fn key_holder(
        &self,
        now: Timestamp,
        queue: NameId,
        key: &Arc<str>,
    ) -> Option<SlotId> {
        let slot = *self.uniques.get(&(queue, Arc::clone(key)))?;
        let detail = self.details.get(slot)?;
        let place = &self.index[slot];
        let unique = detail.unique.as_ref()?;
        unique.is_held(place.state(), detail.started, place.enqueued_at(), now).then_some(slot)
    }

    /// What a taken key means: the holder to replace, or the answer.
    fn conflict(&self, slot: SlotId, unique: Option<&Unique>) -> Result<SlotId, Answer> {
        let holder = &self.index[slot];
        let started = self.details.get(slot).is_some_and(|detail| detail.started);
        match unique.map(|unique| unique.on_conflict) {
            Some(OnConflict::Replace) if !started => Ok(slot),
            Some(OnConflict::Reject) => Err(refused(
                Code::UniqueConflict,
                format!("task {} holds the unique key until it is free again", holder.id),
            )),
            _ => Err(Answer::Known(existing(holder.id, Some(holder.state())))),
        }
    }

    fn no_room(&self, queue: Option<NameId>, task: &Task, replaces: bool) -> Option<Answer> {
        if self.storage_full {
            return Some(refused(
                Code::StorageFull,
                "the disk is full: no room for new tasks; settle or delete some, or free space"
                    .to_owned(),
            ));
        }
        let known = || queue.is_some() && self.lines.find_kind(task.kind.as_str()).is_some();
        if let Some(refusal) = self.no_more_names().filter(|_| !known()) {
            return Some(Answer::Known(Enqueued::Refused(refusal)));
        }
        let state = &self.lines.queues[crate::codec::wide(queue?)];
        let pending = state.counts.pending() - u64::from(replaces);
        let max = state.settings.max_tasks?;
        (pending >= max).then(|| {
            refused(
                Code::QueueFull,
                format!(
                    "queue {} holds {pending} tasks and may hold {max}; try later or raise max_tasks",
                    state.name
                ),
            )
        })
    }

    /// Cancels the task that held the key.
    fn call_off(&mut self, now: Now, slot: SlotId, records: &mut Tail) {
        let detail = self.details.get(slot).cloned().unwrap_or_default();
        let place = &self.index[slot];
        let standing = detail.standing(place);
        if let Ok(standing) = transition(standing, u32::MAX, Event::Cancel) {
            let change = Change {
                id: place.id,
                happened: Happened::Cancelled,
                epoch: detail.epoch,
                standing,
                due_at: self.index.due_at(slot),
            };
            self.happen(now, slot, change, None, None, records);
        }
    }

    fn insert(&mut self, now: Now, offer: Offer, definitions: &[u8], records: &mut Tail) -> Answer {
        let definition = offer.part(definitions);
        let Offer { task, start, unique, .. } = offer;
        let due_at = match start {
            Start::Now => now.wall,
            Start::After(delay) => now.wall.after(delay),
            Start::At(at) => at.max(now.wall),
        };
        let accepted = Accepted {
            id: task.id,
            due_at,
            rules: (&task.policy).into(),
            expires_at: task.expires_in.map(|span| now.wall.after(span)),
            unique,
        };
        let id = task.id;
        let line = self.lines.line(&task.queue, &task.kind, task.priority);
        records.stand_in(&task.queue, &task.kind, task.priority);
        let record = Record::Accepted(accepted);
        let placed = records.push(&record, &[definition], now.wall, self.last_order);
        let (Record::Accepted(accepted), Some(part)) = (record, placed.part()) else {
            return refused(Code::Internal, "a record lost its part".to_owned());
        };
        let Some(slot) = self.accept(now.wall, line, &accepted, part) else {
            return refused(Code::Internal, "a task was accepted twice".to_owned());
        };
        self.cache.put(slot, line, task);
        let state = self.index[slot].state();
        Answer::Known(Enqueued::Inserted { id, state, durability: DURABILITY })
    }
}
