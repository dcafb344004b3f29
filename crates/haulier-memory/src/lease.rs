//! Giving tasks out: whose turn it is, which task comes next, and the grant itself.
//!
//! Fairness is two rules of the same shape: the worker whose last grant is longest ago is served
//! first, and among a want's queues with equal priority the one whose last grant is longest ago
//! serves it. Waiting calls share in the same way, so nobody overtakes by asking later.

use std::collections::BTreeMap;

use haulier_core::{
    Delivery, Event, Kind, Lease, LeaseKey, Outcome, Priority, Settlement, TaskId, Want, limits,
};

use crate::state::{Grant, Now, Record, State};

/// A call of `lease` that waits.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub wants: Vec<Want>,
    /// What was claimed for it; it stops waiting.
    pub granted: Option<Vec<Vec<Lease>>>,
}

/// A want that is being served.
struct Asking<'a> {
    want: &'a Want,
    /// What it may still get, in all and from each of its queues.
    max: u32,
    from: Vec<u32>,
    got: Vec<Lease>,
    done: bool,
}

impl<'a> Asking<'a> {
    fn new(want: &'a Want) -> Self {
        let from = want.queues.iter().map(|wanted| wanted.max).collect();
        Self { want, max: want.max, from, got: Vec::new(), done: false }
    }
}

impl State {
    /// Serves wants one task at a time in turn until nobody gets anything any more.
    pub fn share(&mut self, wants: &[Want], now: Now) -> Vec<Vec<Lease>> {
        let mut asking: Vec<Asking<'_>> = wants.iter().map(Asking::new).collect();
        let mut given = 0;
        while given < limits::ITEMS_MAX {
            let open = asking.iter_mut().filter(|ask| !ask.done);
            // The first of several minima wins: the order of the request.
            let Some(turn) = open.min_by_key(|ask| self.workers.last_grant(&ask.want.worker))
            else {
                break;
            };
            match self.next_for(turn) {
                Some((from, id)) => {
                    turn.max -= 1;
                    turn.from[from] -= 1;
                    turn.got.extend(self.grant(id, turn.want, now));
                    given += 1;
                }
                None => turn.done = true,
            }
        }
        asking.into_iter().map(|ask| ask.got).collect()
    }

    /// The task that a want gets next, and from which of its queues.
    fn next_for(&self, ask: &Asking<'_>) -> Option<(usize, TaskId)> {
        let left = |at: usize| ask.max > 0 && ask.from[at] > 0;
        let queues = ask.want.queues.iter().enumerate().filter(|(at, _)| left(*at));
        queues
            .filter_map(|(at, wanted)| {
                let line = self.index.lines.get(&wanted.queue).filter(|line| line.is_open())?;
                let (priority, id) = self.head(line, &ask.want.kinds)?;
                Some((std::cmp::Reverse(priority), line.served, at, id))
            })
            .min()
            .map(|(_, _, at, id)| (at, id))
    }

    /// The first available task of one of these kinds.
    fn head(&self, line: &crate::line::Line, kinds: &[Kind]) -> Option<(Priority, TaskId)> {
        let wanted = |id: &TaskId| {
            kinds.is_empty() || self.tasks.get(id).is_some_and(|e| kinds.contains(&e.task.kind))
        };
        let mut ready = line.ready.iter();
        ready.find(|(_, _, id)| wanted(id)).map(|(priority, _, id)| (priority.0, *id))
    }

    /// Leases a task: a new epoch, an attempt, a delivery on record.
    fn grant(&mut self, id: TaskId, want: &Want, now: Now) -> Option<Lease> {
        let (generation, floor) = (self.generation, self.epoch_floor);
        self.grants += 1;
        self.workers.granted(&want.worker, self.grants);
        let mut lease = None;
        let granted = self.carry_out(id, Event::Lease, now, |entry| {
            entry.epoch = entry.epoch.max(floor).next(generation);
            let hard = entry.task.policy.timeout.saturating_add(limits::STOP_GRACE);
            entry.grant = Some(Grant {
                worker: want.worker.clone(),
                ttl: want.ttl,
                deadline: now.monotonic.saturating_add(want.ttl),
                ends: now.monotonic.saturating_add(hard),
                stops: None,
            });
            let delivery = Delivery {
                epoch: entry.epoch,
                attempt: entry.standing.attempt,
                worker: want.worker.clone(),
                leased_at: now.wall,
                ended_at: None,
                ended: None,
                failure: None,
                late: false,
            };
            entry.deliveries.push_back(Record { delivery, answer: None });
            if entry.deliveries.len() > limits::DELIVERIES_MAX {
                entry.deliveries.pop_front();
            }
            lease = Some(Lease {
                key: LeaseKey { task: id, epoch: entry.epoch },
                task: entry.task.clone(),
                attempt: entry.standing.attempt,
                losses: entry.standing.losses,
                ttl: want.ttl,
                enqueued_at: entry.enqueued_at,
                checkpoints: entry.checkpoints.clone(),
            });
        });
        let lease = lease.filter(|_| granted.is_ok())?;
        self.index.line(&lease.task.queue).served = self.grants;
        Some(lease)
    }

    /// Shares what is ready out among the calls that wait.
    pub fn serve_waiters(&mut self, now: Now) {
        let waiting = self.waiters.iter().filter(|(_, waiter)| waiter.granted.is_none());
        let (tickets, wants): (Vec<u64>, Vec<Want>) = waiting
            .flat_map(|(ticket, waiter)| waiter.wants.iter().map(|want| (*ticket, want.clone())))
            .unzip();
        let mut shares: BTreeMap<u64, Vec<Vec<Lease>>> = BTreeMap::new();
        for (ticket, got) in tickets.into_iter().zip(self.share(&wants, now)) {
            shares.entry(ticket).or_default().push(got);
        }
        for (ticket, share) in shares {
            let some = share.iter().any(|leases| !leases.is_empty());
            if let Some(waiter) = self.waiters.get_mut(&ticket).filter(|_| some) {
                waiter.granted = Some(share);
            }
        }
    }

    /// Ends a wait. What was claimed but never handed out is given back.
    pub fn stop_waiting(&mut self, ticket: u64, now: Now) {
        let granted = self.waiters.remove(&ticket).and_then(|waiter| waiter.granted);
        for lease in granted.into_iter().flatten().flatten() {
            self.settle(Settlement { key: lease.key, outcome: Outcome::Release }, now);
        }
    }
}
