//! What happens by itself: due tasks become available, leases run out, tasks expire, finished ones
//! are forgotten. Always in slices, so that a burst of a million keeps nobody waiting.

use std::time::Duration;

use haulier_core::probe::sometimes;
use haulier_core::{Ended, Epoch, Event, State, Swept, limits, transition};

use crate::codec::wide;
use crate::detail::Keeping;
use crate::engine::change::nanos;
use crate::engine::{Engine, Now};
use crate::index::SlotId;
use crate::log::Tail;
use crate::record::{Change, Happened};
use crate::timers::{Purpose, Timer};

impl Engine {
    /// One slice of everything: at most `budget` tasks are touched.
    pub(super) fn sweep(&mut self, now: Now, budget: usize, records: &mut Tail) -> Swept {
        let mut left = budget;
        let mut swept = self.tick(now, &mut left, records);
        self.remembered.expire(now.wall);
        self.workers.forget_silent(now.mono);
        while left > 0 {
            if let Some(timer) = self.kept.ring(now.wall.0) {
                if timer.purpose == Purpose::FreeKey {
                    self.free_key(now.wall, timer.slot);
                } else {
                    swept.pruned += u64::from(self.prune(now, timer, records));
                }
            } else if let Some(slot) = self.excess() {
                self.drop_task(now, slot, records);
                swept.pruned += 1;
            } else {
                break;
            }
            left -= 1;
        }
        let kept = self.kept.next().map(|timer| Self::until(now, timer.at));
        let next = self.next_timer(now).into_iter().chain(kept).min();
        let idle = limits::WORKER_FORGOTTEN_AFTER;
        let more = left == 0 || !self.overfull.is_empty();
        swept.next = if more { Duration::ZERO } else { next.unwrap_or(idle).min(idle) };
        swept
    }

    /// One slice of what cannot wait: tasks that are due, leases that ran out. `left` is how many
    /// tasks may be touched.
    pub fn tick(&mut self, now: Now, left: &mut usize, records: &mut Tail) -> Swept {
        let mut swept = Swept::default();
        while *left > 0 {
            let Some(timer) = self.ring_next(now) else { break };
            let slot = timer.slot;
            match timer.purpose {
                Purpose::Due => swept.promoted += u64::from(self.promote(now, slot, records)),
                Purpose::Expire => swept.expired += u64::from(self.expire(now, slot, records)),
                Purpose::Lease => {
                    swept.lost += u64::from(self.run_out(now, timer.number, slot, records));
                }
                Purpose::FreeKey | Purpose::Forget => {}
            }
            *left -= 1;
        }
        self.tidy_timers();
        swept
    }

    /// The next timer that is due, in the order of both clocks: so the order of a line does not
    /// depend on when somebody looked.
    fn ring_next(&mut self, now: Now) -> Option<Timer> {
        let wall = self.wall.next().filter(|timer| timer.at <= now.wall.0);
        let mono = self.mono.next().filter(|timer| timer.at <= nanos(now.mono));
        let by_calendar = |timer: Timer| {
            let ago = (nanos(now.mono) - timer.at) / 1_000_000;
            (now.wall.0.saturating_sub(ago), timer.number)
        };
        match (wall, mono) {
            (Some(wall), Some(mono)) if by_calendar(mono) < (wall.at, wall.number) => {
                self.mono.ring(nanos(now.mono))
            }
            (None, Some(_)) => self.mono.ring(nanos(now.mono)),
            _ => self.wall.ring(now.wall.0),
        }
    }

    /// A pending task becomes available.
    fn promote(&mut self, now: Now, slot: SlotId, records: &mut Tail) -> bool {
        let place = &self.index[slot];
        let due_at = self.index.due_at(slot);
        if !is_pending(place.state()) || !place.is_taken() || due_at > now.wall {
            return false;
        }
        let standing = self.detail_standing(slot);
        let Ok(standing) = transition(standing, self.rules(slot).max_attempts, Event::Due) else {
            return false;
        };
        let id = self.index[slot].id;
        let epoch = Epoch::default();
        let change = Change { id, happened: Happened::Due, epoch, standing, due_at };
        self.happen(now, slot, change, None, None, records);
        true
    }

    /// A lease ran out, unless a beat has set another timer since.
    fn run_out(&mut self, now: Now, number: u64, slot: SlotId, records: &mut Tail) -> bool {
        let Some(detail) = self.details.get(slot) else { return false };
        if detail.lease.as_ref().is_none_or(|lease| lease.timer != number) {
            return false;
        }
        let epoch = detail.epoch;
        let standing = detail.standing(&self.index[slot]);
        let Ok(standing) = transition(standing, self.rules(slot).max_attempts, Event::Lost) else {
            return false;
        };
        if standing.state == State::Dead {
            sometimes("losses used up");
        }
        let how = Ended::Lost;
        let change = Change {
            id: self.index[slot].id,
            happened: Happened::Ended { how, late: false, overruled: false },
            epoch,
            standing,
            due_at: now.wall,
        };
        self.happen(now, slot, change, None, None, records);
        true
    }

    fn expire(&mut self, now: Now, slot: SlotId, records: &mut Tail) -> bool {
        let detail = self.details.get(slot);
        let expires_at = detail.and_then(|detail| detail.expires_at);
        if !self.index[slot].is_taken() || expires_at.is_none_or(|at| at > now.wall) {
            return false;
        }
        let standing = self.detail_standing(slot);
        let Ok(standing) = transition(standing, self.rules(slot).max_attempts, Event::Expire)
        else {
            return false;
        };
        let place = &self.index[slot];
        let change = Change {
            id: place.id,
            happened: Happened::Expired,
            epoch: Epoch::default(),
            standing,
            due_at: self.index.due_at(slot),
        };
        self.happen(now, slot, change, None, None, records);
        true
    }

    /// A finished task is forgotten, or later if its retention was prolonged.
    fn prune(&mut self, now: Now, timer: Timer, records: &mut Tail) -> bool {
        let slot = timer.slot;
        if self.details.get(slot).is_none_or(|detail| detail.kept_timer != timer.number) {
            return false;
        }
        let forget_at = self.forget_at(slot);
        if forget_at > now.wall {
            self.set_kept_timer(slot, forget_at);
            return false;
        }
        self.drop_task(now, slot, records);
        true
    }

    /// The oldest completed task of a queue that keeps more than it should.
    fn excess(&mut self) -> Option<SlotId> {
        while let Some(queue) = self.overfull.last() {
            let queue = &mut self.lines.queues[wide(*queue)];
            if let Some(oldest) = queue.excess() {
                return Some(oldest);
            }
            queue.overfull = false;
            self.overfull.pop();
        }
        None
    }

    fn until(now: Now, at: u64) -> Duration {
        Duration::from_millis(at.saturating_sub(now.wall.0))
    }

    /// How long until something cannot wait any longer.
    pub fn next_timer(&self, now: Now) -> Option<Duration> {
        let wall = self.wall.next().map(|timer| Self::until(now, timer.at));
        let mono = self.mono.next();
        let mono = mono.map(|timer| Duration::from_nanos(timer.at).saturating_sub(now.mono));
        wall.into_iter().chain(mono).min()
    }

    fn tidy_timers(&mut self) {
        let (index, details) = (&self.index, &self.details);
        let detail_of = |slot| details.get(slot);
        self.mono.tidy(details.len(), |timer| {
            let lease = detail_of(timer.slot).and_then(|detail| detail.lease.as_ref());
            lease.is_some_and(|lease| lease.timer == timer.number)
        });
        self.wall.tidy(2 * index.len(), |timer| {
            let place = &index[timer.slot];
            let expires_at = || detail_of(timer.slot).and_then(|detail| detail.expires_at);
            place.is_taken()
                && match timer.purpose {
                    Purpose::Due => {
                        is_pending(place.state()) && index.due_at(timer.slot).0 == timer.at
                    }
                    _ => expires_at().is_some_and(|end| end.0 == timer.at),
                }
        });
        self.kept.tidy(2 * details.len(), |timer| {
            detail_of(timer.slot).is_some_and(|detail| match timer.purpose {
                Purpose::FreeKey => detail.keeping == Keeping::Held,
                _ => detail.kept_timer == timer.number,
            })
        });
    }
}

const fn is_pending(state: State) -> bool {
    matches!(state, State::Scheduled | State::Retryable)
}

#[cfg(test)]
mod tests {
    use haulier_core::{
        Kind, LeaseKey, NewTask, Outcome, Payload, QueueName, SettingsPatch, Settlement, TaskId,
        Timestamp, Want, WorkerId,
    };

    use super::*;
    use crate::engine::{Command, Offers};
    use crate::log::Resume;
    use crate::place::Position;

    /// L5: tasks that go by count leave no timer behind that lives until their time.
    #[test]
    fn timers_of_tasks_that_are_gone_do_not_pile_up() {
        let now = Now { wall: Timestamp(1_000_000), mono: Duration::from_secs(1_000) };
        let end = Position::new(1, 64);
        let resume = Resume { generation: 1, sequence: 1, end, capacity: u32::MAX / 2, oldest: 1 };
        let (mut tail, mut engine) = (Tail::new(resume), Engine::new(1_024, 0));
        engine.start(now, 1);
        let ten = SettingsPatch { retain_completed_count: Some(10), ..SettingsPatch::default() };
        let queue = QueueName::default();
        engine.apply(now, Command::Configure(queue.clone(), ten), &mut tail).unwrap();
        let want = Want::new(WorkerId::new("w").unwrap(), queue, 100);
        for round in 0..500_u16 {
            let task = |number: u8| {
                let mut id = [number; 16];
                id[..2].copy_from_slice(&round.to_be_bytes());
                let payload = Payload::new(vec![], Payload::BINARY);
                NewTask::new(TaskId::from_bytes(id), Kind::new("work").unwrap(), payload)
            };
            let offers = Offers::new((0..100).map(task).collect(), 1_024);
            engine.apply(now, Command::Enqueue(offers), &mut tail).unwrap();
            let leased = engine.share(now, std::slice::from_ref(&want), &mut tail).remove(0);
            let done =
                |key: LeaseKey| Settlement { key, outcome: Outcome::Complete { result: None } };
            let ends = leased.iter().map(|lease| done(lease.key)).collect();
            engine.apply(now, Command::Settle(ends), &mut tail).unwrap();
            engine.apply(now, Command::Sweep(1_000), &mut tail).unwrap();
            tail.take();
        }
        assert_eq!(engine.task_count(), 10);
        assert!(engine.kept.len() < 5_000, "{} timers for ten tasks", engine.kept.len());
    }
}
