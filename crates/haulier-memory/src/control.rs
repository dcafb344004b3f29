//! What operators do: call off, have done again, forget, set.

use std::sync::Arc;

use haulier_core::{
    Changed, Code, Error, Event, QueueName, QueueSettings, Refusal, Result, SettingsPatch,
    State as TaskState, TaskId,
};

use crate::state::{Now, State};

impl State {
    /// Calls a task off; the holder of a running one is told (I15).
    pub fn cancel(&mut self, id: TaskId, now: Now) -> Changed {
        let Some(before) = self.tasks.get(&id).map(|entry| entry.standing) else {
            return Changed::NotFound;
        };
        if before.cancel_requested || before.state == TaskState::Cancelled {
            // Asking twice gives nobody more time to stop.
            return Changed::Done(before.state);
        }
        let mut holder = None;
        let cancelled = self.carry_out(id, Event::Cancel, now, |entry| {
            if let Some(grant) = &mut entry.grant {
                grant.stop_after(now);
                holder = Some(grant.worker.clone());
            }
        });
        if let Some(worker) = holder {
            self.workers.tell(&worker);
        }
        cancelled.map_or_else(Changed::Refused, Changed::Done)
    }

    /// Makes a final task available again, as if nothing had been done.
    pub fn rerun(&mut self, id: TaskId, now: Now) -> Changed {
        if !self.tasks.contains_key(&id) {
            return Changed::NotFound;
        }
        let rerun = self.carry_out(id, Event::Rerun, now, |entry| {
            entry.due_at = now.wall;
            entry.finished_at = None;
            entry.expires_at = None;
            entry.result = None;
            entry.progress = None;
            entry.checkpoints.clear();
        });
        if rerun.is_ok() {
            self.hold_key_again(id, now);
        }
        rerun.map_or_else(Changed::Refused, Changed::Done)
    }

    /// A task that is done again holds its unique key again, unless another one has it now.
    fn hold_key_again(&mut self, id: TaskId, now: Now) {
        let Some(entry) = self.tasks.get(&id) else { return };
        let Some(unique) = entry.unique.as_ref() else { return };
        let key = (entry.task.queue.clone(), Arc::clone(&unique.key));
        let holder = self.holders.get(&key).and_then(|holder| self.tasks.get(holder));
        if !holder.is_some_and(|holder| holder.holds_key(now)) {
            self.holders.insert(key, id);
        }
    }

    /// Forgets a task that does not run.
    pub fn delete(&mut self, id: TaskId, now: Now) -> Changed {
        match self.tasks.get(&id).map(|entry| entry.standing.state) {
            None => Changed::NotFound,
            Some(TaskState::Running) => Changed::Refused(Refusal::new(
                Code::Final,
                "the task is running; cancel it first, and delete it when it has stopped",
            )),
            Some(state) => {
                self.remove(id, now);
                Changed::Done(state)
            }
        }
    }

    /// Changes a queue's settings. Reading leaves no trace.
    pub fn configure(&mut self, queue: &QueueName, patch: &SettingsPatch) -> Result<QueueSettings> {
        patch.check()?;
        if patch.is_empty() {
            return Ok(self
                .index
                .lines
                .get(queue)
                .map_or_else(QueueSettings::default, |line| line.settings.clone()));
        }
        let known = self.index.lines.contains_key(queue);
        if !known && self.index.lines.len() >= self.queues_max {
            let message = format!("the store has {} queues already", self.queues_max);
            return Err(Error::new(Code::StorageFull, message));
        }
        let line = self.index.line(queue);
        patch.apply(&mut line.settings);
        Ok(line.settings.clone())
    }
}
