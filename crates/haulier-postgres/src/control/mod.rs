//! Operating: calling tasks off, having them done again, forgetting them, setting queues.
//!
//! A call is one transaction over all its tasks. Their lines are held first, so that no claim comes
//! between what is read and what is written (I15); then core's rules decide, task by task in the
//! order of the request.

mod settings;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use haulier_core::{Changed, Code, Event, Refusal, Result, State, TaskId, WorkerId};

use crate::change::{InLine, save};
use crate::db::Tx;
use crate::holder::Holders;
use crate::known::Known;
use crate::locked::lock;
use crate::now::Now;
use crate::store::Inner;
use crate::sweep::{Removal, remove};
use crate::workers;

pub(crate) use settings::{configure, read as read_settings};

/// What was done, to be told once it is committed.
#[derive(Debug, Default)]
struct Done {
    answers: Vec<Changed>,
    in_line: InLine,
    finished: bool,
    /// Who holds tasks that were called off.
    holders: BTreeSet<WorkerId>,
}

impl Done {
    fn tell(self, inner: &Inner) -> Vec<Changed> {
        self.in_line.iter().for_each(|(queue, place)| inner.hub.in_line(queue, place));
        self.holders.iter().for_each(|worker| inner.hub.news(worker));
        if self.finished {
            inner.hub.finished();
        }
        self.answers
    }
}

/// Calls tasks off; the holders of running ones are told (I15).
pub(crate) async fn cancel(inner: &Arc<Inner>, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
    let ids = &ids;
    let run = |tx: Tx<'static>| async move {
        let (now, mut tasks) = lock(&tx, ids).await?;
        let mut done = Done::default();
        let mut touched = BTreeSet::new();
        for id in ids {
            done.answers.push(match tasks.get_mut(id) {
                None => Changed::NotFound,
                Some(task) => cancel_one(task, &now, &mut touched),
            });
        }
        let changed = taken(&mut tasks, &touched);
        for task in &changed {
            done.finished |= task.finished;
            done.holders.extend(task.grant.as_ref().map(|grant| grant.worker.clone()));
        }
        save(&tx, &now, &changed).await?;
        if !done.holders.is_empty() {
            workers::tell(&tx, &done.holders.iter().collect::<Vec<_>>()).await?;
        }
        Ok(done)
    };
    Ok(inner.db.write("cancel", run).await?.tell(inner))
}

fn cancel_one(task: &mut Known, now: &Now, touched: &mut BTreeSet<TaskId>) -> Changed {
    let before = task.standing;
    if before.cancel_requested || before.state == State::Cancelled {
        // Asking twice gives nobody more time to stop.
        return Changed::Done(before.state);
    }
    if let Err(refusal) = task.carry_out(Event::Cancel, now) {
        return Changed::Refused(refusal);
    }
    if let Some(grant) = &mut task.grant {
        grant.stop_after(now);
    }
    touched.insert(task.id);
    Changed::Done(task.standing.state)
}

/// Makes final tasks available again, as if nothing had been done.
pub(crate) async fn rerun(inner: &Arc<Inner>, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
    let ids = &ids;
    let run = |tx: Tx<'static>| async move {
        let (now, mut tasks) = lock(&tx, ids).await?;
        let mut holders = Holders::lock(&tx, tasks.values()).await?;
        let mut done = Done::default();
        let mut again = Vec::new();
        for id in ids {
            done.answers.push(match tasks.get_mut(id) {
                None => Changed::NotFound,
                Some(task) => match rerun_one(task, &now) {
                    Err(refusal) => Changed::Refused(refusal),
                    Ok(state) => {
                        holders.hold_again(*id, &tasks, &now);
                        again.push(*id);
                        Changed::Done(state)
                    }
                },
            });
        }
        holders.save(&tx).await?;
        // In the order of the request, which is that of their places in line.
        let changed: Vec<Known> = again.iter().filter_map(|id| tasks.remove(id)).collect();
        done.in_line = save(&tx, &now, &changed).await?;
        Ok(done)
    };
    Ok(inner.db.write("rerun", run).await?.tell(inner))
}

fn rerun_one(task: &mut Known, now: &Now) -> Result<State, Refusal> {
    task.carry_out(Event::Rerun, now)?;
    task.due_at = now.wall;
    task.finished_at = None;
    task.expires_at = None;
    task.clear = true;
    Ok(task.standing.state)
}

/// Forgets tasks that do not run.
pub(crate) async fn delete(inner: &Arc<Inner>, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
    let ids = &ids;
    let run = |tx: Tx<'static>| async move {
        let (now, mut tasks) = lock(&tx, ids).await?;
        let mut done = Done::default();
        let mut removals = Vec::new();
        for id in ids {
            let state = tasks.get(id).map(|task| task.standing.state);
            done.answers.push(match state {
                None => Changed::NotFound,
                Some(State::Running) => Changed::Refused(Refusal::new(
                    Code::Final,
                    "the task is running; cancel it first, and delete it when it has stopped",
                )),
                Some(state) => {
                    removals.extend(tasks.remove(id).as_ref().map(Removal::of));
                    Changed::Done(state)
                }
            });
        }
        remove(&tx, &now, &removals).await?;
        Ok(done)
    };
    Ok(inner.db.write("delete", run).await?.tell(inner))
}

fn taken(tasks: &mut HashMap<TaskId, Known>, ids: &BTreeSet<TaskId>) -> Vec<Known> {
    ids.iter().filter_map(|id| tasks.remove(id)).collect()
}
