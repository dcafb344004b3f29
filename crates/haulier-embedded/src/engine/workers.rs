//! Who works here: known from wants and beats, kept in memory only, bounded.

use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use haulier_core::{Directive, WorkerId, WorkerView, lease::WorkerAbout, limits};

/// A worker as it was heard of last.
#[derive(Debug, Default)]
pub struct WorkerState {
    about: Option<Arc<WorkerAbout>>,
    /// What operators want of it.
    pub directive: Directive,
    seen: Duration,
    /// It was heard of since the store was opened; before that only its leases are known.
    heard: bool,
    leases: u64,
    /// When it was granted a task last, counted in grants; zero: never.
    pub last_grant: u64,
    /// Something happened that it has not been told yet.
    pub news: bool,
}

/// All workers.
#[derive(Debug, Default)]
pub struct Workers {
    known: HashMap<WorkerId, WorkerState, RandomState>,
}

impl Workers {
    /// A sign of life.
    pub fn hear(&mut self, worker: &WorkerId, now: Duration) -> &mut WorkerState {
        if self.known.len() >= limits::WORKERS_MAX && !self.known.contains_key(worker) {
            self.make_room(now);
        }
        let state = self.known.entry_ref(worker).or_default();
        state.seen = now;
        state.heard = true;
        state
    }

    /// A sign of life with what the worker tells of itself.
    pub fn introduce(&mut self, worker: &WorkerId, about: Arc<WorkerAbout>, now: Duration) {
        self.hear(worker, now).about = Some(about);
    }

    /// A worker that was heard of.
    pub fn find(&mut self, worker: &WorkerId) -> Option<&mut WorkerState> {
        self.known.get_mut(worker).filter(|state| state.heard)
    }

    /// It got a task.
    pub fn leased(&mut self, worker: &WorkerId) {
        self.known.entry_ref(worker).or_default().leases += 1;
    }

    /// One of its leases ended.
    pub fn ended(&mut self, worker: &WorkerId) {
        if let Some(state) = self.known.get_mut(worker) {
            state.leases = state.leases.saturating_sub(1);
        }
    }

    /// After a restart nobody has been heard of yet.
    pub fn forget_all(&mut self) {
        self.known.retain(|_, state| state.leases > 0);
    }

    /// Forgets the silent ones that hold nothing.
    pub fn forget_silent(&mut self, now: Duration) {
        let silent = |state: &WorkerState| now.saturating_sub(state.seen);
        self.known
            .retain(|_, state| state.leases > 0 || silent(state) < limits::WORKER_FORGOTTEN_AFTER);
    }

    /// A tenth goes at a time, longest silent first, so that a flood of names costs little each.
    fn make_room(&mut self, now: Duration) {
        self.forget_silent(now);
        if self.known.len() < limits::WORKERS_MAX {
            return;
        }
        let mut seen: Vec<Duration> =
            self.known.values().filter(|state| state.leases == 0).map(|state| state.seen).collect();
        seen.sort_unstable();
        let border = seen.get(limits::WORKERS_MAX / 10).or(seen.last()).copied();
        if let Some(border) = border {
            self.known.retain(|_, state| state.leases > 0 || state.seen > border);
        }
    }

    /// Every worker, by id.
    pub fn views(&mut self, now: Duration) -> Vec<WorkerView> {
        self.forget_silent(now);
        let view = |(worker, state): (&WorkerId, &WorkerState)| WorkerView {
            worker: worker.clone(),
            about: state.about.clone(),
            directive: state.directive,
            leases: state.leases,
            silent_for: now.saturating_sub(state.seen),
        };
        let heard = self.known.iter().filter(|(_, state)| state.heard);
        let mut views: Vec<WorkerView> = heard.map(view).collect();
        views.sort_unstable_by(|a, b| a.worker.cmp(&b.worker));
        views
    }
}
