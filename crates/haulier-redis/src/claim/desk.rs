//! Calls of `lease` on their way: who asks for what, and what each of them gets.
//!
//! A call stands here from its beginning to its end. What was claimed for it belongs to the desk
//! until the call takes it, in the same step in which it returns; if the call is gone by then, the
//! desk has the leases given back at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use haulier_core::{Error, Lease, LeaseKey, Result, Want};
use tokio::sync::Notify;

/// What a call gets: a share for each of its wants.
pub(super) type Answer = Result<Vec<Vec<Lease>>>;

/// How far a call has come.
#[derive(Debug)]
enum Stage {
    /// Nobody has looked at it yet.
    New,
    /// It waits.
    Waiting,
    /// The claim that is out claims for it.
    Out,
    /// It has its answer.
    Answered(Answer),
}

#[derive(Debug)]
struct Call {
    wants: Arc<[Want]>,
    /// It is answered by the next claim, whatever that finds.
    is_last: bool,
    stage: Stage,
    ready: Arc<Notify>,
}

/// A call that could be served.
#[derive(Debug)]
pub(super) struct Waiting {
    pub ticket: u64,
    pub wants: Arc<[Want]>,
    pub is_last: bool,
    /// Nobody has looked for it yet.
    pub is_new: bool,
}

#[derive(Debug, Default)]
struct State {
    calls: BTreeMap<u64, Call>,
    tickets: u64,
    /// Leases that were claimed for calls that are gone.
    orphans: Vec<LeaseKey>,
    /// Nobody serves any more, for this reason.
    closed: Option<Error>,
}

/// All calls of a store.
#[derive(Debug, Default)]
pub(crate) struct Desk(Mutex<State>);

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call comes in. Calls are served in the order in which they came.
    pub(super) fn enter(&self, wants: Vec<Want>, is_last: bool) -> Seat<'_> {
        let mut state = self.state();
        state.tickets += 1;
        let (ticket, ready) = (state.tickets, Arc::new(Notify::new()));
        let stage = match &state.closed {
            None => Stage::New,
            Some(error) => {
                ready.notify_one();
                Stage::Answered(Err(error.clone()))
            }
        };
        let call = Call { wants: wants.into(), is_last, stage, ready: Arc::clone(&ready) };
        state.calls.insert(ticket, call);
        Seat { desk: self, ticket, ready }
    }

    /// Calls that wait to be served, first come first.
    pub(super) fn waiting(&self) -> Vec<Waiting> {
        let state = self.state();
        let waits = |call: &Call| matches!(call.stage, Stage::New | Stage::Waiting);
        let calls = state.calls.iter().filter(|(_, call)| waits(call));
        let calls = calls.map(|(ticket, call)| Waiting {
            ticket: *ticket,
            wants: Arc::clone(&call.wants),
            is_last: call.is_last,
            is_new: matches!(call.stage, Stage::New),
        });
        calls.collect()
    }

    /// A claim for these calls goes out.
    pub(super) fn send(&self, tickets: impl Iterator<Item = u64>) {
        let mut state = self.state();
        for ticket in tickets {
            let Some(call) = state.calls.get_mut(&ticket) else { continue };
            if matches!(call.stage, Stage::New | Stage::Waiting) {
                call.stage = Stage::Out;
            }
        }
    }

    /// The claim is back, with an answer for this call or, `None`, without: then it goes on
    /// waiting.
    pub(super) fn back(&self, ticket: u64, answer: Option<Answer>) {
        let mut state = self.state();
        let state = &mut *state;
        match (state.calls.get_mut(&ticket), answer) {
            (Some(call), Some(answer)) => {
                call.stage = Stage::Answered(answer);
                call.ready.notify_one();
            }
            (Some(call), None) => {
                if matches!(call.stage, Stage::Out) {
                    call.stage = Stage::Waiting;
                }
            }
            (None, answer) => state.orphans.extend(answer.into_iter().flat_map(keys)),
        }
    }

    /// A call that cannot be served fails.
    pub(super) fn fail(&self, ticket: u64, error: &Error) {
        self.back(ticket, Some(Err(error.clone())));
    }

    /// Leases that are to be given back.
    pub(super) fn orphans(&self) -> Vec<LeaseKey> {
        std::mem::take(&mut self.state().orphans)
    }

    /// Nobody serves any more.
    pub(super) fn close(&self, error: &Error) {
        let mut state = self.state();
        state.closed = Some(error.clone());
        for call in state.calls.values_mut() {
            if !matches!(call.stage, Stage::Answered(_)) {
                call.stage = Stage::Answered(Err(error.clone()));
                call.ready.notify_one();
            }
        }
    }
}

fn keys(answer: Answer) -> Vec<LeaseKey> {
    answer.into_iter().flatten().flatten().map(|lease| lease.key).collect()
}

/// A call's place at the desk. When it is dropped the call is gone.
#[derive(Debug)]
pub(super) struct Seat<'a> {
    desk: &'a Desk,
    ticket: u64,
    pub ready: Arc<Notify>,
}

impl Seat<'_> {
    /// Takes the answer, which the call has to return in this very step.
    pub fn take(&self) -> Option<Answer> {
        let mut state = self.desk.state();
        match state.calls.remove(&self.ticket) {
            Some(Call { stage: Stage::Answered(answer), .. }) => Some(answer),
            Some(call) => {
                state.calls.insert(self.ticket, call);
                None
            }
            None => None,
        }
    }

    /// The call's time is over. `true`: nobody claims for it now; else it has its answer, or gets
    /// it from the claim that is out. A call that nobody has looked at yet is looked at once: who
    /// asks for a short time must not hear "nothing" for ever because the claimer is busy (L1).
    pub fn stop_waiting(&self) -> bool {
        let mut state = self.desk.state();
        match state.calls.get_mut(&self.ticket) {
            Some(Call { stage: Stage::New | Stage::Out, is_last, .. }) => {
                *is_last = true;
                false
            }
            Some(Call { stage: Stage::Answered(_), .. }) => false,
            _ => true,
        }
    }

    /// Whether leases were claimed for the call that it has not taken.
    fn leave(&self) -> bool {
        let mut state = self.desk.state();
        let Some(Call { stage: Stage::Answered(answer), .. }) = state.calls.remove(&self.ticket)
        else {
            return false;
        };
        let keys = keys(answer);
        state.orphans.extend(&keys);
        !keys.is_empty()
    }
}

/// A seat that tells somebody when leases have to be given back.
#[derive(Debug)]
pub(super) struct Leaving<'a, F: Fn()> {
    pub seat: Seat<'a>,
    pub tell: F,
}

impl<F: Fn()> Drop for Leaving<'_, F> {
    fn drop(&mut self) {
        if self.seat.leave() {
            (self.tell)();
        }
    }
}

#[cfg(test)]
mod tests {
    use haulier_core::{QueueName, WorkerId};

    use super::*;

    #[test]
    fn a_call_whose_time_ends_before_anybody_looked_at_it_is_looked_at_once() {
        let desk = Desk::default();
        let queue = QueueName::new("q").unwrap();
        let want = Want::new(WorkerId::new("w").unwrap(), queue, 1);
        let seat = desk.enter(vec![want], false);
        assert!(!seat.stop_waiting(), "L1");
        let waiting = desk.waiting();
        assert!(waiting[0].is_last, "and gets whatever there is");
        desk.send(waiting.iter().map(|call| call.ticket));
        desk.back(seat.ticket, Some(Ok(vec![Vec::new()])));
        assert!(seat.take().is_some());
    }
}
