//! What operators do: cancel, rerun, delete, configure, direct.

use haulier_core::{
    Changed, Code, Directive, Event, QueueName, QueueSettings, Refusal, Result, SettingsPatch,
    State, TaskId, WorkerId, transition,
};

use crate::codec::wide;
use crate::engine::{Engine, Now, refuse};
use crate::lines::NameId;
use crate::log::Tail;
use crate::place::Position;
use crate::record::{Change, Happened, Record};

impl Engine {
    pub(super) fn cancel(&mut self, now: Now, ids: &[TaskId], records: &mut Tail) -> Vec<Changed> {
        ids.iter().map(|id| self.direct_task(now, *id, Event::Cancel, records)).collect()
    }

    pub(super) fn rerun(&mut self, now: Now, ids: &[TaskId], records: &mut Tail) -> Vec<Changed> {
        ids.iter().map(|id| self.direct_task(now, *id, Event::Rerun, records)).collect()
    }

    fn direct_task(&mut self, now: Now, id: TaskId, event: Event, records: &mut Tail) -> Changed {
        let Some(slot) = self.index.find(id) else { return Changed::NotFound };
        let standing = self.detail_standing(slot);
        let next = match transition(standing, self.rules(slot).max_attempts, event) {
            Ok(next) => next,
            Err(refusal) => return Changed::Refused(refusal),
        };
        // Asking twice changes nothing the second time.
        if next != standing {
            let rerun = event == Event::Rerun;
            let change = Change {
                id,
                happened: if rerun { Happened::Rerun } else { Happened::Cancelled },
                epoch: self.details.get(slot).map_or_else(Default::default, |it| it.epoch),
                standing: next,
                due_at: if rerun { now.wall } else { self.index.due_at(slot) },
            };
            self.happen(now, slot, change, None, None, records);
        }
        Changed::Done(next.state)
    }

    pub(super) fn delete(&mut self, now: Now, ids: &[TaskId], records: &mut Tail) -> Vec<Changed> {
        let one = |id: &TaskId| {
            let Some(slot) = self.index.find(*id) else { return Changed::NotFound };
            let state = self.index[slot].state();
            if state == State::Running {
                return Changed::Refused(Refusal::new(
                    Code::Final,
                    "the task is running; cancel it first, then delete it",
                ));
            }
            self.drop_task(now, slot, records);
            Changed::Done(state)
        };
        ids.iter().map(one).collect()
    }

    pub(super) fn configure(
        &mut self,
        now: Now,
        queue: &QueueName,
        patch: &SettingsPatch,
        records: &mut Tail,
    ) -> Result<QueueSettings> {
        patch.check().or_else(refuse)?;
        if patch.is_empty() {
            let known = self.lines.find_queue(queue.as_str());
            return Ok(known
                .map(|id| self.lines.queues[wide(id)].settings.clone())
                .unwrap_or_default());
        }
        if self.lines.find_queue(queue.as_str()).is_none() {
            self.no_more_names().map_or(Ok(()), refuse)?;
        }
        let id = self.lines.queue(queue);
        let mut settings = self.lines.queues[wide(id)].settings.clone();
        patch.apply(&mut settings);
        self.write_settings(now, queue, settings.clone(), records);
        self.apply_retention(id);
        if self.has_ready(id) {
            self.news.ready.push(id);
        }
        Ok(settings)
    }

    /// Writes a queue's settings at the end of the log.
    pub(super) fn write_settings(
        &mut self,
        now: Now,
        queue: &QueueName,
        settings: QueueSettings,
        records: &mut Tail,
    ) {
        let record = Record::Settings { queue: queue.to_string(), settings: settings.clone() };
        let placed = records.push(&record, &[], now.wall, self.last_order);
        self.set_settings(queue, settings, placed.position());
    }

    pub(super) fn set_settings(
        &mut self,
        queue: &QueueName,
        settings: QueueSettings,
        at: Position,
    ) {
        let id = self.lines.queue(queue);
        let state = &mut self.lines.queues[wide(id)];
        state.settings = settings;
        state.settings_at = Some(at);
    }

    /// New retention holds for tasks that are finished already, too.
    fn apply_retention(&mut self, id: NameId) {
        let finished = self
            .index
            .iter()
            .filter(|(_, slot)| slot.state().is_final() && self.lines.get(slot.line).queue == id);
        let finished: Vec<_> = finished.map(|(number, _)| number).collect();
        for slot in finished {
            let forget_at = self.forget_at(slot);
            self.set_kept_timer(slot, forget_at);
        }
        if !std::mem::replace(&mut self.lines.queues[wide(id)].overfull, true) {
            self.overfull.push(id);
        }
    }

    pub(super) fn direct(&mut self, workers: &[WorkerId], directive: Directive) -> Vec<bool> {
        let one = |worker: &WorkerId| {
            let Some(state) = self.workers.find(worker) else { return false };
            if state.directive != directive {
                state.directive = directive;
                self.news.workers.push(worker.clone());
            }
            true
        };
        workers.iter().map(one).collect()
    }
}
