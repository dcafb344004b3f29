//! Workers as they were heard of last. Known from wants and beats, kept in memory only, forgotten
//! when they have been silent for long and hold nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use haulier_core::{Directive, WorkerAbout, WorkerId, WorkerView, limits};

use crate::state::{Now, State};

/// One worker.
#[derive(Debug, Default)]
struct Worker {
    about: Option<Arc<WorkerAbout>>,
    directive: Directive,
    heard_at: Duration,
    /// Counted in grants; zero: never.
    last_grant: u64,
    /// There is something that it should know before its next beat.
    news: bool,
}

/// Every worker that is known.
#[derive(Debug, Default)]
pub(crate) struct Workers(BTreeMap<WorkerId, Worker>);

impl Workers {
    /// Notes a sign of life.
    pub fn heard(&mut self, id: &WorkerId, now: Now) {
        if !self.0.contains_key(id) && self.0.len() >= limits::WORKERS_MAX {
            let silent = self.0.iter().min_by_key(|(_, worker)| worker.heard_at);
            if let Some(longest) = silent.map(|(id, _)| id.clone()) {
                self.0.remove(&longest);
            }
        }
        self.0.entry(id.clone()).or_default().heard_at = now.monotonic;
    }

    /// Notes a beat, which brings all news.
    pub fn beaten(
        &mut self,
        id: &WorkerId,
        about: Option<Arc<WorkerAbout>>,
        now: Now,
    ) -> Directive {
        self.heard(id, now);
        let worker = self.0.entry(id.clone()).or_default();
        worker.news = false;
        worker.about = about.or(worker.about.take());
        worker.directive
    }

    /// Notes that it got a task.
    pub fn granted(&mut self, id: &WorkerId, count: u64) {
        if let Some(worker) = self.0.get_mut(id) {
            worker.last_grant = count;
        }
    }

    /// When it got its last task; zero: never.
    pub fn last_grant(&self, id: &WorkerId) -> u64 {
        self.0.get(id).map_or(0, |worker| worker.last_grant)
    }

    /// Sets what it should do; `false` if it was never heard of.
    pub fn direct(&mut self, id: &WorkerId, directive: Directive) -> bool {
        let Some(worker) = self.0.get_mut(id) else { return false };
        worker.news |= worker.directive != directive;
        worker.directive = directive;
        true
    }

    /// There is something that it should know.
    pub fn tell(&mut self, id: &WorkerId) {
        if let Some(worker) = self.0.get_mut(id) {
            worker.news = true;
        }
    }

    /// Whether there was something that it should know; asking again is answered by what came
    /// since.
    pub fn take_news(&mut self, id: &WorkerId) -> bool {
        self.0.get_mut(id).is_some_and(|worker| std::mem::take(&mut worker.news))
    }
}

impl State {
    /// Forgets who has been silent for too long and holds nothing.
    pub fn forget_silent(&mut self, now: Now) {
        let running = self.index.running.iter().filter_map(|(_, _, id)| self.tasks.get(id));
        let holders: BTreeSet<&WorkerId> =
            running.filter_map(|entry| Some(&entry.grant.as_ref()?.worker)).collect();
        self.workers.0.retain(|id, worker| {
            let silent = now.monotonic.saturating_sub(worker.heard_at);
            silent < limits::WORKER_FORGOTTEN_AFTER || holders.contains(id)
        });
    }

    /// Every worker that is known, by id.
    pub fn worker_views(&mut self, now: Now) -> Vec<WorkerView> {
        self.forget_silent(now);
        let mut leases: BTreeMap<&WorkerId, u64> = BTreeMap::new();
        for (_, _, id) in &self.index.running {
            if let Some(grant) = self.tasks.get(id).and_then(|entry| entry.grant.as_ref()) {
                *leases.entry(&grant.worker).or_default() += 1;
            }
        }
        let view = |(id, worker): (&WorkerId, &Worker)| WorkerView {
            worker: id.clone(),
            about: worker.about.clone(),
            directive: worker.directive,
            leases: leases.get(id).copied().unwrap_or_default(),
            silent_for: now.monotonic.saturating_sub(worker.heard_at),
        };
        self.workers.0.iter().map(view).collect()
    }
}
