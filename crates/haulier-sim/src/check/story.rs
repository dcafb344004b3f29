//! A history sorted by task: every call with the interval in which it took effect, if it did.
//!
//! The store acted somewhere between the first and the second line of a call; of a call without an
//! answer, somewhere after the first, or never. Whoever accuses does so only if every place in the
//! interval is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use haulier_core::limits::{LOSSES_MAX, RETAIN_COMPLETED, RETAIN_COMPLETED_COUNT};
use haulier_core::{Ended, Held, TaskId};

use crate::history::{
    Asked, Counts, Done, Fault, Got, Granted, Key, Line, Offer, Setting, Settlement, View, What,
    Wish,
};

/// No such time: later than everything.
pub const NEVER: u64 = u64::MAX;

/// A call about one thing: what was asked, when, and what came of it.
#[derive(Debug, Clone)]
pub struct Op<A, R> {
    /// When it set out: it took effect no earlier.
    pub from: u64,
    /// When it was answered: it took effect no later. [`NEVER`] if it was not.
    pub to: u64,
    /// What was asked.
    pub asked: A,
    /// What was answered.
    pub got: Answer<R>,
}

/// What is known of a call's effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<R> {
    /// This.
    Ok(R),
    /// It had none.
    Refused,
    /// Nothing.
    Unknown,
}

impl<A, R> Op<A, R> {
    /// The answer, if there was one.
    pub fn ok(&self) -> Option<&R> {
        match &self.got {
            Answer::Ok(answer) => Some(answer),
            Answer::Refused | Answer::Unknown => None,
        }
    }
}

impl<A> Op<A, Done> {
    /// Whether it may have changed something.
    pub fn may_have_applied(&self) -> bool {
        match self.got {
            Answer::Ok(done) => matches!(done, Done::Done { .. }),
            Answer::Refused => false,
            Answer::Unknown => true,
        }
    }
}

/// A lease that a worker got.
#[derive(Debug, Clone)]
pub struct Lease {
    /// It was granted no earlier.
    pub from: u64,
    /// It was granted no later.
    pub to: u64,
    /// The lease.
    pub granted: Granted,
    /// Nobody else may have the task before this, unless it ended.
    pub safe_until: u64,
}

/// The end of a lease, as it was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Ending {
    /// Of which delivery.
    pub epoch: u64,
    /// How.
    pub outcome: Ended,
    /// How much later the task may be tried again, in microseconds.
    pub again: u64,
}

/// A handler's run.
#[derive(Debug, Clone)]
pub struct Run {
    /// Whose.
    pub who: Arc<str>,
    /// Of which delivery.
    pub epoch: u64,
    /// When it began.
    pub from: u64,
    /// When it was gone.
    pub to: u64,
}

/// Everything about one task, in the order of the lines; leases by epoch.
#[derive(Debug, Default)]
pub struct Life {
    pub offers: Vec<Op<Offer, Taken>>,
    pub leases: Vec<Lease>,
    pub beats: Vec<Op<(u64, u64), Held>>,
    pub endings: Vec<Op<Ending, Settlement>>,
    pub cancels: Vec<Op<(), Done>>,
    pub reruns: Vec<Op<(), Done>>,
    pub deletes: Vec<Op<(), Done>>,
    pub reads: Vec<Op<(), Option<View>>>,
    pub runs: Vec<Run>,
}

/// How an enqueue was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// The task that stands for it.
    pub task: TaskId,
    /// It is new.
    pub inserted: bool,
}

/// A call of `lease` that brought nothing, or whose answer is not known.
#[derive(Debug, Clone)]
pub struct Ask {
    pub from: u64,
    pub to: u64,
    pub wish: Wish,
    pub unknown: bool,
}

/// A fault, from when to when.
#[derive(Debug, Clone)]
pub struct Trouble {
    pub who: Arc<str>,
    pub from: u64,
    pub to: u64,
    pub fault: Fault,
}

/// A history, sorted.
#[derive(Debug, Default)]
pub struct Story {
    pub tasks: BTreeMap<TaskId, Life>,
    /// Calls of `lease` that brought nothing, by time.
    pub asks: Vec<Ask>,
    pub troubles: Vec<Trouble>,
    pub counts: Vec<(u64, String, Counts)>,
    /// Queues whose tasks may have been kept from running for a while.
    pub held_up: BTreeSet<String>,
    /// Queues that are paused at the end.
    pub paused: BTreeSet<String>,
    /// Queues whose tasks may be forgotten sooner than by default.
    forgetful: BTreeSet<String>,
    /// From here on everything can be finished; [`NEVER`] if that was not said.
    pub calm: u64,
    /// Answers by time: what shows that a store serves.
    pub last_answer: u64,
    /// The shortest ttl of all.
    pub ttl_min: u64,
    tasks_of: BTreeMap<String, u64>,
}

/// The name under which a store's own faults are recorded.
pub const STORE: &str = "store";

impl Story {
    /// Sorts a history.
    pub fn of(lines: &[Line]) -> Self {
        let mut story = Self { calm: NEVER, ttl_min: NEVER, ..Self::default() };
        let mut calls = Calls::of(lines);
        for line in lines {
            story.take(line, &mut calls);
        }
        for life in story.tasks.values_mut() {
            life.leases.sort_by_key(|lease| lease.granted.key.epoch);
        }
        for life in story.tasks.values() {
            if let Some(offer) = life.offers.first() {
                *story.tasks_of.entry(offer.asked.queue.clone()).or_default() += 1;
            }
        }
        story
    }

    fn take(&mut self, line: &Line, calls: &mut Calls<'_>) {
        match &line.what {
            What::Invoke { b, n, asked } => {
                let answers = calls.answers.remove(&(*b, *n)).unwrap_or_default();
                self.call(line.t, asked, &answers);
            }
            What::Start { key } => self.life(key.task).runs.push(Run {
                who: Arc::clone(&line.p),
                epoch: key.epoch,
                from: line.t,
                to: NEVER,
            }),
            What::End { key } => {
                let runs = &mut self.life(key.task).runs;
                let open = |run: &&mut Run| run.epoch == key.epoch && run.to == NEVER;
                if let Some(run) = runs.iter_mut().find(open) {
                    run.to = line.t;
                }
            }
            What::Fault { fault } => self.troubles.push(Trouble {
                who: Arc::clone(&line.p),
                from: line.t,
                to: if matches!(fault, Fault::Jump { .. }) { line.t } else { NEVER },
                fault: fault.clone(),
            }),
            What::Heal { fault: Fault::Load } => self.calm = line.t,
            What::Heal { fault } => {
                let open = |trouble: &&mut Trouble| {
                    trouble.to == NEVER && trouble.who == line.p && trouble.fault == *fault
                };
                if let Some(trouble) = self.troubles.iter_mut().find(open) {
                    trouble.to = line.t;
                }
            }
            What::Ok { .. } => self.last_answer = line.t,
            What::Refused { .. } | What::Unknown { .. } => {}
        }
    }

    fn life(&mut self, task: TaskId) -> &mut Life {
        self.tasks.entry(task).or_default()
    }

    fn call(&mut self, from: u64, asked: &Asked, answers: &[&Line]) {
        let done = |pick: fn(&Got) -> Option<Done>| op(from, (), answers, pick);
        match asked {
            Asked::Enqueue(offer) => {
                let taken = op(from, offer.clone(), answers, |got| match got {
                    Got::Enqueue { task, inserted, .. } => {
                        Some(Taken { task: *task, inserted: *inserted })
                    }
                    _ => None,
                });
                self.life(offer.task).offers.push(taken);
            }
            Asked::Lease(wish) => self.leased(from, wish, answers),
            Asked::Beat { key, ttl_ms } => {
                self.ttl_min = self.ttl_min.min(ttl_ms * 1_000);
                let beat = op(from, (key.epoch, ttl_ms * 1_000), answers, |got| match got {
                    Got::Beat { held } => Some(held.0),
                    _ => None,
                });
                self.life(key.task).beats.push(beat);
            }
            Asked::Settle { key, outcome, again_ms } => {
                let again = again_ms.unwrap_or(0) * 1_000;
                let ending = Ending { epoch: key.epoch, outcome: outcome.0, again };
                let ending = op(from, ending, answers, |got| match got {
                    Got::Settle(answer) => Some(*answer),
                    _ => None,
                });
                self.life(key.task).endings.push(ending);
            }
            Asked::Cancel(which) => {
                let cancel = done(|got| if let Got::Cancel(d) = got { Some(*d) } else { None });
                self.life(which.task).cancels.push(cancel);
            }
            Asked::Rerun(which) => {
                let rerun = done(|got| if let Got::Rerun(d) = got { Some(*d) } else { None });
                self.life(which.task).reruns.push(rerun);
            }
            Asked::Delete(which) => {
                let delete = done(|got| if let Got::Delete(d) = got { Some(*d) } else { None });
                self.life(which.task).deletes.push(delete);
            }
            Asked::Get(which) => {
                let read = op(from, (), answers, |got| match got {
                    Got::Get(view) => Some(view.clone()),
                    _ => None,
                });
                self.life(which.task).reads.push(read);
            }
            Asked::Configure(setting) => self.set(setting),
            Asked::Count { queue } => {
                for line in answers {
                    if let What::Ok { got: Got::Count(counts), .. } = &line.what {
                        self.counts.push((line.t, queue.clone(), counts.clone()));
                    }
                }
            }
        }
    }

    fn set(&mut self, setting: &Setting) {
        let queue = &setting.queue;
        if setting.limits || setting.paused == Some(true) {
            self.held_up.insert(queue.clone());
        }
        if setting.retains {
            self.forgetful.insert(queue.clone());
        }
        match setting.paused {
            Some(true) => _ = self.paused.insert(queue.clone()),
            Some(false) => _ = self.paused.remove(queue),
            None => {}
        }
    }

    fn leased(&mut self, from: u64, wish: &Wish, answers: &[&Line]) {
        self.ttl_min = self.ttl_min.min(wish.ttl_ms * 1_000);
        let mut unknown = answers.is_empty();
        let mut to = NEVER;
        for line in answers {
            to = line.t;
            match &line.what {
                What::Ok { got: Got::Lease(Some(granted)), .. } => {
                    let (to, granted) = (line.t, granted.clone());
                    let lease = Lease { from, to, granted, safe_until: 0 };
                    self.life(lease.granted.key.task).leases.push(lease);
                }
                What::Unknown { .. } => unknown = true,
                _ => {}
            }
        }
        let brought = |line: &&Line| matches!(line.what, What::Ok { got: Got::Lease(Some(_)), .. });
        if !answers.iter().any(brought) {
            self.asks.push(Ask { from, to, wish: wish.clone(), unknown });
        }
    }

    /// By how much calendars jumped forward between two moments, all told.
    pub fn jumps(&self, from: u64, to: u64) -> u64 {
        let within = self.troubles.iter().filter(|trouble| (from..=to).contains(&trouble.from));
        within
            .map(|trouble| match trouble.fault {
                Fault::Jump { ms } => u64::try_from(ms).unwrap_or(0) * 1_000,
                _ => 0,
            })
            .sum()
    }

    /// Whether a store may have forgotten, between two moments, what was not durable.
    pub fn store_crashed(&self, from: u64, to: u64) -> bool {
        let store = self.troubles.iter().filter(|trouble| &*trouble.who == STORE);
        store
            .filter(|trouble| matches!(trouble.fault, Fault::Crash | Fault::Disk))
            .any(|trouble| trouble.from <= to && trouble.to >= from)
    }

    /// Whether one whose clock or hands stood still cannot be blamed for being late.
    pub fn stood_still(&self, who: &str, from: u64, to: u64) -> bool {
        let its = self.troubles.iter().filter(|trouble| &*trouble.who == who);
        its.filter(|trouble| matches!(trouble.fault, Fault::Pause | Fault::Other { .. }))
            .any(|trouble| trouble.from <= to && trouble.to >= from)
    }

    /// Whether a task may have been forgotten by its retention by then.
    pub fn may_be_pruned(&self, life: &Life, by: u64) -> bool {
        let Some(offer) = life.offers.first() else { return true };
        let queue = &offer.asked.queue;
        let kept = offer.asked.retain_ms.map_or_else(default_retain, |ms| ms * 1_000);
        self.forgetful.contains(queue)
            || self.tasks_of.get(queue).copied().unwrap_or(0) > RETAIN_COMPLETED_COUNT
            || by.saturating_sub(offer.from) + self.jumps(offer.from, by) >= kept
    }
}

fn default_retain() -> u64 {
    u64::try_from(RETAIN_COMPLETED.as_micros()).unwrap_or(NEVER)
}

impl Life {
    /// The definition: every offer that counts says the same.
    pub fn offer(&self) -> Option<&Offer> {
        self.offers.first().map(|offer| &offer.asked)
    }

    /// When it was handed over first.
    pub fn offered(&self) -> u64 {
        self.offers.iter().map(|offer| offer.from).min().unwrap_or(0)
    }

    /// When it was first acknowledged under its own name.
    pub fn acknowledged(&self, task: TaskId) -> Option<u64> {
        let acks = self.offers.iter().filter(|o| o.ok().is_some_and(|taken| taken.task == task));
        acks.map(|offer| offer.to).min()
    }

    /// Whether somebody may have deleted it by then.
    pub fn may_be_deleted(&self, by: u64) -> bool {
        self.deletes.iter().any(|delete| delete.from < by && delete.may_have_applied())
    }

    /// Whether somebody may have had it done again between two moments.
    pub fn may_be_rerun(&self, from: u64, to: u64) -> bool {
        let applied = self.reruns.iter().filter(|rerun| rerun.may_have_applied());
        applied.into_iter().any(|rerun| rerun.from < to && rerun.to > from)
    }

    /// When somebody first asked to end a delivery; [`NEVER`] if nobody did.
    pub fn ending_from(&self, epoch: u64) -> u64 {
        let endings = self.endings.iter().filter(|ending| ending.asked.epoch == epoch);
        endings.map(|ending| ending.from).min().unwrap_or(NEVER)
    }

    /// When the task may be final at the earliest.
    pub fn may_be_final(&self, ttl_min: u64) -> u64 {
        let froms = self.endings.iter().map(|op| op.from);
        let called_off = self.cancels.iter().chain(&self.deletes).map(|op| op.from);
        let lost = self.offered().saturating_add(ttl_min.saturating_mul(u64::from(LOSSES_MAX)));
        let expires = self.offer().and_then(|offer| offer.expires_ms);
        let expired = expires.map_or(NEVER, |ms| self.offered().saturating_add(ms * 1_000));
        froms.chain(called_off).chain([lost, expired]).min().unwrap_or(NEVER)
    }
}

fn op<A, R>(from: u64, asked: A, answers: &[&Line], pick: impl Fn(&Got) -> Option<R>) -> Op<A, R> {
    let Some(line) = answers.first() else {
        return Op { from, to: NEVER, asked, got: Answer::Unknown };
    };
    match &line.what {
        What::Ok { got, .. } => match pick(got) {
            Some(got) => Op { from, to: line.t, asked, got: Answer::Ok(got) },
            None => Op { from, to: NEVER, asked, got: Answer::Unknown },
        },
        What::Refused { .. } => Op { from, to: line.t, asked, got: Answer::Refused },
        _ => Op { from, to: NEVER, asked, got: Answer::Unknown },
    }
}

/// The answers of every item of every call.
struct Calls<'a> {
    answers: BTreeMap<(u64, u32), Vec<&'a Line>>,
}

impl<'a> Calls<'a> {
    fn of(lines: &'a [Line]) -> Self {
        let mut answers: BTreeMap<_, Vec<&Line>> = BTreeMap::new();
        for line in lines {
            if let What::Ok { b, n, .. } | What::Refused { b, n, .. } | What::Unknown { b, n, .. } =
                &line.what
            {
                answers.entry((*b, *n)).or_default().push(line);
            }
        }
        Self { answers }
    }
}

/// Whether a line is about a task.
pub fn concerns(line: &Line, task: TaskId, calls: &mut BTreeSet<(u64, u32)>) -> bool {
    let of = |key: &Key| key.task == task;
    match &line.what {
        What::Invoke { b, n, asked } => {
            let about = match asked {
                Asked::Enqueue(offer) => offer.task == task,
                Asked::Beat { key, .. } | Asked::Settle { key, .. } => of(key),
                Asked::Cancel(which)
                | Asked::Rerun(which)
                | Asked::Delete(which)
                | Asked::Get(which) => which.task == task,
                Asked::Lease(_) | Asked::Configure(_) | Asked::Count { .. } => false,
            };
            about && calls.insert((*b, *n))
        }
        What::Ok { got: Got::Lease(granted), .. } => granted.as_ref().is_some_and(|g| of(&g.key)),
        What::Ok { b, n, .. } | What::Refused { b, n, .. } | What::Unknown { b, n, .. } => {
            calls.contains(&(*b, *n))
        }
        What::Start { key } | What::End { key } => of(key),
        What::Fault { .. } | What::Heal { .. } => false,
    }
}
