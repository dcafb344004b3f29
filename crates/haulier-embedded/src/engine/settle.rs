//! Ending leases: whether the key is current, what the outcome leads to, and the same answer again
//! for a key that was answered before (I3, I7, I8).

use haulier_core::probe::sometimes;
use haulier_core::{
    Ended, Event, LeaseKey, Outcome, Settled, Settlement, Standing, State, Timestamp, transition,
};

use crate::engine::{Engine, Now};
use crate::index::SlotId;
use crate::log::Tail;
use crate::parts;
use crate::record::{Change, Happened};
use crate::snapshot::End;

/// What a key means.
enum Fence {
    /// It is the newest and may end its lease; `late` if the lease has run out.
    Current { late: bool, standing: Standing, max_attempts: u32 },
    /// It ended its lease before, with this answer.
    Answered(Settled),
    /// It means nothing any more.
    Stale,
}

/// The answer that a delivery's end was given.
const fn answer(end: &End) -> Settled {
    if end.overruled {
        Settled::Cancelled
    } else {
        Settled::Applied { state: end.state, late: end.late }
    }
}

/// What an outcome asks of the rules.
const fn event(outcome: &Outcome) -> Event {
    match outcome {
        Outcome::Complete { .. } => Event::Complete,
        Outcome::Fail { retry_in, .. } => Event::Fail { retry: retry_in.is_some() },
        Outcome::Reject { .. } => Event::Reject,
        Outcome::Snooze { .. } => Event::Snooze,
        Outcome::Release => Event::Release,
        Outcome::Cancelled => Event::Stopped,
    }
}

/// When the task is due after an outcome.
fn due_after(outcome: &Outcome, now: Timestamp) -> Timestamp {
    match outcome {
        Outcome::Fail { retry_in: Some(pause), .. } => now.after(*pause),
        Outcome::Snooze { delay } => now.after(*delay),
        _ => now,
    }
}

impl Engine {
    pub(super) fn settle(
        &mut self,
        now: Now,
        ends: &[Settlement],
        records: &mut Tail,
    ) -> Vec<Settled> {
        ends.iter().map(|end| self.settle_one(now, end, records)).collect()
    }

    fn settle_one(&mut self, now: Now, settlement: &Settlement, records: &mut Tail) -> Settled {
        let Settlement { key, outcome } = settlement;
        let Some(slot) = self.index.find(key.task) else { return Settled::Stale };
        match self.fence(slot, *key) {
            Fence::Stale => {
                sometimes("stale refused");
                Settled::Stale
            }
            Fence::Answered(answer) => {
                sometimes("repeat answered");
                answer
            }
            Fence::Current { late, standing, max_attempts } => {
                if let Err(refusal) = outcome.check(self.payload_bytes_max) {
                    return Settled::Refused(refusal);
                }
                let Ok(next) = transition(standing, max_attempts, event(outcome)) else {
                    return Settled::Stale;
                };
                let overruled = standing.cancel_requested && *outcome != Outcome::Cancelled;
                if late {
                    sometimes("late settle accepted");
                }
                if overruled {
                    sometimes("cancel races complete");
                }
                let how = if overruled { Ended::Cancelled } else { Ended::from(outcome) };
                let end = End { how, at: now.wall, late, overruled, state: next.state };
                self.carry_out(now, slot, settlement, (end, next), records);
                answer(&end)
            }
        }
    }

    fn fence(&self, slot: SlotId, key: LeaseKey) -> Fence {
        let place = &self.index[slot];
        let Some(detail) = self.details.get(slot) else { return Fence::Stale };
        let newest = detail.epoch == key.epoch;
        let max_attempts = detail.rules.unwrap_or_default().max_attempts;
        let current =
            |late| Fence::Current { late, standing: detail.standing(place), max_attempts };
        match detail.deliveries.find(key.epoch).map(|delivery| delivery.end) {
            Some(None) if newest && place.state() == State::Running => current(false),
            Some(Some(end)) if end.how != Ended::Lost => Fence::Answered(answer(&end)),
            Some(Some(_)) if newest && place.state() == State::Available => current(true),
            Some(Some(_)) => {
                sometimes("settle races expiry");
                Fence::Stale
            }
            _ => Fence::Stale,
        }
    }

    fn carry_out(
        &mut self,
        now: Now,
        slot: SlotId,
        settlement: &Settlement,
        (end, next): (End, Standing),
        records: &mut Tail,
    ) {
        let Settlement { key, outcome } = settlement;
        let End { how, late, overruled, .. } = end;
        let change = Change {
            id: key.task,
            happened: Happened::Ended { how, late, overruled },
            epoch: key.epoch,
            standing: next,
            due_at: due_after(outcome, now.wall),
        };
        let mut part = records.scratch();
        let has_part = match outcome {
            Outcome::Complete { result: Some(result) } if next.state == State::Completed => {
                parts::put_payload(&mut part, result);
                true
            }
            Outcome::Fail { failure, .. } | Outcome::Reject { failure } => {
                parts::put_failure(&mut part, failure);
                true
            }
            _ => false,
        };
        self.happen(now, slot, change, None, has_part.then_some(&part), records);
        records.give_back(part);
    }

    pub(super) fn detail_standing(&self, slot: SlotId) -> haulier_core::Standing {
        let place = &self.index[slot];
        match self.details.get(slot) {
            Some(detail) => detail.standing(place),
            None => crate::detail::Detail::default().standing(place),
        }
    }
}
