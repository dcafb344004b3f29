//! Handing a task over. The order of the checks is part of the contract: the task itself, its id,
//! its unique key, room in its queue.

use std::sync::Arc;

use haulier_core::{
    Code, Durability, Enqueued, Epoch, NewTask, OnConflict, Refusal, Standing, Start, TaskId,
};

use crate::state::{Entry, Now, State};

/// What an acknowledgement of this store is worth.
const DURABILITY: Durability = Durability::D0;

impl State {
    /// Stores a task or says why not.
    pub fn enqueue(&mut self, new: NewTask, now: Now) -> Enqueued {
        if let Err(refusal) = new.check(self.payload_bytes_max) {
            return Enqueued::Refused(refusal);
        }
        if let Some(known) = self.meet_id(&new, now) {
            return known;
        }
        let holder = self.key_holder(&new, now);
        let replaced = match holder.map(|id| self.meet_holder(&new, id)) {
            None => None,
            Some(Conflict::Met(answer)) => return answer,
            Some(Conflict::Replaced(id)) => Some(id),
        };
        if let Err(refusal) = self.room_for(&new, replaced) {
            return Enqueued::Refused(refusal);
        }
        // A holder that is final already has nothing to be called off; it only gives its key away.
        if let Some(id) = replaced.filter(|id| self.is_pending(*id)) {
            self.cancel(id, now);
        }
        self.accept(new, now)
    }

    /// The answer to a task whose id is known.
    fn meet_id(&mut self, new: &NewTask, now: Now) -> Option<Enqueued> {
        let id = new.id;
        match self.tasks.get(&id) {
            Some(entry) if entry.task.is_same_work(new) => {
                let state = Some(entry.standing.state);
                Some(Enqueued::Existing { id, state, durability: DURABILITY })
            }
            Some(_) => Some(Enqueued::Refused(Refusal::new(
                Code::IdConflict,
                format!("task {id} exists with another queue, kind or payload; use a new id"),
            ))),
            None => self.removed.knows(id, now.wall).then_some(Enqueued::Existing {
                id,
                state: None,
                durability: DURABILITY,
            }),
        }
    }

    /// The other task that holds the new one's unique key.
    fn key_holder(&self, new: &NewTask, now: Now) -> Option<TaskId> {
        let unique = new.unique.as_ref()?;
        let id = *self.holders.get(&(new.queue.clone(), Arc::clone(&unique.key)))?;
        self.tasks.get(&id).filter(|entry| entry.holds_key(now)).map(|_| id)
    }

    /// What happens to a task whose unique key `holder` holds.
    fn meet_holder(&self, new: &NewTask, holder: TaskId) -> Conflict {
        let standing = self.tasks.get(&holder).map(|entry| entry.standing);
        let started = standing.is_none_or(|standing| standing.started);
        match new.unique.as_ref().map(|unique| unique.on_conflict) {
            Some(OnConflict::Replace) if !started => Conflict::Replaced(holder),
            Some(OnConflict::Reject) => Conflict::Met(Enqueued::Refused(Refusal::new(
                Code::UniqueConflict,
                format!("the unique key is held by task {holder}"),
            ))),
            _ => Conflict::Met(Enqueued::Existing {
                id: holder,
                state: standing.map(|standing| standing.state),
                durability: DURABILITY,
            }),
        }
    }

    /// Whether the queue has room, counting the place that a replaced task leaves.
    fn room_for(&self, new: &NewTask, replaced: Option<TaskId>) -> Result<(), Refusal> {
        let Some(line) = self.index.lines.get(&new.queue) else {
            if self.index.lines.len() < self.queues_max {
                return Ok(());
            }
            return Err(Refusal::new(
                Code::StorageFull,
                format!("the store has {} queues already; use one of them", self.queues_max),
            ));
        };
        let Some(most) = line.settings.max_tasks else { return Ok(()) };
        let leaves = u64::from(replaced.is_some_and(|id| self.is_pending(id)));
        let held = line.counts.pending() - leaves;
        if held < most {
            return Ok(());
        }
        Err(Refusal::new(
            Code::QueueFull,
            format!(
                "queue {} holds {held} tasks; its max_tasks is {most}: try again later",
                new.queue
            ),
        ))
    }

    fn is_pending(&self, id: TaskId) -> bool {
        self.tasks.get(&id).is_some_and(|entry| !entry.standing.state.is_final())
    }

    fn accept(&mut self, new: NewTask, now: Now) -> Enqueued {
        let NewTask { task, start, unique } = new;
        let id = task.id;
        let due_at = match start {
            Start::Now => now.wall,
            Start::After(delay) => now.wall.after(delay),
            // A time that has passed is no way to the head of the line.
            Start::At(at) => at.max(now.wall),
        };
        let standing = Standing::new(due_at <= now.wall);
        let entry = Entry {
            expires_at: task.expires_in.map(|span| now.wall.after(span)),
            task: Arc::new(task),
            unique,
            standing,
            epoch: Epoch::default(),
            enqueued_at: now.wall,
            due_at,
            finished_at: None,
            order: self.next_order(),
            grant: None,
            progress: None,
            checkpoints: Vec::new(),
            result: None,
            deliveries: std::collections::VecDeque::new(),
        };
        self.insert(entry);
        Enqueued::Inserted { id, state: standing.state, durability: DURABILITY }
    }
}

/// What comes of a unique key that is held.
enum Conflict {
    /// The task is not stored.
    Met(Enqueued),
    /// The holder gives way.
    Replaced(TaskId),
}
