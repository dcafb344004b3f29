//! What a store was asked and what it said, and whether a store that was opened again keeps it.
//! Every finding names the promise that is broken.

use std::collections::BTreeMap;
use std::time::Duration;

use haulier_conformance::prelude::Must;
use haulier_core::{
    Clock, Control, Enqueued, Include, Inspect, Lease, LeaseKey, Maintain, NewTask, Outcome, Queue,
    QueueName, Settled, Settlement, Start, State, TaskId, TaskView, Want, WorkerId, limits,
};

use crate::machine::Machine;

/// What was said about an enqueue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Said {
    /// No answer came.
    #[default]
    Nothing,
    Accepted,
    Refused,
}

/// A task as its callers know it.
#[derive(Debug, Clone)]
pub struct Entry {
    pub task: NewTask,
    pub said: Said,
    /// Not before then, on the monotonic clock.
    pub due: Duration,
    /// The largest epoch that anybody was given.
    pub epoch: u64,
    /// Settlements that were answered.
    pub settled: Vec<(LeaseKey, Settled)>,
    /// Its last outcome that was acknowledged as final, and what it returned.
    pub over: Option<State>,
    pub cancelled: bool,
    /// A delete was asked for; and when it was acknowledged.
    pub deleting: bool,
    pub deleted: Option<Duration>,
    /// A read showed it.
    pub seen: bool,
}

/// Everything that callers know.
#[derive(Debug, Default)]
pub struct Ledger {
    pub tasks: BTreeMap<TaskId, Entry>,
}

impl Ledger {
    /// It is asked for.
    pub fn asks(&mut self, task: &NewTask, now: Duration) {
        let due = match task.start {
            Start::After(delay) => now + delay,
            Start::Now | Start::At(_) => now,
        };
        let entry = Entry {
            task: task.clone(),
            said: Said::Nothing,
            due,
            epoch: 0,
            settled: Vec::new(),
            over: None,
            cancelled: false,
            deleting: false,
            deleted: None,
            seen: false,
        };
        self.tasks.entry(task.task.id).or_insert(entry);
    }

    /// It was answered.
    pub fn answered(&mut self, id: TaskId, answer: &Enqueued) {
        let said = match answer {
            Enqueued::Existing { id: other, .. } if *other != id => Said::Refused,
            Enqueued::Inserted { .. } | Enqueued::Existing { .. } => Said::Accepted,
            Enqueued::Refused(_) => Said::Refused,
        };
        self.entry(id).said = said;
    }

    pub fn entry(&mut self, id: TaskId) -> &mut Entry {
        self.tasks.get_mut(&id).unwrap_or_else(|| panic!("I10: task {id} was never asked for"))
    }

    /// A lease was given: is it one that may be?
    pub fn leased(&mut self, lease: &Lease, now: Duration) {
        let (id, epoch) = (lease.key.task, lease.key.epoch.0);
        let entry = self.entry(id);
        assert_ne!(entry.said, Said::Refused, "I10: task {id} was refused and runs");
        assert!(entry.deleted.is_none(), "I7: task {id} was deleted and runs");
        assert!(entry.over.is_none(), "I7: task {id} was over and runs again");
        assert!(!entry.cancelled, "I15: task {id} was cancelled and runs");
        assert!(epoch > entry.epoch, "I2: task {id} has epoch {epoch} after {}", entry.epoch);
        assert!(now >= entry.due, "I5: task {id} runs before its time");
        assert_eq!(lease.task.payload, entry.task.task.payload, "I9: task {id}");
        entry.epoch = epoch;
    }

    /// A settlement was answered.
    pub fn settled(&mut self, key: LeaseKey, answer: &Settled) {
        let entry = self.entry(key.task);
        entry.settled.push((key, answer.clone()));
        match answer {
            Settled::Applied { state, .. } if state.is_final() => entry.over = Some(*state),
            Settled::Cancelled => entry.over = Some(State::Cancelled),
            _ => {}
        }
    }

    /// Whether a store that was opened keeps everything.
    pub fn check(&self, machine: &mut Machine) {
        let ids: Vec<TaskId> = self.tasks.keys().copied().collect();
        for some in ids.chunks(50) {
            let asked = some.to_vec();
            let views = machine
                .call(|store| async move { store.get(asked, Include::ALL, Duration::ZERO).await });
            let views = views.unwrap_or_else(|error| panic!("I1: tasks cannot be read: {error:?}"));
            for (id, view) in some.iter().zip(views) {
                check_one(*id, &self.tasks[id], view.as_ref());
            }
        }
        let stats = machine.call(|store| async move { store.queues().await }).must();
        for queue in stats {
            assert_eq!(queue.accepted, queue.counts.total() + queue.removed, "I14: {queue:?}");
        }
    }

    /// Works on with everything that can be leased, and repeats what was said before.
    pub fn work_on(&mut self, machine: &mut Machine) {
        self.repeat(machine);
        machine.pass(Duration::from_mins(2));
        self.sweep(machine);
        for queue in ["default", "small", "keys"] {
            let worker = WorkerId::new("later").must();
            let want = Want::new(worker, QueueName::new(queue).must(), 500);
            let leases =
                machine.call(|store| async move { store.lease(vec![want], Duration::ZERO).await });
            let now = machine.clock.monotonic();
            for lease in leases.must().remove(0) {
                self.leased(&lease, now);
                let end =
                    Settlement { key: lease.key, outcome: Outcome::Complete { result: None } };
                let settled =
                    machine.call(|store| async move { store.settle(vec![end]).await }).must();
                assert!(matches!(settled[0], Settled::Applied { .. }), "I3: {settled:?}");
                self.settled(lease.key, &settled[0]);
            }
        }
        for entry in self.tasks.values_mut() {
            entry.seen = false;
        }
    }

    fn sweep(&self, machine: &mut Machine) {
        for _ in 0..100 {
            let swept = machine.call(|store| async move { store.sweep(1_000).await }).must();
            if !swept.next.is_zero() {
                return;
            }
        }
        panic!("L2: {} tasks, and sweeping never ends", self.tasks.len());
    }

    /// Ids that are known, and keys that were settled, get the answers that they got.
    fn repeat(&mut self, machine: &mut Machine) {
        let now = machine.clock.monotonic();
        for (id, entry) in &self.tasks {
            let kept = entry.deleted.is_none_or(|at| now < at + limits::DEDUP_WINDOW / 2);
            if entry.said == Said::Accepted && kept && !(entry.deleting && entry.deleted.is_none())
            {
                let task = entry.task.clone();
                let again =
                    machine.call(|store| async move { store.enqueue(vec![task]).await }).must();
                let known =
                    matches!(again[0], Enqueued::Existing { id: other, .. } if other == *id);
                assert!(known, "I4: {again:?} for task {id}");
            }
            for (key, answer) in entry.settled.iter().filter(|_| !entry.deleting) {
                let end = Settlement { key: *key, outcome: Outcome::Release };
                let again =
                    machine.call(|store| async move { store.settle(vec![end]).await }).must();
                assert_eq!(again[0], *answer, "I8: {key:?}");
            }
        }
    }
}

fn check_one(id: TaskId, entry: &Entry, view: Option<&TaskView>) {
    let Some(view) = view else {
        let lost = entry.said == Said::Accepted && !entry.deleting;
        assert!(!lost, "I1: task {id} is lost");
        assert!(!entry.seen || entry.deleting, "I12: task {id} was shown and is gone");
        return;
    };
    assert_ne!(entry.said, Said::Refused, "I10: task {id} was refused and is there");
    assert!(entry.deleted.is_none(), "I7: task {id} was deleted and is there");
    assert_eq!(view.task.payload, entry.task.task.payload, "I9: task {id}");
    if let Some(over) = entry.over {
        assert_eq!(view.state(), over, "I7: task {id}");
        if over == State::Completed && view.result.is_some() {
            assert_eq!(view.result.as_ref(), Some(&view.task.payload), "I9: task {id}");
        }
    }
    let stopped = view.state().is_final() || view.standing.cancel_requested;
    assert!(!entry.cancelled || stopped, "I15: task {id} was cancelled");
    assert!(view.standing.attempt <= entry.task.task.policy.max_attempts, "I6: task {id}");
}

/// Cancels, and notes what was said.
pub fn cancel(machine: &mut Machine, ledger: &mut Ledger, id: TaskId) -> haulier_core::Result<()> {
    let answer = machine.call(|store| async move { store.cancel(vec![id]).await })?;
    if let haulier_core::Changed::Done(state) = answer[0] {
        ledger.entry(id).cancelled = true;
        if state.is_final() {
            ledger.entry(id).over = Some(state);
        }
    }
    Ok(())
}

/// Deletes, and notes what was said.
pub fn delete(machine: &mut Machine, ledger: &mut Ledger, id: TaskId) -> haulier_core::Result<()> {
    let was = std::mem::replace(&mut ledger.entry(id).deleting, true);
    let answer = machine.call(|store| async move { store.delete(vec![id]).await })?;
    match answer[0] {
        haulier_core::Changed::Done(_) => {
            ledger.entry(id).deleted = Some(machine.clock.monotonic());
        }
        _ => ledger.entry(id).deleting = was,
    }
    Ok(())
}
