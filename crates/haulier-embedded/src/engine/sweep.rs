//! What happens by itself: due tasks become available, leases run out, tasks expire, finished ones are
//! forgotten. Always in slices, so that a burst of a million keeps nobody waiting.

use std::time::Duration;

use haulier_core::{Ended, Event, Standing, State, Swept, Timestamp, transition};

use crate::codec::wide;
use crate::engine::change::nanos;
use crate::engine::{Engine, Now};
use crate::index::SlotId;
use crate::log::Tail;
use crate::record::{Change, Happened};
use crate::timers::Purpose;

impl Engine {
    /// One slice: at most `budget` tasks are touched.
    pub fn sweep(&mut self, now: Now, budget: usize, records: &mut Tail) -> Swept {
        let mut swept = Swept { pruned: std::mem::take(&mut self.pruned), ..Swept::default() };
        self.remembered.expire(now.wall);
        for _ in 0..budget {
            if let Some((at, purpose, slot)) = self.wall.ring(now.wall.0) {
                self.ring_wall(now, (at, purpose, slot), &mut swept, records);
            } else if let Some((at, _, slot)) = self.mono.ring(nanos(now.mono)) {
                swept.lost += u64::from(self.run_out(now, at, slot, records));
            } else if let Some(slot) = self.overfull_oldest() {
                self.drop_task(now, slot, records);
                swept.pruned += 1;
            } else {
                break;
            }
        }
        self.tidy_timers();
        swept.next = self.next_timer(now).unwrap_or(Duration::MAX).min(Duration::from_mins(1));
        swept
    }

    fn ring_wall(
        &mut self,
        now: Now,
        (_, purpose, slot): (u64, Purpose, SlotId),
        swept: &mut Swept,
        records: &mut Tail,
    ) {
        match purpose {
            Purpose::Due => swept.promoted += u64::from(self.promote(now.wall, slot)),
            Purpose::Expire => swept.expired += u64::from(self.expire(now, slot, records)),
            Purpose::Forget => swept.pruned += u64::from(self.prune(now, slot, records)),
            Purpose::Lease => {}
        }
    }

    /// A pending task becomes available. Nothing is written: its due time says so already.
    pub(super) fn promote(&mut self, now: Timestamp, slot: SlotId) -> bool {
        let place = &self.index[slot];
        let due_at = place.due_at();
        if !is_pending(place.state) || place.definition.segment == 0 || due_at > now {
            return false;
        }
        let standing = Standing { state: State::Available, ..self.detail_standing(slot) };
        self.place(now, slot, standing, due_at);
        true
    }

    /// A lease ran out, unless a beat moved its end since the timer was set.
    fn run_out(&mut self, now: Now, at: u64, slot: SlotId, records: &mut Tail) -> bool {
        let Some(detail) = self.details.get_mut(&slot) else { return false };
        let Some(lease) = detail.lease.as_mut().filter(|lease| nanos(lease.armed) == at) else {
            return false;
        };
        if lease.deadline > now.mono {
            lease.armed = lease.deadline;
            self.mono.set(nanos(lease.deadline), Purpose::Lease, slot);
            return false;
        }
        let epoch = detail.epoch;
        let standing = detail.standing(&self.index[slot]);
        let Ok(standing) = transition(standing, self.rules(slot).max_attempts, Event::Lost) else {
            return false;
        };
        let how = Ended::Lost;
        let change = Change {
            id: self.index[slot].id,
            happened: Happened::Ended { how, late: false, overruled: false },
            epoch,
            standing,
            due_at: now.wall,
        };
        self.happen(now, change, None, None, records);
        true
    }

    fn expire(&mut self, now: Now, slot: SlotId, records: &mut Tail) -> bool {
        let detail = self.details.get(&slot);
        let expires_at = detail.and_then(|detail| detail.expires_at);
        if self.index[slot].definition.segment == 0 || expires_at.is_none_or(|at| at > now.wall) {
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
            epoch: haulier_core::Epoch::default(),
            standing,
            due_at: place.due_at(),
        };
        self.happen(now, change, None, None, records);
        true
    }

    /// A finished task is forgotten, or later if its retention was prolonged.
    fn prune(&mut self, now: Now, slot: SlotId, records: &mut Tail) -> bool {
        let place = &self.index[slot];
        if place.definition.segment == 0 || !place.state.is_final() {
            return false;
        }
        let forget_at = self.forget_at(slot);
        if forget_at > now.wall {
            self.wall.set(forget_at.0, Purpose::Forget, slot);
            return false;
        }
        self.drop_task(now, slot, records);
        true
    }

    /// The oldest completed task of a queue that keeps more than it should.
    fn overfull_oldest(&mut self) -> Option<SlotId> {
        while let Some(queue) = self.overfull.last() {
            let state = &self.lines.queues[wide(*queue)];
            if state.completed.len() > state.settings.retain.completed_count {
                return state.completed.head();
            }
            self.overfull.pop();
        }
        None
    }

    /// How long until something happens by itself.
    pub fn next_timer(&self, now: Now) -> Option<Duration> {
        if !self.overfull.is_empty() {
            return Some(Duration::ZERO);
        }
        let wall = self.wall.next().map(|at| Duration::from_millis(at.saturating_sub(now.wall.0)));
        let mono = self.mono.next().map(|at| Duration::from_nanos(at).saturating_sub(now.mono));
        wall.into_iter().chain(mono).min()
    }

    fn tidy_timers(&mut self) {
        let running = self.details.len();
        let (index, details) = (&self.index, &self.details);
        let lease_of = |slot| details.get(&slot).and_then(|detail| detail.lease.as_ref());
        self.mono.tidy(running, |at, _, slot| {
            lease_of(slot).is_some_and(|lease| nanos(lease.armed) == at)
        });
        self.wall.tidy(2 * self.index.len(), |at, purpose, slot| {
            let place = &index[slot];
            place.definition.segment != 0
                && match purpose {
                    Purpose::Due => is_pending(place.state) && place.due_at().0 == at,
                    Purpose::Forget => place.state.is_final(),
                    Purpose::Expire | Purpose::Lease => {
                        let detail = details.get(&slot);
                        detail.and_then(|detail| detail.expires_at).is_some_and(|end| end.0 == at)
                    }
                }
        });
    }
}

const fn is_pending(state: State) -> bool {
    matches!(state, State::Scheduled | State::Retryable)
}
