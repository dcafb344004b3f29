//! Who works here: known from wants and beats, kept in memory only, bounded.

use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use haulier_core::{Directive, WorkerId, WorkerView, lease::WorkerAbout, limits};

use crate::slab::Slab;

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
    numbers: HashMap<WorkerId, u32, RandomState>,
    states: Slab<WorkerState>,
    /// Who was asked for last: a batch is mostly one worker's.
    last: Option<(WorkerId, u32)>,
}

impl Workers {
    fn number(&mut self, worker: &WorkerId) -> Option<u32> {
        if let Some((_, number)) = self.last.as_ref().filter(|(last, _)| last == worker) {
            return Some(*number);
        }
        let number = *self.numbers.get(worker)?;
        self.last = Some((worker.clone(), number));
        Some(number)
    }

    fn entry(&mut self, worker: &WorkerId) -> &mut WorkerState {
        let number = self.number(worker).unwrap_or_else(|| {
            let number = self.states.insert(WorkerState::default());
            self.numbers.insert(worker.clone(), number);
            number
        });
        &mut self.states[number]
    }

    fn retain(&mut self, stays: impl Fn(&WorkerState) -> bool) {
        self.last = None;
        let states = &mut self.states;
        self.numbers.retain(|_, number| {
            let stays = stays(&states[*number]);
            if !stays {
                states[*number] = WorkerState::default();
                states.free(*number);
            }
            stays
        });
    }

    /// A sign of life.
    pub fn hear(&mut self, worker: &WorkerId, now: Duration) -> &mut WorkerState {
        if self.numbers.len() >= limits::WORKERS_MAX && self.number(worker).is_none() {
            self.make_room(now);
        }
        let state = self.entry(worker);
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
        let number = self.number(worker)?;
        Some(&mut self.states[number]).filter(|state| state.heard)
    }

    /// It got a task.
    pub fn leased(&mut self, worker: &WorkerId) {
        self.entry(worker).leases += 1;
    }

    /// One of its leases ended.
    pub fn ended(&mut self, worker: &WorkerId) {
        if let Some(number) = self.number(worker) {
            let state = &mut self.states[number];
            state.leases = state.leases.saturating_sub(1);
        }
    }

    /// After a restart nobody has been heard of yet.
    pub fn forget_all(&mut self) {
        self.retain(|state| state.leases > 0);
    }

    /// Forgets the silent ones that hold nothing.
    pub fn forget_silent(&mut self, now: Duration) {
        let silent = |state: &WorkerState| now.saturating_sub(state.seen);
        self.retain(|state| state.leases > 0 || silent(state) < limits::WORKER_FORGOTTEN_AFTER);
    }

    fn states(&self) -> impl Iterator<Item = (&WorkerId, &WorkerState)> {
        self.numbers.iter().map(|(worker, number)| (worker, &self.states[*number]))
    }

    /// A tenth goes at a time, longest silent first, so that a flood of names costs little each.
    fn make_room(&mut self, now: Duration) {
        self.forget_silent(now);
        if self.numbers.len() < limits::WORKERS_MAX {
            return;
        }
        let idle = self.states().filter(|(_, state)| state.leases == 0);
        let mut seen: Vec<Duration> = idle.map(|(_, state)| state.seen).collect();
        seen.sort_unstable();
        let border = seen.get(limits::WORKERS_MAX / 10).or(seen.last()).copied();
        if let Some(border) = border {
            self.retain(|state| state.leases > 0 || state.seen > border);
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
        let heard = self.states().filter(|(_, state)| state.heard);
        let mut views: Vec<WorkerView> = heard.map(view).collect();
        views.sort_unstable_by(|a, b| a.worker.cmp(&b.worker));
        views
    }
}
