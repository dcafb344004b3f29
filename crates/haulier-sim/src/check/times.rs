//! What time allows: nothing runs before it is due (I5), no lease passes on before it ends (I11),
//! nothing is leased after it was called off (I15), and what can run does (L1, L2, L3).

use haulier_core::limits::{DISCONNECT_GRACE, STOP_GRACE};
use haulier_core::{Ended, Held, State, TaskId};

use super::story::{Life, NEVER, Run, Story};
use super::{Findings, Rules};
use crate::history::{Done, Settlement, StateWord};

/// Timestamps are whole milliseconds.
const MILLISECOND: u64 = 1_000;
const SECOND: u64 = 1_000_000;

fn micros(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(NEVER)
}

/// Works out from when to when each lease surely kept others away.
pub fn bound(story: &mut Story, rules: Rules) {
    let lives: Vec<TaskId> = story.tasks.keys().copied().collect();
    for task in lives {
        let Some(mut life) = story.tasks.remove(&task) else { continue };
        bound_life(&mut life, story, rules);
        story.tasks.insert(task, life);
    }
}

fn bound_life(life: &mut Life, story: &Story, rules: Rules) {
    // A delivery begins only after the one before it has ended.
    let mut after = 0;
    let mut from_before = 0;
    for at in 0..life.leases.len() {
        let lease = &life.leases[at];
        let (from, to) = (lease.from, lease.to);
        if !story.store_crashed(from_before, to) {
            life.leases[at].from = from.max(after.min(to));
        }
        let epoch = life.leases[at].granted.key.epoch;
        let safe_until = safe_until(life, at, rules);
        life.leases[at].safe_until = safe_until;
        after = safe_until.min(life.ending_from(epoch));
        from_before = from;
    }
}

fn safe_until(life: &Life, at: usize, rules: Rules) -> u64 {
    let lease = &life.leases[at];
    let epoch = lease.granted.key.epoch;
    let mine = life.beats.iter().filter(|beat| beat.asked.0 == epoch);
    let mine: Vec<_> = mine.collect();
    // A later beat may have shortened what an earlier one gave.
    let shortest = |from: u64, ttl: u64| {
        let later = mine.iter().filter(|beat| beat.to >= from).map(|beat| beat.asked.1);
        let ttl = later.chain([ttl]).min().unwrap_or(ttl);
        if rules.disconnect_grace { ttl.min(micros(DISCONNECT_GRACE)) } else { ttl }
    };
    let granted = lease.from + shortest(lease.from, lease.granted.ttl_ms * 1_000);
    let renewed = mine
        .iter()
        .filter(|beat| beat.ok().is_some_and(|held| *held != Held::Stale))
        .map(|beat| beat.from + shortest(beat.from, beat.asked.1));
    let timeout = life.offer().map_or(NEVER, |offer| offer.timeout_ms * 1_000);
    let hard_end = lease.from.saturating_add(timeout).saturating_add(micros(STOP_GRACE));
    renewed.chain([granted]).max().unwrap_or(granted).min(hard_end)
}

pub fn check(task: TaskId, life: &Life, story: &Story, rules: Rules, found: &mut Findings) {
    due(task, life, story, found);
    passed_on(task, life, story, found);
    handlers(task, life, story, rules, found);
    called_off(task, life, found);
    idle(task, life, story, found);
    left_over(task, life, story, found);
}

fn due(task: TaskId, life: &Life, story: &Story, found: &mut Findings) {
    let too_early = |from: u64, delay: u64, to: u64| {
        let due = (from + delay).saturating_sub(story.jumps(from, to));
        to + MILLISECOND < due
    };
    if let (Some(offer), Some(first)) = (life.offer(), life.leases.first())
        && too_early(life.offered(), offer.delay_ms * 1_000, first.to)
        && !life.may_be_rerun(0, first.to)
    {
        found.add("I5", task, "it was leased before it was due");
    }
    for ending in &life.endings {
        let pauses = matches!(ending.asked.outcome, Ended::Fail | Ended::Snooze);
        let applied = matches!(
            ending.ok(),
            Some(Settlement::Applied { state: StateWord(State::Retryable | State::Scheduled), .. })
        );
        let epoch = ending.asked.epoch;
        let next = life.leases.iter().find(|lease| lease.granted.key.epoch > epoch);
        let from = life.ending_from(epoch);
        if let Some(next) = next.filter(|_| pauses && applied)
            && too_early(from, ending.asked.again, next.to)
            && !life.may_be_rerun(from, next.to)
        {
            found.add("I5", task, format!("it was leased before its pause after {epoch} was over"));
        }
    }
}

fn passed_on(task: TaskId, life: &Life, story: &Story, found: &mut Findings) {
    for pair in life.leases.windows(2) {
        let (lease, next) = (&pair[0], &pair[1]);
        let epoch = lease.granted.key.epoch;
        if next.to < lease.safe_until
            && next.to < life.ending_from(epoch)
            && !story.store_crashed(lease.from, next.to)
        {
            let early = lease.safe_until - next.to;
            let next = next.granted.key.epoch;
            let says = format!("epoch {next} was granted {early} µs before {epoch} could run out");
            found.add("I11", task, says);
        }
    }
}

/// Two handlers of a task never run at a time, unless somebody stood still or a store forgot.
fn handlers(task: TaskId, life: &Life, story: &Story, rules: Rules, found: &mut Findings) {
    let mut runs: Vec<&Run> = life.runs.iter().collect();
    runs.sort_by_key(|run| run.from);
    for pair in runs.windows(2) {
        let (first, second) = (pair[0], pair[1]);
        let begun = |run: &Run| {
            let lease = life.leases.iter().find(|lease| lease.granted.key.epoch == run.epoch);
            lease.map_or(run.from, |lease| lease.from)
        };
        let since = begun(first).min(begun(second));
        let excused = story.stood_still(&first.who, first.from, second.from)
            || story.store_crashed(since, second.from)
            || rules.disconnect_grace;
        if first.to > second.from && !excused {
            let (first, second) = (first.epoch, second.epoch);
            let broken = if second > first { "I11" } else { "I2" };
            let says = format!("the handler of epoch {second} began while that of {first} ran");
            found.add(broken, task, says);
        }
    }
}

fn called_off(task: TaskId, life: &Life, found: &mut Findings) {
    for cancel in &life.cancels {
        let Some(Done::Done { state }) = cancel.ok() else { continue };
        let again = |to: u64| life.may_be_rerun(cancel.from, to) || life.may_be_deleted(to);
        if let Some(lease) =
            life.leases.iter().find(|lease| lease.from > cancel.to && !again(lease.to))
        {
            let epoch = lease.granted.key.epoch;
            found.add("I15", task, format!("leased (epoch {epoch}) after it was called off"));
        }
        if state.0 != State::Running {
            continue;
        }
        for ending in &life.endings {
            let overruled = match ending.ok() {
                Some(Settlement::Applied { state, .. }) => state.0 == State::Cancelled,
                _ => true,
            };
            let later = life.ending_from(ending.asked.epoch) > cancel.to;
            if later && !overruled && !again(ending.to) {
                found.add("I15", task, "its completion was accepted after it was called off");
            }
        }
        let told = |held: &Held| *held != Held::Yes;
        for beat in life.beats.iter().filter(|beat| beat.from > cancel.to) {
            if beat.ok().is_some_and(|held| !told(held)) && !again(beat.to) {
                found.add("I15", task, "its holder was not told that it was called off");
            }
        }
    }
}

/// A call that brought nothing while the task was surely there for it.
fn idle(task: TaskId, life: &Life, story: &Story, found: &mut Findings) {
    let (Some(offer), Some(acknowledged)) = (life.offer(), life.acknowledged(task)) else { return };
    let free_from = acknowledged + offer.delay_ms * 1_000 + MILLISECOND;
    let taken = life.leases.iter().map(|lease| lease.from).min().unwrap_or(NEVER);
    let free_until = taken.min(life.may_be_final(NEVER));
    if free_until <= free_from || story.held_up.contains(&offer.queue) {
        return;
    }
    let fits = |ask: &&super::story::Ask| {
        let wish = &ask.wish;
        wish.queues.contains(&offer.queue)
            && (wish.kinds.is_empty() || wish.kinds.contains(&offer.kind))
    };
    let first = story.asks.partition_point(|ask| ask.from <= free_from);
    let mut asked = story.asks[first..].iter().filter(fits);
    // Somebody may have got it whose answer was lost.
    let lost = story.asks.iter().filter(fits).filter(|ask| ask.unknown).map(|ask| ask.from).min();
    let sure = |ask: &&super::story::Ask| {
        !ask.unknown && ask.to < free_until && lost.is_none_or(|lost| lost > ask.to)
    };
    let calm = !story.troubles.iter().any(|t| t.from <= free_until && t.to >= life.offered());
    if calm && let Some(ask) = asked.find(sure) {
        let says =
            format!("a worker asked for it from {} to {}, and got nothing", ask.from, ask.to);
        found.add("L1", task, says);
    }
}

/// Load and faults are over, everything had its time, and this is not finished.
fn left_over(task: TaskId, life: &Life, story: &Story, found: &mut Findings) {
    let Some(last) = life.reads.iter().rev().find(|read| read.from > story.calm) else { return };
    let Some(Some(view)) = last.ok() else { return };
    let Some(offer) = life.offer() else { return };
    if story.paused.contains(&offer.queue) {
        return;
    }
    let ended = |other: &&Life| other.offer().is_some_and(|o| o.queue == offer.queue);
    match view.state.0 {
        State::Completed | State::Cancelled | State::Dead => {}
        State::Available => {
            let mut others = story.tasks.values().filter(ended);
            let dead = |life: &Life| {
                let views = life.reads.iter().filter_map(|read| read.ok()?.as_ref());
                views.into_iter().any(|view| view.state.0 == State::Dead)
            };
            let served = story
                .tasks
                .values()
                .filter(ended)
                .any(|other| other.leases.iter().any(|lease| lease.to > story.calm));
            let broken = if !served && others.any(dead) { "L3" } else { "L1" };
            found.add(broken, task, "it is available, and nobody gets it");
        }
        State::Running => found.add("L2", task, "its lease never ran out"),
        State::Scheduled | State::Retryable => {
            let due =
                life.endings.iter().map(|ending| ending.to.min(last.from) + ending.asked.again);
            let delay = offer.delay_ms * 1_000;
            let due = due.chain([life.offered() + delay]).max().unwrap_or(0);
            // Calendars that jumped back make it later.
            let late = due.saturating_add(due / 2).saturating_add(SECOND);
            if last.from > late {
                found.add("L2", task, format!("it is {} long after it was due", view.state.0));
            }
        }
    }
}
