//! A worker's sign of life: leases renewed, progress and checkpoints saved, news brought back.

use std::collections::BTreeMap;
use std::sync::Arc;

use haulier_core::{
    Beat, BeatReply, Checkpoint, Error, Held, LeaseBeat, LeaseKey, Progress, Result, TaskId, lease,
};

use crate::state::{Entry, Now, State};

impl State {
    /// Takes beats in; nothing is changed if one of them breaks a rule.
    pub fn beat(&mut self, beats: Vec<Beat>, now: Now) -> Result<Vec<BeatReply>> {
        let mut merged = self.check_beats(&beats, now)?;
        Ok(beats
            .into_iter()
            .map(|beat| {
                let directive = self.workers.beaten(&beat.worker, beat.about, now);
                let renew = |lease: LeaseBeat| {
                    // An old key of the same task must not swallow what the newest one saves.
                    let current = self.held(lease.key, now).is_some();
                    let checkpoints = current.then(|| merged.remove(&lease.key.task)).flatten();
                    self.renew(lease.key, lease.progress, checkpoints, beat.ttl, now)
                };
                BeatReply { directive, held: beat.leases.into_iter().map(renew).collect() }
            })
            .collect())
    }

    /// What the checkpoints of each task will be.
    fn check_beats(&self, beats: &[Beat], now: Now) -> Result<BTreeMap<TaskId, Vec<Checkpoint>>> {
        let mut merged: BTreeMap<TaskId, Vec<Checkpoint>> = BTreeMap::new();
        for (at, beat) in beats.iter().enumerate() {
            let field = |name: &str| format!("beats[{at}].{name}");
            lease::check_ttl(beat.ttl)
                .map_err(|refusal| Error::invalid(field("ttl"), refusal.message))?;
            for lease in &beat.leases {
                let Some(entry) = self.held(lease.key, now) else { continue };
                let all = merged.entry(lease.key.task).or_insert_with(|| entry.checkpoints.clone());
                for new in &lease.checkpoints {
                    // A step is done once: the first value stays.
                    if all.iter().all(|known| known.name != new.name) {
                        all.push(new.clone());
                    }
                }
                lease::check_checkpoints(all.iter())?;
            }
        }
        Ok(merged)
    }

    /// The task of a lease that can be renewed.
    fn held(&self, key: LeaseKey, now: Now) -> Option<&Entry> {
        let entry = self.tasks.get(&key.task).filter(|entry| entry.epoch == key.epoch)?;
        entry.grant.as_ref().filter(|grant| now.monotonic < grant.hard_end()).map(|_| entry)
    }

    fn renew(
        &mut self,
        key: LeaseKey,
        progress: Option<Progress>,
        checkpoints: Option<Vec<Checkpoint>>,
        ttl: std::time::Duration,
        now: Now,
    ) -> Held {
        if self.held(key, now).is_none() {
            return Held::Stale;
        }
        let order = self.next_order();
        let cancelled = self.change(key.task, |entry| {
            entry.order = order;
            if let Some(grant) = &mut entry.grant {
                grant.ttl = ttl;
                grant.deadline = now.monotonic.saturating_add(ttl).min(grant.hard_end());
            }
            if let Some(Progress { fraction, note }) = progress {
                entry.progress = Some(Progress { fraction, note: cut(note) });
            }
            if let Some(checkpoints) = checkpoints {
                entry.checkpoints = checkpoints;
            }
            entry.standing.cancel_requested
        });
        if cancelled == Some(true) { Held::Cancel } else { Held::Yes }
    }
}

fn cut(note: Arc<str>) -> Arc<str> {
    if note.len() <= haulier_core::limits::TEXT_BYTES_MAX { note } else { lease::cut(&note) }
}
