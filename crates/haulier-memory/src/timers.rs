//! What time alone does: pauses end, tasks expire, leases run out, finished tasks are pruned,
//! silent workers forgotten. All of it happens at a reading of the clock, in the order in which it
//! fell due, so that the order of a line does not depend on when somebody looked.

use std::collections::BTreeMap;
use std::time::Duration;

use haulier_core::probe::{planted, sometimes};
use haulier_core::{Ended, Event, QueueName, State as TaskState, Swept, TaskId, Timestamp, limits};

use crate::state::{Entry, Now, State};

/// Something that time brings about.
#[derive(Clone, Copy)]
enum Timer {
    Due(TaskId),
    RanOut(TaskId),
}

impl State {
    /// Carries out what has fallen due, at most `budget` tasks.
    pub fn run_timers(&mut self, now: Now, budget: usize) -> Swept {
        let mut swept = Swept::default();
        for _ in 0..budget {
            if let Some(&(_, id)) = self.index.expiring.first().filter(|(at, _)| *at <= now.wall) {
                self.bring_about(id, Event::Expire, now, |_| ());
                swept.expired += 1;
                continue;
            }
            match self.next_timer(now) {
                None => break,
                Some(Timer::Due(id)) => {
                    self.bring_about(id, Event::Due, now, |_| ());
                    swept.promoted += 1;
                }
                Some(Timer::RanOut(id)) => {
                    self.lose(id, now);
                    swept.lost += 1;
                }
            }
        }
        swept
    }

    /// The next pause or lease that is over.
    fn next_timer(&self, now: Now) -> Option<Timer> {
        let due = self.index.paused.first().filter(|(at, ..)| *at <= now.wall);
        let due = due.map(|&(at, order, id)| (at, order, Timer::Due(id)));
        let ran_out = self.index.running.first();
        let ran_out =
            ran_out.filter(|(at, _, id)| *at <= now.monotonic || self.calendar_is_over(*id, now));
        let ran_out = ran_out.map(|&(at, order, id)| {
            let ago = haulier_core::clock::millis(now.monotonic.saturating_sub(at));
            (Timestamp(now.wall.0.saturating_sub(ago)), order, Timer::RanOut(id))
        });
        let first = due.into_iter().chain(ran_out).min_by_key(|(at, order, _)| (*at, *order));
        first.map(|(_, _, timer)| timer)
    }

    /// Whether a lease is over by a calendar, which anybody may set: never asked, but by a bug that
    /// tests plant.
    fn calendar_is_over(&self, id: TaskId, now: Now) -> bool {
        let over = |entry: &Entry| {
            let since = entry.deliveries.back().map(|record| record.delivery.leased_at);
            let ttl = entry.grant.as_ref().map(|grant| grant.ttl);
            since.zip(ttl).is_some_and(|(since, ttl)| since.after(ttl) <= now.wall)
        };
        planted("expiry-by-callers-clock") && self.tasks.get(&id).is_some_and(over)
    }

    /// A lease ran out: a loss, not an attempt. Its key stays the newest until the next lease.
    fn lose(&mut self, id: TaskId, now: Now) {
        self.bring_about(id, Event::Lost, now, |entry| {
            entry.due_at = now.wall;
            if entry.standing.state == TaskState::Dead {
                sometimes("losses used up");
            }
            if let Some(record) = entry.deliveries.back_mut() {
                record.delivery.ended = Some(Ended::Lost);
                record.delivery.ended_at = Some(now.wall);
            }
        });
    }

    /// Carries out what an index says is due. An index that names a task to which its event does
    /// not apply would name it for ever: better to stop than to turn in a circle.
    fn bring_about(&mut self, id: TaskId, event: Event, now: Now, also: impl FnOnce(&mut Entry)) {
        let done = self.carry_out(id, event, now, also);
        assert!(done.is_ok(), "{event:?} is due for task {id}, but does not apply: {done:?}");
    }

    /// One slice of housekeeping.
    pub fn sweep(&mut self, now: Now, budget: usize) -> Swept {
        let mut swept = self.run_timers(now, budget);
        self.forget_silent(now);
        let touched = swept.promoted + swept.lost + swept.expired;
        let left = budget.saturating_sub(usize::try_from(touched).unwrap_or(usize::MAX));
        let (pruned, next_prune) = self.prune(now, left);
        swept.pruned = pruned;
        let idle = limits::WORKER_FORGOTTEN_AFTER;
        swept.next = self.next_timer_in(now).unwrap_or(idle).min(next_prune.unwrap_or(idle));
        swept
    }

    /// How long until time brings something about again.
    pub fn next_timer_in(&self, now: Now) -> Option<Duration> {
        let wall = [
            self.index.paused.first().map(|(at, ..)| *at),
            self.index.expiring.first().map(|(at, _)| *at),
        ];
        let by_wall = wall.into_iter().flatten().min().map(|at| at.since(now.wall));
        let lease = self.index.running.first().map(|(at, ..)| at.saturating_sub(now.monotonic));
        by_wall.into_iter().chain(lease).min()
    }

    /// Removes finished tasks that were kept for long enough, oldest first, and says how many, and
    /// when the next one is due.
    fn prune(&mut self, now: Now, budget: usize) -> (u64, Option<Duration>) {
        let mut gone: Vec<(Timestamp, u64, TaskId)> = Vec::new();
        let mut completed: BTreeMap<&QueueName, Vec<(Timestamp, u64, TaskId)>> = BTreeMap::new();
        let mut next: Option<Duration> = None;
        for entry in self.tasks.values() {
            let Some(finished_at) = entry.finished_at else { continue };
            let place = (finished_at, entry.order, entry.task.id);
            let kept_until = self.kept_until(entry, finished_at);
            if kept_until <= now.wall {
                gone.push(place);
                continue;
            }
            let in_time = kept_until.since(now.wall);
            next = Some(next.map_or(in_time, |next| next.min(in_time)));
            if entry.standing.state == TaskState::Completed {
                completed.entry(&entry.task.queue).or_default().push(place);
            }
        }
        for (queue, mut places) in completed {
            let Some(line) = self.index.lines.get(queue) else { continue };
            let most = usize::try_from(line.settings.retain.completed_count).unwrap_or(usize::MAX);
            let excess = places.len().saturating_sub(most);
            places.sort_unstable();
            // A key that is still held must go on meeting its task (I4), however full the queue is.
            let free = |id: &TaskId| self.tasks.get(id).is_some_and(|entry| !entry.holds_key(now));
            gone.extend(places.into_iter().filter(|(_, _, id)| free(id)).take(excess));
        }
        gone.sort_unstable();
        if gone.len() > budget {
            next = Some(Duration::ZERO);
            gone.truncate(budget);
        }
        for (_, _, id) in &gone {
            self.remove(*id, now);
        }
        (gone.len() as u64, next)
    }

    /// Until when a finished task is kept: as long as it or its queue says, and in any case while
    /// it holds its unique key (I4).
    fn kept_until(&self, entry: &Entry, finished_at: Timestamp) -> Timestamp {
        let retain = self.index.lines.get(&entry.task.queue).map(|line| line.settings.retain);
        let by_queue = retain.unwrap_or_default().of(entry.standing.state);
        let kept = finished_at.after(entry.task.policy.retain.unwrap_or(by_queue));
        let key = entry.unique.as_ref().map(|unique| entry.enqueued_at.after(unique.window));
        key.map_or(kept, |key| key.max(kept))
    }
}
