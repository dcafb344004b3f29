//! Signs of life: renewing leases, saving checkpoints and progress, and telling a worker what it should
//! know.

use std::collections::HashSet;

use haulier_core::{
    Beat, BeatReply, Code, Error, Held, LeaseBeat, Refusal, Result, State, WorkerId, lease, limits,
};

use crate::codec::wide;
use crate::detail::Step;
use crate::engine::change::nanos;
use crate::engine::{Engine, Now, refuse};
use crate::index::SlotId;
use crate::log::Tail;
use crate::place::Extent;
use crate::record::Record;
use crate::timers::Purpose;

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
        for beat in beats {
            lease::check_ttl(beat.ttl).or_else(refuse)?;
            for held in beat.leases.iter().filter(|held| !held.checkpoints.is_empty()) {
                self.check_checkpoints(held).or_else(refuse)?;
            }
        }
        Ok(())
    }

    /// Whether a task's checkpoints, with these added, stay within the limits.
    fn check_checkpoints(&self, beat: &LeaseBeat) -> Result<(), Refusal> {
        let slot = self.index.find(beat.key.task);
        let detail = slot.and_then(|slot| self.details.get(&slot));
        let known = detail.map_or(&[][..], |detail| detail.checkpoints.as_slice());
        let mut names: HashSet<&str> = known.iter().map(|step| &*step.name).collect();
        let mut bytes: usize =
            known.iter().map(|step| step.name.len() + wide(step.value.len)).sum();
        for checkpoint in &beat.checkpoints {
            if names.insert(&checkpoint.name) {
                bytes += checkpoint.name.len() + checkpoint.value.len();
            }
        }
        if names.len() <= limits::CHECKPOINTS_MAX && bytes <= limits::CHECKPOINTS_BYTES_MAX {
            return Ok(());
        }
        Err(Refusal::new(
            Code::TooLarge,
            format!(
                "{} checkpoints with {bytes} bytes; at most {} with {} bytes are allowed",
                names.len(),
                limits::CHECKPOINTS_MAX,
                limits::CHECKPOINTS_BYTES_MAX
            ),
        ))
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
        let running = self.index[slot].state == State::Running;
        let Some(detail) = self.details.get_mut(&slot).filter(|_| running) else {
            return Held::Stale;
        };
        let current = detail.epoch == beat.key.epoch;
        let Some(lease) = detail.lease.as_mut().filter(|_| current) else { return Held::Stale };
        if now.mono >= lease.hard_end || now.mono >= lease.deadline {
            return Held::Stale;
        }
        lease.ttl = ttl;
        lease.deadline = (now.mono + ttl).min(lease.hard_end);
        if lease.deadline < lease.armed {
            lease.armed = lease.deadline;
            self.mono.set(nanos(lease.deadline), Purpose::Lease, slot);
        }
        // A restart must not promise less than this beat does.
        if ttl > lease.logged_ttl {
            lease.logged_ttl = ttl;
            records.push(&Record::Extended { id, ttl }, &[], now.wall, self.last_order);
        }
        if beat.progress.is_some() {
            detail.progress = beat.progress;
        }
        let cancel = detail.cancel_requested;
        for checkpoint in beat.checkpoints {
            if self.details.get(&slot).is_some_and(|detail| {
                detail.checkpoints.iter().any(|step| step.name == checkpoint.name)
            }) {
                continue;
            }
            let record = Record::Checkpoint { id, name: checkpoint.name.to_string() };
            let placed = records.push(&record, &[&checkpoint.value], now.wall, self.last_order);
            if let Some(value) = placed.part() {
                self.save_step(slot, Step { name: checkpoint.name, value });
            }
        }
        if cancel { Held::Cancel } else { Held::Yes }
    }

    pub(super) fn save_step(&mut self, slot: SlotId, step: Step) {
        let value: Extent = step.value;
        self.live.bytes += crate::parts::footprint(wide(value.len));
        self.detail(slot).checkpoints.push(step);
    }

    /// Whether a worker should beat now; asking takes the news.
    pub fn take_worker_news(&mut self, worker: &WorkerId, now: Now) -> bool {
        let state = self.workers.hear(worker, now.mono);
        std::mem::take(&mut state.news)
    }

    /// Marks that a worker should beat, for a watch that comes later.
    pub fn note_worker_news(&mut self, worker: &WorkerId) {
        if let Some(state) = self.workers.find(worker) {
            state.news = true;
        }
    }
}
