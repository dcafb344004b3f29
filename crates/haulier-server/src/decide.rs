//! Decides for thin workers: one that only says "failed" leaves it to the server what comes next.
//! The rule is the pure [`retry::decide`]; this file finds what the rule needs to know.

use std::time::Duration;

use haulier_core::{Failure, Include, LeaseKey, Outcome, Policy, Result, TaskView, limits, retry};

use crate::shared::Shared;

/// A failure whose consequence is open.
#[derive(Debug, Clone)]
pub struct Undecided {
    /// The attempt that failed.
    pub key: LeaseKey,
    /// Why it failed.
    pub failure: Failure,
    /// The pause that the handler asked for, if it did.
    pub proposed: Option<Duration>,
}

/// What each failure leads to, by its task's policy, in order. A task that is not known any more
/// gets the default policy: its settlement will be answered as stale in any case.
///
/// # Errors
/// If the store cannot be asked.
pub async fn decide(shared: &Shared, failures: Vec<Undecided>) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::with_capacity(failures.len());
    let ids: Vec<_> = failures.iter().map(|undecided| undecided.key.task).collect();
    let mut views = Vec::with_capacity(ids.len());
    for ids in ids.chunks(limits::ITEMS_MAX) {
        let found = shared.store.get(ids.to_vec(), Include::default(), Duration::ZERO).await?;
        views.extend(found);
    }
    for (undecided, view) in failures.into_iter().zip(views) {
        let (policy, attempt) = view.map_or((Policy::default(), 1), |view| {
            (view.task.policy, attempt(&view, undecided.key))
        });
        let Undecided { failure, proposed, .. } = undecided;
        outcomes.push(retry::decide(&policy, attempt, failure, proposed, &*shared.entropy));
    }
    Ok(outcomes)
}

/// Which attempt a lease was. The delivery knows it; the task's own count may have been refunded
/// since.
fn attempt(view: &TaskView, key: LeaseKey) -> u32 {
    let mut deliveries = view.deliveries.iter().rev();
    let delivery = deliveries.find(|delivery| delivery.epoch == key.epoch);
    delivery.map_or(view.standing.attempt, |delivery| delivery.attempt).max(1)
}
