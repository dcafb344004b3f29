//! Signs of life: renewing leases, saving checkpoints and progress, and telling a worker what it
//! should know.

use std::collections::{HashMap, HashSet};

use haulier_core::{
    Beat, BeatReply, Code, Error, Held, LeaseBeat, LeaseKey, Progress, Refusal, Result, State,
    WorkerId, lease, limits,
};

use crate::codec::wide;
use crate::detail::Step;
use crate::engine::{Engine, Now, refuse};
use crate::index::SlotId;
use crate::log::{Part, Tail};
use crate::place::Extent;
use crate::record::Record;

/// The checkpoints that a task will have.
struct Steps<'a> {
    names: HashSet<&'a str>,
    bytes: usize,
}

impl Steps<'_> {
    fn check(&self) -> Result<(), Refusal> {
        let (count, bytes) = (self.names.len(), self.bytes);
        if count <= limits::CHECKPOINTS_MAX && bytes <= limits::CHECKPOINTS_BYTES_MAX {
            return Ok(());
        }
        Err(Refusal::new(
            Code::TooLarge,
            format!(
                "{count} checkpoints with {bytes} bytes; at most {} with {} bytes are allowed",
                limits::CHECKPOINTS_MAX,
                limits::CHECKPOINTS_BYTES_MAX
            ),
        ))
    }
}

impl Engine {
    pub(super) fn beat(
        &mut self,
        now: Now,
        beats: Vec<Beat>,
        records: &mut Tail,
    ) -> Result<Vec<BeatReply>> {
        self.check_beats(&beats)?;
        Ok(beats.into_iter().map(|beat| self.beat_one(now, beat, records)).collect())
    }

    /// Everything that can fail a call is found before anything is done.
    fn check_beats(&self, beats: &[Beat]) -> Result<()> {
        let leases: usize = beats.iter().map(|beat| beat.leases.len()).sum();
        if beats.len().max(leases) > limits::ITEMS_MAX {
            let most = limits::ITEMS_MAX;
            return Err(Error::invalid("beats", format!("at most {most} beats and leases")));
        }
        let mut all = HashMap::new();
        for beat in beats {
            lease::check_ttl(beat.ttl).or_else(refuse)?;
            for lease in beat.leases.iter().filter(|lease| !lease.checkpoints.is_empty()) {
                self.check_checkpoints(lease, &mut all).or_else(refuse)?;
            }
        }
        Ok(())
    }

    /// Whether a task's checkpoints, with these added, stay within the limits. A key that is not
    /// current saves nothing, so it breaks nothing.
    fn check_checkpoints<'a>(
        &'a self,
        beat: &'a LeaseBeat,
        all: &mut HashMap<SlotId, Steps<'a>>,
    ) -> Result<(), Refusal> {
        let Some(slot) = self.index.find(beat.key.task) else { return Ok(()) };
        let Some(detail) = self.details.get(slot) else { return Ok(()) };
        if detail.lease.is_none() || detail.epoch != beat.key.epoch {
            return Ok(());
        }
        let steps = all.entry(slot).or_insert_with(|| {
            let bytes = |step: &Step| step.name.len() + wide(step.value.len);
            Steps {
                names: detail.checkpoints.iter().map(|step| &*step.name).collect(),
                bytes: detail.checkpoints.iter().map(bytes).sum(),
            }
        });
        for checkpoint in &beat.checkpoints {
            if steps.names.insert(&checkpoint.name) {
                steps.bytes += checkpoint.name.len() + checkpoint.value.len();
            }
        }
        steps.check()
    }

    fn beat_one(&mut self, now: Now, beat: Beat, records: &mut Tail) -> BeatReply {
        if let Some(about) = beat.about {
            self.workers.introduce(&beat.worker, about, now.mono);
        }
        let worker = self.workers.hear(&beat.worker, now.mono);
        worker.news = false;
        let directive = worker.directive;
        let renew = |lease| self.renew(now, beat.ttl, lease, records);
        BeatReply { directive, held: beat.leases.into_iter().map(renew).collect() }
    }

    fn renew(
        &mut self,
        now: Now,
        ttl: std::time::Duration,
        beat: LeaseBeat,
        records: &mut Tail,
    ) -> Held {
        let id = beat.key.task;
        let Some(slot) = self.index.find(id) else { return Held::Stale };
        let running = self.index[slot].state() == State::Running;
        let Some(detail) = self.details.get_mut(slot).filter(|_| running) else {
            return Held::Stale;
        };
        let current = detail.epoch == beat.key.epoch;
        let Some(lease) = detail.lease.as_mut().filter(|_| current) else { return Held::Stale };
        // A lease that is late, but that nobody ended yet, may still go on: its beat was not heard.
        if now.mono >= lease.hard_end {
            return Held::Stale;
        }
        lease.ttl = ttl;
        lease.deadline = (now.mono + ttl).min(lease.hard_end);
        // A restart must not promise less than this beat does.
        if ttl > lease.logged_ttl {
            lease.logged_ttl = ttl;
            records.push(&Record::Extended { id, ttl }, &[], now.wall, self.last_order);
        }
        if let Some(Progress { fraction, note }) = beat.progress {
            let long = note.len() > limits::TEXT_BYTES_MAX;
            let note = if long { lease::cut(&note) } else { note };
            detail.progress = Some(Progress { fraction, note });
        }
        let cancel = detail.cancel_requested;
        self.set_lease_timer(slot);
        for checkpoint in beat.checkpoints {
            if self.details.get(slot).is_some_and(|detail| {
                detail.checkpoints.iter().any(|step| step.name == checkpoint.name)
            }) {
                continue;
            }
            let record = Record::Checkpoint { id, name: checkpoint.name.to_string() };
            let value = Part::new(&checkpoint.value);
            let placed = records.push(&record, &[value], now.wall, self.last_order);
            if let Some(value) = placed.part() {
                self.save_step(slot, Step { name: checkpoint.name, value });
            }
        }
        if cancel { Held::Cancel } else { Held::Yes }
    }

    /// Gives a lease time back that its holder could not have had: it was not handed over yet.
    pub(super) fn prolong(&mut self, key: LeaseKey, by: std::time::Duration) {
        let Some(slot) = self.index.find(key.task) else { return };
        let running = self.index[slot].state() == State::Running;
        let Some(detail) = self.details.get_mut(slot).filter(|_| running) else { return };
        let current = detail.epoch == key.epoch;
        let Some(lease) = detail.lease.as_mut().filter(|_| current) else { return };
        lease.deadline += by;
        lease.hard_end += by;
        self.set_lease_timer(slot);
    }

    pub(super) fn save_step(&mut self, slot: SlotId, step: Step) {
        let value: Extent = step.value;
        self.live.bytes += crate::parts::footprint(wide(value.len));
        self.detail(slot).checkpoints.push(step);
    }

    /// Whether a worker should beat now; asking takes the news.
    pub fn take_worker_news(&mut self, worker: &WorkerId) -> bool {
        self.workers.find(worker).is_some_and(|state| std::mem::take(&mut state.news))
    }

    /// Marks that a worker should beat, for a watch that comes later.
    pub fn note_worker_news(&mut self, worker: &WorkerId) {
        if let Some(state) = self.workers.find(worker) {
            state.news = true;
        }
    }
}
