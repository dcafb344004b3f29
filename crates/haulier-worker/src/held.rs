//! The leases that the worker holds: one table, the only place that knows until when each is safe,
//! when its handler must be gone, and what of it the store has not been told yet.
//!
//! Every change is a short step under one lock, and no step waits. Two loops read the table: the
//! keeper sends beats for it, the warden stops handlers whose time is over. Times are readings of
//! the worker's own monotonic clock.

use std::collections::BTreeMap;
use std::time::Duration;

use haulier_core::limits::{ITEMS_MAX, STOP_GRACE};
use haulier_core::{Checkpoint, Held as Answer, LeaseBeat, LeaseKey, Progress};
use tokio::sync::{Notify, oneshot};

use crate::ctx::{Ctx, Why};
use crate::lock::{Lock, lock};

/// Progress is for people: it is sent at most this often, or with the next beat.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// What a handler gets to end by itself. Less than the store's grace, so that the settlement
/// arrives before the store revokes the lease.
pub(crate) const HANDLER_GRACE: Duration = Duration::from_secs(STOP_GRACE.as_secs() * 8 / 10);

/// The table, and the two bells of those who read it.
#[derive(Default)]
pub(crate) struct Held {
    table: Lock<Table>,
    /// Rings when something wants to be sent before the next beat.
    pub flush: Notify,
    /// Rings when a moment is sooner than the one the warden waits for.
    pub sooner: Notify,
}

#[derive(Default)]
struct Table {
    entries: BTreeMap<LeaseKey, Entry>,
    /// How many of them are settling.
    unsettled: usize,
    /// What the warden waits for.
    armed: Option<Duration>,
    /// When news wants to be sent at the latest.
    flush_at: Option<Duration>,
    /// When a lease that came since the last beat of all wants to be renewed.
    renew_at: Option<Duration>,
    /// When news was sent last.
    flushed_at: Duration,
}

struct Entry {
    ctx: Ctx,
    /// Until when nobody else can have the task.
    kept_until: Duration,
    /// When a handler that was asked to stop is dropped.
    abort_at: Option<Duration>,
    /// The handler is gone; its settlement is not answered yet.
    settling: bool,
    /// Somebody else has the task, or will have it: nothing of this attempt counts any more.
    lost: bool,
    /// The handler was dropped; nothing more is to be done about it.
    aborted: bool,
    progress: Option<Progress>,
    checkpoints: Vec<(Checkpoint, oneshot::Sender<()>)>,
}

impl Held {
    /// Begins to hold a lease that is safe until `kept_until`, and is renewed by `renew_at`.
    pub fn insert(&self, ctx: Ctx, kept_until: Duration, renew_at: Duration) {
        let entry = Entry {
            kept_until,
            abort_at: None,
            settling: false,
            lost: false,
            aborted: false,
            progress: None,
            checkpoints: Vec::new(),
            ctx,
        };
        let mut table = lock(&self.table);
        let moment = entry.moment();
        table.entries.insert(entry.ctx.key(), entry);
        if table.renew_at.is_none_or(|first| renew_at < first) {
            table.renew_at = Some(renew_at);
            self.flush.notify_one();
        }
        if moment.is_some_and(|moment| table.armed.is_none_or(|armed| moment < armed)) {
            table.armed = moment;
            self.sooner.notify_one();
        }
    }

    /// The handler is gone: from now on only its settlement is waited for. Says whether the lease
    /// is still the worker's; if not, it is forgotten here, and nothing may be settled.
    pub fn settling(&self, key: LeaseKey) -> bool {
        let mut table = lock(&self.table);
        let Some(entry) = table.entries.get_mut(&key) else { return false };
        if entry.lost {
            table.entries.remove(&key);
            return false;
        }
        entry.settling = true;
        entry.progress = None;
        table.unsettled += 1;
        true
    }

    /// The settlement was answered.
    pub fn remove(&self, key: LeaseKey) {
        let mut table = lock(&self.table);
        if table.entries.remove(&key).is_some_and(|entry| entry.settling) {
            table.unsettled -= 1;
        }
    }

    /// Keeps progress for the next beat.
    pub fn tell(&self, key: LeaseKey, progress: Progress) {
        let mut table = lock(&self.table);
        let at = table.flushed_at + PROGRESS_EVERY;
        if let Some(entry) = table.entries.get_mut(&key) {
            entry.progress = Some(progress);
            if table.flush_at.is_none_or(|flush_at| at < flush_at) {
                table.flush_at = Some(at);
                self.flush.notify_one();
            }
        }
    }

    /// Has a checkpoint sent at once, and waits until it is durable; `false` if the lease is lost.
    pub async fn save(&self, key: LeaseKey, checkpoint: Checkpoint) -> bool {
        let saved = {
            let mut table = lock(&self.table);
            let Some(entry) = table.entries.get_mut(&key).filter(|entry| !entry.lost) else {
                return false;
            };
            let (tell, saved) = oneshot::channel();
            entry.checkpoints.push((checkpoint, tell));
            table.flush_at = Some(Duration::ZERO);
            saved
        };
        self.flush.notify_one();
        saved.await.is_ok()
    }

    /// When news wants to be sent.
    pub fn flush_at(&self) -> Option<Duration> {
        lock(&self.table).flush_at
    }

    /// When leases that came since the last beat of all want to be renewed.
    pub fn renew_at(&self) -> Option<Duration> {
        lock(&self.table).renew_at
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        lock(&self.table).entries.is_empty()
    }

    /// What to send now: every lease, or only those with news. In slices that a call may carry.
    pub fn beats(&self, every: bool, now: Duration) -> Vec<Vec<LeaseBeat>> {
        let mut table = lock(&self.table);
        table.flush_at = None;
        table.flushed_at = now;
        if every {
            table.renew_at = None;
        }
        let leases: Vec<LeaseBeat> = table
            .entries
            .iter()
            .filter(|(_, entry)| !entry.lost && (every || entry.has_news()))
            .map(|(key, entry)| LeaseBeat {
                key: *key,
                progress: entry.progress.clone(),
                checkpoints: entry.checkpoints.iter().map(|(saved, _)| saved.clone()).collect(),
            })
            .collect();
        leases.chunks(ITEMS_MAX).map(<[LeaseBeat]>::to_vec).collect()
    }

    /// A beat was not answered: its news wants to be sent again.
    pub fn unanswered(&self, at: Duration) {
        let mut table = lock(&self.table);
        if table.entries.values().any(Entry::has_news) {
            table.flush_at = Some(at);
        }
    }

    /// A beat was answered: renews, cancels, gives up. `kept_until` counts from when it was sent.
    pub fn answered(
        &self,
        sent: &[LeaseBeat],
        answers: &[Answer],
        kept_until: Duration,
        now: Duration,
    ) {
        let mut table = lock(&self.table);
        for (beat, answer) in sent.iter().zip(answers) {
            // The warden may have given the lease up while the beat was out: that stands.
            let entry = table.entries.get_mut(&beat.key).filter(|entry| !entry.lost);
            let Some(entry) = entry else { continue };
            match answer {
                Answer::Stale => entry.lose(),
                Answer::Yes | Answer::Cancel => {
                    entry.kept_until = entry.kept_until.max(kept_until);
                    entry.sent(beat);
                }
            }
            if *answer == Answer::Cancel {
                entry.ask_to_stop(Why::Cancel, now);
            }
        }
        table.armed = None;
        self.sooner.notify_one();
    }

    /// Stops what must stop by now, and says when to look again.
    pub fn enforce(&self, now: Duration) -> Option<Duration> {
        let mut table = lock(&self.table);
        for entry in table.entries.values_mut().filter(|entry| !entry.settling) {
            entry.enforce(now);
        }
        table.armed = table.entries.values().filter_map(Entry::moment).min();
        table.armed
    }

    /// Asks every handler to stop; those that listen may end by themselves until `until`.
    pub fn stop_all(&self, why: Why, until: Duration) {
        let mut table = lock(&self.table);
        for entry in table.entries.values_mut().filter(|entry| !entry.settling) {
            entry.ctx.stop(why);
            entry.abort_at = Some(if entry.ctx.listens() { until } else { Duration::ZERO });
        }
        table.armed = None;
        self.sooner.notify_one();
    }

    /// Gives everything up: the worker is gone.
    pub fn abandon(&self) {
        let mut table = lock(&self.table);
        for entry in table.entries.values_mut() {
            entry.lose();
        }
        table.entries.clear();
        table.unsettled = 0;
    }

    /// How many settlements are not answered yet.
    pub fn unsettled(&self) -> usize {
        lock(&self.table).unsettled
    }
}

impl Entry {
    fn has_news(&self) -> bool {
        self.progress.is_some() || !self.checkpoints.is_empty()
    }

    /// What the store has now been told.
    fn sent(&mut self, beat: &LeaseBeat) {
        if self.progress == beat.progress {
            self.progress = None;
        }
        for (_, saved) in self.checkpoints.drain(..beat.checkpoints.len()) {
            // The step may be gone already, dropped with its handler.
            let _heard = saved.send(()).is_ok();
        }
    }

    /// Gives the lease up.
    fn lose(&mut self) {
        if self.settling {
            return;
        }
        self.lost = true;
        self.checkpoints.clear();
        self.ctx.stop(Why::Lost);
        self.abort();
    }

    fn ask_to_stop(&mut self, why: Why, now: Duration) {
        if self.settling || self.abort_at.is_some() {
            return;
        }
        self.ctx.stop(why);
        self.abort_at = Some(if self.ctx.listens() { now + HANDLER_GRACE } else { now });
    }

    fn enforce(&mut self, now: Duration) {
        if now >= self.kept_until {
            self.lose();
        } else if now >= self.ctx.timeout_at() {
            self.ask_to_stop(Why::Timeout, now);
        }
        if self.abort_at.is_some_and(|at| now >= at) {
            self.abort();
        }
    }

    fn abort(&mut self) {
        self.aborted = true;
        self.ctx.abort();
    }

    /// When something must be done about the handler next.
    fn moment(&self) -> Option<Duration> {
        if self.settling || self.aborted {
            return None;
        }
        Some(self.kept_until.min(self.abort_at.unwrap_or_else(|| self.ctx.timeout_at())))
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(lock(&self.table).entries.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use haulier_core::{Epoch, Kind, Lease, ManualClock, NewTask, Payload, TaskId, Timestamp};

    use super::*;
    use crate::states::States;

    const KEPT_UNTIL: Duration = Duration::from_secs(27);

    fn attempt() -> Ctx {
        let clock = ManualClock::new();
        let id = TaskId::generate(&clock, &haulier_core::SeededEntropy::from_u64(1));
        let task = NewTask::new(id, Kind::new("k").unwrap(), Payload::json("1"));
        let lease = Lease {
            key: LeaseKey { task: id, epoch: Epoch(1) },
            task: Arc::new(task.task),
            attempt: 1,
            losses: 0,
            ttl: Duration::from_secs(30),
            enqueued_at: Timestamp(0),
            checkpoints: Vec::new(),
        };
        Ctx::detached(lease, States::default(), Arc::new(clock))
    }

    #[tokio::test]
    async fn the_answer_to_a_beat_that_comes_after_its_lease_was_given_up_changes_nothing() {
        let (held, ctx) = (Held::default(), attempt());
        let key = ctx.key();
        held.insert(ctx, KEPT_UNTIL, KEPT_UNTIL / 3);
        let checkpoint = Checkpoint { name: "step".into(), value: "1".into() };
        let late = async {
            let sent = held.beats(true, Duration::ZERO).remove(0);
            assert_eq!(sent[0].checkpoints.len(), 1);
            held.enforce(KEPT_UNTIL);
            held.answered(&sent, &[Answer::Yes], KEPT_UNTIL * 2, KEPT_UNTIL);
        };
        let (saved, ()) = tokio::join!(held.save(key, checkpoint), late);
        assert!(!saved, "the handler is told that the lease is lost");
        assert!(!held.settling(key), "and nothing may be settled");
    }
}
