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
    /// It waits; these are the numbers of its queues.
    Waiting(Arc<Numbers>),
    /// The claim that is out claims for it.
    Out(Arc<Numbers>),
    /// It has its answer.
    Answered(Answer),
}

/// The number of each queue of each want, as far as there is one.
pub(super) type Numbers = Vec<Vec<Option<i32>>>;

#[derive(Debug)]
struct Call {
    wants: Arc<[Want]>,
    /// It is answered by the next claim, whatever that finds.
    is_last: bool,
    /// Since it came, there was a moment at which there was nothing for it.
    is_seen: bool,
    stage: Stage,
    ready: Arc<Notify>,
}

/// A call that could be served.
#[derive(Debug)]
pub(super) struct Waiting {
    pub ticket: u64,
    pub wants: Arc<[Want]>,
    pub numbers: Arc<Numbers>,
    pub is_last: bool,
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
        let call =
            Call { wants: wants.into(), is_last, is_seen: false, stage, ready: Arc::clone(&ready) };
        state.calls.insert(ticket, call);
        Seat { desk: self, ticket, ready }
    }

    /// Calls that nobody has looked at, and with `again` also those of whose queues some have no
    /// number yet.
    pub(super) fn to_number(&self, again: bool) -> Vec<(u64, Arc<[Want]>, bool)> {
        let state = self.state();
        let calls = state.calls.iter().filter_map(|(ticket, call)| {
            let is_new = matches!(call.stage, Stage::New);
            let lacks = |numbers: &Numbers| numbers.iter().flatten().any(Option::is_none);
            let is_asked =
                is_new || matches!(&call.stage, Stage::Waiting(numbers) if again && lacks(numbers));
            is_asked.then(|| (*ticket, Arc::clone(&call.wants), is_new))
        });
        calls.collect()
    }

    /// The numbers of a call's queues: it can be served from now on.
    pub(super) fn number(&self, ticket: u64, numbers: Numbers) {
        if let Some(call) = self.state().calls.get_mut(&ticket) {
            call.stage = Stage::Waiting(Arc::new(numbers));
        }
    }

    /// Numbers mean nothing any more: calls have to be numbered anew.
    pub(super) fn forget_numbers(&self) {
        for call in self.state().calls.values_mut() {
            if matches!(call.stage, Stage::Waiting(_)) {
                call.stage = Stage::New;
            }
        }
    }

    /// Calls that wait to be served, first come first.
    pub(super) fn waiting(&self) -> Vec<Waiting> {
        let state = self.state();
        let calls = state.calls.iter().filter_map(|(ticket, call)| match &call.stage {
            Stage::Waiting(numbers) => Some(Waiting {
                ticket: *ticket,
                wants: Arc::clone(&call.wants),
                numbers: Arc::clone(numbers),
                is_last: call.is_last,
            }),
            _ => None,
        });
        calls.collect()
    }

    /// A claim for these calls goes out.
    pub(super) fn send(&self, tickets: impl Iterator<Item = u64>) {
        let mut state = self.state();
        for ticket in tickets {
            let Some(call) = state.calls.get_mut(&ticket) else { continue };
            if let Stage::Waiting(numbers) = &call.stage {
                call.stage = Stage::Out(Arc::clone(numbers));
            }
        }
    }

    /// The claim is back without an answer for this call, which goes on waiting. `is_seen`: it saw
    /// that there is nothing; else somebody else was in the way.
    pub(super) fn back(&self, ticket: u64, is_seen: bool) {
        if let Some(call) = self.state().calls.get_mut(&ticket)
            && let Stage::Out(numbers) = &call.stage
        {
            call.stage = Stage::Waiting(Arc::clone(numbers));
            call.is_seen |= is_seen;
        }
    }

    /// Nothing is claimed for these calls, because there is nothing.
    pub(super) fn rest(&self, tickets: impl Iterator<Item = u64>) {
        let mut state = self.state();
        for ticket in tickets {
            if let Some(call) = state.calls.get_mut(&ticket) {
                call.is_seen = true;
            }
        }
    }

    /// A call's answer. If the call is gone by now, what it got is to be given back.
    pub(super) fn answer(&self, ticket: u64, answer: Answer) {
        let mut state = self.state();
        match state.calls.get_mut(&ticket) {
            Some(call) => {
                call.stage = Stage::Answered(answer);
                call.ready.notify_one();
            }
            None => state.orphans.extend(keys(answer)),
        }
    }

    /// A call that cannot be served fails.
    pub(super) fn fail(&self, ticket: u64, error: &Error) {
        self.answer(ticket, Err(error.clone()));
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

    /// The call's time is over. `true`: there was nothing for it, and nobody claims for it now.
    /// Else it has its answer, or gets it from the next claim: whoever asks for a short time must
    /// not hear "nothing" for ever because the claimer was busy, or another server had the mutex
    /// of its queue whenever it was asked for (L1).
    pub fn stop_waiting(&self) -> bool {
        let mut state = self.desk.state();
        match state.calls.get_mut(&self.ticket) {
            Some(Call { stage: Stage::Answered(_), .. }) => false,
            Some(Call { stage: Stage::Waiting(_), is_seen: true, .. }) | None => true,
            Some(call) => {
                call.is_last = true;
                false
            }
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

    fn want() -> Want {
        Want::new(WorkerId::new("w").unwrap(), QueueName::new("q").unwrap(), 1)
    }

    #[test]
    fn a_call_whose_time_ends_before_anybody_looked_at_it_is_looked_at_once() {
        let desk = Desk::default();
        let seat = desk.enter(vec![want()], false);
        assert!(!seat.stop_waiting(), "L1");
        desk.number(seat.ticket, vec![vec![Some(1)]]);
        let waiting = desk.waiting();
        assert!(waiting[0].is_last, "and gets whatever there is");
        desk.send(waiting.iter().map(|call| call.ticket));
        desk.answer(seat.ticket, Ok(vec![Vec::new()]));
        assert!(seat.take().is_some());
    }

    #[test]
    fn a_call_whose_queue_was_busy_whenever_it_was_looked_at_is_looked_at_once_more() {
        let desk = Desk::default();
        let seat = desk.enter(vec![want()], false);
        desk.number(seat.ticket, vec![vec![Some(1)]]);
        for _ in 0..3 {
            desk.send([seat.ticket].into_iter());
            desk.back(seat.ticket, false);
        }
        assert!(!seat.stop_waiting(), "L1");
        assert!(desk.waiting()[0].is_last);
        let seat = desk.enter(vec![want()], false);
        desk.number(seat.ticket, vec![vec![Some(1)]]);
        desk.send([seat.ticket].into_iter());
        desk.back(seat.ticket, true);
        assert!(seat.stop_waiting(), "there was nothing, and that is the answer");
    }
}
