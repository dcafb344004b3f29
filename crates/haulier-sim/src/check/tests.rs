//! A bad history for each invariant, and good ones that must not be accused.

use std::sync::Arc;

use haulier_core::{Ended, Held, ManualClock, State, TaskId};

use super::{Rules, STORE, check, report};
use crate::history::{
    Asked, Counts, Done, EndedWord, Fault, Got, Granted, HeldWord, Key, Line, Offer, Recorder,
    Settlement, StateWord, UniqueKey, View, What, Which, Wish,
};

const SECOND: u64 = 1_000_000;
const TTL_MS: u64 = 3_000;

fn id(number: u8) -> TaskId {
    TaskId::from_bytes([number; 16])
}

/// Writes a history by hand: times are in tenths of a second.
struct Script {
    recorder: Recorder,
    lines: Vec<Line>,
}

impl Script {
    fn new() -> Self {
        Self { recorder: Recorder::new(Arc::new(ManualClock::new())), lines: Vec::new() }
    }

    fn line(&mut self, tenths: u64, p: &str, what: What) -> &mut Self {
        let (i, t) = (self.lines.len() as u64, tenths * SECOND / 10);
        self.lines.push(Line { i, t, p: p.into(), what });
        self
    }

    /// A call that takes a tenth of a second.
    fn call(&mut self, tenths: u64, p: &str, asked: Asked, got: Got) -> &mut Self {
        let b = self.recorder.call();
        self.line(tenths, p, What::Invoke { b, n: 0, asked });
        self.line(tenths + 1, p, What::Ok { b, n: 0, got })
    }

    fn unknown(&mut self, tenths: u64, p: &str, asked: Asked) -> &mut Self {
        let b = self.recorder.call();
        self.line(tenths, p, What::Invoke { b, n: 0, asked })
    }

    fn enqueue(&mut self, tenths: u64, task: u8) -> &mut Self {
        self.enqueue_as(tenths, offer(task))
    }

    fn enqueue_as(&mut self, tenths: u64, offer: Offer) -> &mut Self {
        let state = Some(StateWord(State::Available));
        let got = Got::Enqueue { task: offer.task, inserted: true, state };
        self.call(tenths, "p1", Asked::Enqueue(offer), got)
    }

    fn lease(&mut self, tenths: u64, p: &str, task: u8, epoch: u64) -> &mut Self {
        self.lease_as(tenths, p, granted(task, epoch))
    }

    fn lease_as(&mut self, tenths: u64, p: &str, granted: Granted) -> &mut Self {
        self.call(tenths, p, Asked::Lease(wish()), Got::Lease(Some(granted)))
    }

    fn beat(&mut self, tenths: u64, task: u8, epoch: u64, held: Held) -> &mut Self {
        let asked = Asked::Beat { key: key(task, epoch), ttl_ms: TTL_MS };
        self.call(tenths, "w1", asked, Got::Beat { held: HeldWord(held) })
    }

    fn settle(&mut self, tenths: u64, task: u8, epoch: u64, state: State) -> &mut Self {
        let (outcome, again_ms) = match state {
            State::Retryable => (Ended::Fail, Some(2_000)),
            State::Dead => (Ended::Fail, None),
            State::Available => (Ended::Release, None),
            _ => (Ended::Complete, None),
        };
        let asked = Asked::Settle { key: key(task, epoch), outcome: EndedWord(outcome), again_ms };
        let got = Settlement::Applied { state: StateWord(state), late: false };
        self.call(tenths, "w1", asked, Got::Settle(got))
    }

    fn stale(&mut self, tenths: u64, task: u8, epoch: u64) -> &mut Self {
        let outcome = EndedWord(Ended::Complete);
        let asked = Asked::Settle { key: key(task, epoch), outcome, again_ms: None };
        self.call(tenths, "w1", asked, Got::Settle(Settlement::Stale))
    }

    fn cancel(&mut self, tenths: u64, task: u8, state: State) -> &mut Self {
        let done = Done::Done { state: StateWord(state) };
        self.call(tenths, "o1", Asked::Cancel(Which { task: id(task) }), Got::Cancel(done))
    }

    fn rerun(&mut self, tenths: u64, task: u8) -> &mut Self {
        let done = Done::Done { state: StateWord(State::Available) };
        self.call(tenths, "o1", Asked::Rerun(Which { task: id(task) }), Got::Rerun(done))
    }

    fn read(&mut self, tenths: u64, task: u8, view: Option<View>) -> &mut Self {
        self.call(tenths, "reader", Asked::Get(Which { task: id(task) }), Got::Get(view))
    }

    fn nothing(&mut self, tenths: u64, p: &str) -> &mut Self {
        self.call(tenths, p, Asked::Lease(wish()), Got::Lease(None))
    }

    fn fault(&mut self, tenths: u64, p: &str, fault: Fault) -> &mut Self {
        self.line(tenths, p, What::Fault { fault })
    }

    fn heal(&mut self, tenths: u64, p: &str, fault: Fault) -> &mut Self {
        self.line(tenths, p, What::Heal { fault })
    }

    /// The invariants that the checker says are broken, each once.
    fn broken(&self) -> Vec<&'static str> {
        let findings = check(&self.lines, Rules::default());
        let mut broken: Vec<&str> = findings.iter().map(|finding| finding.invariant).collect();
        broken.dedup();
        if let Some(finding) = findings.first() {
            assert!(report(&self.lines, &findings).starts_with(finding.invariant));
        }
        broken
    }
}

fn offer(task: u8) -> Offer {
    Offer {
        task: id(task),
        queue: "q".to_owned(),
        kind: "k".to_owned(),
        digest: u64::from(task),
        priority: 4,
        max_attempts: 3,
        timeout_ms: 60_000,
        delay_ms: 0,
        expires_ms: None,
        retain_ms: None,
        unique: None,
    }
}

fn unique(task: u8) -> Offer {
    let unique =
        UniqueKey { key: "u".to_owned(), window_ms: 0, until_finish: true, replace: false };
    Offer { unique: Some(unique), ..offer(task) }
}

fn key(task: u8, epoch: u64) -> Key {
    Key { task: id(task), epoch }
}

fn wish() -> Wish {
    let queues = vec!["q".to_owned()];
    Wish { queues, kinds: Vec::new(), max: 1, ttl_ms: TTL_MS, wait_ms: 0 }
}

fn granted(task: u8, epoch: u64) -> Granted {
    let key = key(task, epoch);
    Granted { key, attempt: 1, losses: 0, ttl_ms: TTL_MS, digest: u64::from(task) }
}

fn view(task: u8, state: State) -> View {
    let digest = Some(u64::from(task));
    View { state: StateWord(state), attempt: 1, losses: 0, epoch: 1, digest }
}

macro_rules! bad {
    ($name:ident, $broken:literal, $($call:ident($($argument:expr),*)).+) => {
        #[test]
        fn $name() {
            let mut script = Script::new();
            script.$($call($($argument),*)).+;
            let broken = script.broken();
            assert!(broken.contains(&$broken), "{broken:?}");
        }
    };
}

macro_rules! good {
    ($name:ident, $($call:ident($($argument:expr),*)).+) => {
        #[test]
        fn $name() {
            let mut script = Script::new();
            script.$($call($($argument),*)).+;
            assert_eq!(script.broken(), [] as [&str; 0]);
        }
    };
}

bad!(i1_a_task_that_was_acknowledged_and_is_gone, "I1", enqueue(0, 1).read(9, 1, None));
bad!(
    i2_an_epoch_that_goes_back,
    "I2",
    enqueue(0, 1).lease(2, "w1", 1, 5).settle(4, 1, 5, State::Available).lease(6, "w2", 1, 4)
);
bad!(
    i2_an_epoch_that_is_given_out_twice,
    "I2",
    enqueue(0, 1).lease(2, "w1", 1, 5).settle(4, 1, 5, State::Available).lease(6, "w2", 1, 5)
);
bad!(
    i3_a_settlement_with_an_old_key,
    "I3",
    enqueue(0, 1).lease(1, "w1", 1, 1).lease(40, "w2", 1, 2).settle(42, 1, 1, State::Available)
);
bad!(
    i3_a_renewal_with_an_old_key,
    "I3",
    enqueue(0, 1).lease(1, "w1", 1, 1).lease(40, "w2", 1, 2).beat(42, 1, 1, Held::Yes)
);
bad!(
    i3_a_renewal_of_what_was_settled,
    "I3",
    enqueue(0, 1).lease(1, "w1", 1, 1).settle(3, 1, 1, State::Completed).beat(5, 1, 1, Held::Yes)
);
bad!(i4_a_task_that_is_inserted_twice, "I4", enqueue(0, 1).enqueue(5, 1));
bad!(
    i4_two_tasks_that_hold_the_same_unique_key,
    "I4",
    enqueue_as(0, unique(1)).enqueue_as(5, unique(2))
);
bad!(
    i5_a_task_that_is_leased_before_its_time,
    "I5",
    enqueue_as(0, Offer { delay_ms: 2_000, ..offer(1) }).lease(15, "w1", 1, 1)
);
bad!(
    i5_a_pause_that_is_not_kept,
    "I5",
    enqueue(0, 1).lease(1, "w1", 1, 1).settle(3, 1, 1, State::Retryable).lease(15, "w1", 1, 2)
);
bad!(
    i6_an_attempt_too_many,
    "I6",
    enqueue(0, 1).lease_as(1, "w1", Granted { attempt: 4, ..granted(1, 1) })
);
bad!(
    i6_a_loss_too_many,
    "I6",
    enqueue(0, 1).lease_as(1, "w1", Granted { losses: 5, ..granted(1, 1) })
);
bad!(
    i7_a_lease_of_what_was_completed,
    "I7",
    enqueue(0, 1).lease(1, "w1", 1, 1).settle(3, 1, 1, State::Completed).lease(6, "w1", 1, 2)
);
bad!(
    i8_a_repeated_settlement_that_is_answered_differently,
    "I8",
    enqueue(0, 1).lease(1, "w1", 1, 1).settle(3, 1, 1, State::Completed).stale(5, 1, 1)
);
bad!(
    i9_a_delivery_that_is_not_what_was_enqueued,
    "I9",
    enqueue(0, 1).lease_as(1, "w1", Granted { digest: 77, ..granted(1, 1) })
);
bad!(
    i11_a_lease_that_passes_on_too_early,
    "I11",
    enqueue(0, 1).lease(1, "w1", 1, 1).lease(20, "w2", 1, 2)
);
bad!(
    i11_a_lease_that_passes_on_although_it_was_renewed,
    "I11",
    enqueue(0, 1).lease(1, "w1", 1, 1).beat(20, 1, 1, Held::Yes).lease(40, "w2", 1, 2)
);
bad!(
    i11_a_handler_that_goes_on_when_another_begins,
    "I11",
    enqueue(0, 1)
        .lease(1, "w1", 1, 1)
        .line(2, "w1", What::Start { key: key(1, 1) })
        .lease(40, "w2", 1, 2)
        .line(41, "w2", What::Start { key: key(1, 2) })
);
bad!(
    i12_a_reading_that_was_not_durable,
    "I12",
    unknown(0, "p1", Asked::Enqueue(offer(1)))
        .read(2, 1, Some(view(1, State::Available)))
        .fault(4, STORE, Fault::Crash)
        .read(6, 1, None)
);
bad!(
    i13_a_task_that_used_up_its_attempts_and_is_gone,
    "I13",
    enqueue(0, 1).lease(1, "w1", 1, 1).settle(3, 1, 1, State::Dead).read(6, 1, None)
);
bad!(
    i15_a_lease_after_the_task_was_called_off,
    "I15",
    enqueue(0, 1).cancel(2, 1, State::Cancelled).lease(4, "w1", 1, 1)
);
bad!(
    i15_a_holder_that_is_not_told,
    "I15",
    enqueue(0, 1).lease(1, "w1", 1, 1).cancel(3, 1, State::Running).beat(5, 1, 1, Held::Yes)
);
bad!(
    i15_a_completion_that_is_accepted_all_the_same,
    "I15",
    enqueue(0, 1).lease(1, "w1", 1, 1).cancel(3, 1, State::Running).settle(
        5,
        1,
        1,
        State::Completed
    )
);
bad!(
    i16_damage_that_nobody_is_told_of,
    "I16",
    enqueue(0, 1).fault(2, STORE, Fault::Damage).read(4, 1, Some(view(1, State::Available)))
);
bad!(
    l1_a_worker_that_waits_beside_a_task,
    "L1",
    enqueue(0, 1).nothing(3, "w1").lease(9, "w1", 1, 1)
);
bad!(
    l1_a_task_that_is_left_over,
    "L1",
    enqueue(0, 1).heal(2, "load", Fault::Load).read(900, 1, Some(view(1, State::Available)))
);
bad!(
    l2_a_lease_that_never_runs_out,
    "L2",
    enqueue(0, 1).lease(1, "w1", 1, 1).heal(2, "load", Fault::Load).read(
        900,
        1,
        Some(view(1, State::Running))
    )
);
bad!(
    l3_a_dead_task_that_blocks_its_queue,
    "L3",
    enqueue(0, 1)
        .enqueue(1, 2)
        .heal(2, "load", Fault::Load)
        .read(900, 1, Some(view(1, State::Dead)))
        .read(901, 2, Some(view(2, State::Available)))
);

#[test]
fn i4_other_work_under_the_same_id() {
    let mut script = Script::new();
    let got = Got::Enqueue { task: id(1), inserted: false, state: None };
    let other = Asked::Enqueue(Offer { digest: 9, ..offer(1) });
    script.enqueue(0, 1).call(5, "p1", other, got);
    assert_eq!(script.broken(), ["I4"]);
}

#[test]
fn i10_a_refused_task_that_runs() {
    let mut script = Script::new();
    let b = script.recorder.call();
    let code = "queue_full".to_owned();
    script.line(0, "p1", What::Invoke { b, n: 0, asked: Asked::Enqueue(offer(1)) });
    script.line(1, "p1", What::Refused { b, n: 0, code }).lease(3, "w1", 1, 1);
    assert_eq!(script.broken(), ["I10"]);
}

#[test]
fn i14_counts_that_do_not_add_up() {
    let count = |completed, accepted| {
        let states = vec![(StateWord(State::Completed), completed)];
        let mut script = Script::new();
        script
            .enqueue(0, 1)
            .lease(1, "w1", 1, 1)
            .settle(3, 1, 1, State::Completed)
            .heal(5, "load", Fault::Load)
            .read(7, 1, Some(view(1, State::Completed)))
            .call(
                9,
                "reader",
                Asked::Count { queue: "q".to_owned() },
                Got::Count(Counts { states, accepted, removed: 0 }),
            );
        script.broken()
    };
    assert_eq!(count(1, 1), [] as [&str; 0]);
    assert_eq!(count(1, 2), ["I14"], "accepted, and neither there nor removed");
    assert_eq!(count(2, 2), ["I14"], "counted, and not there");
}

good!(
    a_lease_may_pass_on_once_it_has_run_out,
    enqueue(0, 1).lease(1, "w1", 1, 1).lease(31, "w2", 1, 2).stale(33, 1, 1)
);
good!(
    a_store_that_crashed_may_have_forgotten_a_lease,
    enqueue(0, 1)
        .lease(1, "w1", 1, 1)
        .fault(5, STORE, Fault::Crash)
        .heal(6, STORE, Fault::Crash)
        .lease(7, "w2", 1, 1 << 32)
);
good!(
    a_settlement_that_was_never_answered_may_have_been_carried_out,
    enqueue(0, 1)
        .lease(1, "w1", 1, 1)
        .unknown(
            3,
            "w1",
            Asked::Settle { key: key(1, 1), outcome: EndedWord(Ended::Release), again_ms: None }
        )
        .lease(5, "w2", 1, 2)
);
good!(
    a_rerun_task_is_done_again,
    enqueue(0, 1)
        .lease(1, "w1", 1, 1)
        .settle(3, 1, 1, State::Completed)
        .rerun(5, 1)
        .lease(7, "w1", 1, 2)
        .settle(9, 1, 2, State::Completed)
);
good!(
    a_calendar_that_jumps_makes_a_task_due,
    enqueue_as(0, Offer { delay_ms: 60_000, ..offer(1) })
        .fault(3, STORE, Fault::Jump { ms: 3_600_000 })
        .lease(5, "w1", 1, 1)
);
good!(
    a_worker_that_stood_still_cannot_have_stopped_its_handler,
    enqueue(0, 1)
        .lease(1, "w1", 1, 1)
        .line(2, "w1", What::Start { key: key(1, 1) })
        .fault(3, "w1", Fault::Pause)
        .lease(40, "w2", 1, 2)
        .line(41, "w2", What::Start { key: key(1, 2) })
);
