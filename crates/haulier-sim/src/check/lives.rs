//! What a task's life may be: accepted once and kept (I1, I4, I10, I12, I13), tried as often as
//! allowed (I6), final once (I7), and itself throughout (I9).

use std::collections::BTreeMap;

use haulier_core::limits::LOSSES_MAX;
use haulier_core::{State, TaskId};

use super::Findings;
use super::story::{Answer, Life, NEVER, Story};
use crate::history::{Done, Settlement, StateWord, View};

pub fn check(task: TaskId, life: &Life, story: &Story, found: &mut Findings) {
    kept(task, life, story, found);
    same_id(task, life, found);
    counters(task, life, found);
    refused(task, life, found);
    itself(task, life, found);
    finality(task, life, story, found);
    calm_reads(task, life, story, found);
}

/// Whether the last that was heard of it is that it is dead.
fn died(life: &Life) -> bool {
    life.endings.iter().any(|ending| {
        let dead = Settlement::Applied { state: StateWord(State::Dead), late: false };
        ending.ok() == Some(&dead)
    })
}

fn kept(task: TaskId, life: &Life, story: &Story, found: &mut Findings) {
    let acknowledged = life.acknowledged(task).unwrap_or(NEVER);
    let mut seen = NEVER;
    for read in &life.reads {
        match read.ok() {
            Some(Some(_)) => seen = seen.min(read.to),
            Some(None) if !life.may_be_deleted(read.to) && !story.may_be_pruned(life, read.to) => {
                if acknowledged < read.from && died(life) {
                    found.add("I13", task, "it used up its attempts, and is gone");
                } else if acknowledged < read.from {
                    found.add("I1", task, "it was acknowledged, and is gone");
                } else if seen < read.from {
                    found.add("I12", task, "it was read, and is gone: it was not durable");
                }
            }
            _ => {}
        }
    }
}

fn same_id(task: TaskId, life: &Life, found: &mut Findings) {
    let own = |taken: &super::story::Taken| taken.task == task;
    let accepted: Vec<_> = life.offers.iter().filter(|o| o.ok().is_some_and(own)).collect();
    let inserted = accepted.iter().filter(|o| o.ok().is_some_and(|taken| taken.inserted)).count();
    if inserted > 1 && !life.may_be_deleted(NEVER) {
        found.add("I4", task, format!("it was inserted {inserted} times"));
    }
    let differs = accepted.windows(2).any(|pair| pair[0].asked.digest != pair[1].asked.digest);
    if differs && !life.may_be_deleted(NEVER) {
        found.add("I4", task, "other work was accepted under the same id");
    }
}

fn counters(task: TaskId, life: &Life, found: &mut Findings) {
    let Some(offer) = life.offer() else { return };
    let most = offer.max_attempts;
    for lease in &life.leases {
        let (attempt, losses) = (lease.granted.attempt, lease.granted.losses);
        if attempt > most || losses >= LOSSES_MAX {
            let says = format!("leased for attempt {attempt} of {most} after {losses} losses");
            found.add("I6", task, says);
        }
    }
    for view in life.reads.iter().filter_map(|read| read.ok()?.as_ref()) {
        if view.attempt > most || view.losses > LOSSES_MAX {
            let says =
                format!("read with attempt {} of {most}, {} losses", view.attempt, view.losses);
            found.add("I6", task, says);
        }
    }
}

fn refused(task: TaskId, life: &Life, found: &mut Findings) {
    let all = life.offers.iter().all(|offer| offer.got == Answer::Refused);
    let seen = life.reads.iter().any(|read| matches!(read.ok(), Some(Some(_))));
    if all && !life.offers.is_empty() && (seen || !life.leases.is_empty()) {
        found.add("I10", task, "it was refused, and is there all the same");
    }
}

fn itself(task: TaskId, life: &Life, found: &mut Findings) {
    let is = |digest: u64| life.offers.iter().any(|offer| offer.asked.digest == digest);
    let leased = life.leases.iter().map(|lease| lease.granted.digest);
    let read = life.reads.iter().filter_map(|read| read.ok()?.as_ref()?.digest);
    if !life.offers.is_empty() && leased.chain(read).any(|digest| !is(digest)) {
        found.add("I9", task, "what came out is not what went in");
    }
}

/// A moment at which the task was surely final.
struct Ended {
    /// When that was known.
    known: u64,
    /// When it may have become so at the earliest.
    from: u64,
    state: State,
    by_read: bool,
}

fn ends(life: &Life) -> Vec<Ended> {
    let mut ends = Vec::new();
    for ending in &life.endings {
        let state = match ending.ok() {
            Some(Settlement::Applied { state, .. }) if state.0.is_final() => state.0,
            Some(Settlement::Cancelled) => State::Cancelled,
            _ => continue,
        };
        let from = life.ending_from(ending.asked.epoch);
        ends.push(Ended { known: ending.to, from, state, by_read: false });
    }
    for read in &life.reads {
        if let Some(Some(view)) = read.ok()
            && view.state.0.is_final()
        {
            ends.push(Ended { known: read.to, from: 0, state: view.state.0, by_read: true });
        }
    }
    for cancel in &life.cancels {
        if cancel.ok() == Some(&(Done::Done { state: StateWord(State::Cancelled) })) {
            let from = cancel.from;
            ends.push(Ended { known: cancel.to, from, state: State::Cancelled, by_read: false });
        }
    }
    ends
}

fn finality(task: TaskId, life: &Life, story: &Story, found: &mut Findings) {
    if life.may_be_deleted(NEVER) {
        return;
    }
    for end in ends(life) {
        let leased = life
            .leases
            .iter()
            .find(|lease| lease.from > end.known && !life.may_be_rerun(end.from, lease.to));
        if let Some(lease) = leased {
            let broken = if end.state == State::Cancelled { "I15" } else { "I7" };
            let epoch = lease.granted.key.epoch;
            found.add(broken, task, format!("leased (epoch {epoch}) after it was {}", end.state));
        }
        let changed = life.reads.iter().find(|read| {
            let differs = |view: &View| view.state.0 != end.state;
            read.from > end.known
                && matches!(read.ok(), Some(Some(view)) if differs(view))
                && !life.may_be_rerun(end.from, read.to)
        });
        if let Some(read) = changed {
            let forgot = end.by_read && story.store_crashed(end.known, read.to);
            let broken = if forgot { "I12" } else { "I7" };
            found.add(broken, task, format!("it was {}, and then it was not", end.state));
        }
    }
    finals(task, life, found);
}

/// One final transition a generation.
fn finals(task: TaskId, life: &Life, found: &mut Findings) {
    let mut last: Option<(u64, u64)> = None;
    let mut endings: Vec<_> = life.endings.iter().collect();
    endings.sort_by_key(|ending| ending.asked.epoch);
    for ending in endings {
        let answer = ending.ok();
        let is_final = match answer {
            Some(Settlement::Applied { state, .. }) => state.0.is_final(),
            Some(Settlement::Cancelled) => true,
            _ => false,
        };
        if !is_final {
            continue;
        }
        let epoch = ending.asked.epoch;
        if let Some((before, from)) = last
            && before != epoch
            && !life.may_be_rerun(from, ending.to)
        {
            found.add("I7", task, format!("epochs {before} and {epoch} both ended it"));
        }
        last = Some((epoch, life.ending_from(epoch)));
    }
}

/// Once everything is done, every reading is the same, before and after a restart.
fn calm_reads(task: TaskId, life: &Life, story: &Story, found: &mut Findings) {
    let calm = life.reads.iter().filter(|read| read.from >= story.calm);
    let views: Vec<&View> = calm.filter_map(|read| read.ok()?.as_ref()).collect();
    let ended = views.iter().all(|view| view.state.0.is_final());
    if ended && views.windows(2).any(|pair| pair[0] != pair[1]) {
        found.add("I12", task, "it read differently after a restart");
    }
}

/// A task that was inserted: between when and when.
type Insert = (u64, u64, TaskId);

/// At most one task holds a unique key.
pub fn check_keys(story: &Story, found: &mut Findings) {
    let mut holders: BTreeMap<(&str, &str), Vec<Insert>> = BTreeMap::new();
    let mut replacers: BTreeMap<(&str, &str), Vec<u64>> = BTreeMap::new();
    for (task, life) in &story.tasks {
        for offer in &life.offers {
            let Some(unique) = &offer.asked.unique else { continue };
            let key = (offer.asked.queue.as_str(), unique.key.as_str());
            if offer.ok().is_some_and(|taken| taken.inserted) {
                holders.entry(key).or_default().push((offer.from, offer.to, *task));
            }
            if unique.replace {
                replacers.entry(key).or_default().push(offer.from);
            }
        }
    }
    for (key, mut held) in holders {
        held.sort_unstable();
        let replacers = replacers.get(&key).map_or(&[][..], Vec::as_slice);
        for pair in held.windows(2) {
            let ((since, known, first), (from, to, second)) = (pair[0], pair[1]);
            let Some(life) = story.tasks.get(&first) else { continue };
            let replaced = replacers.iter().any(|at| (since..=to).contains(at));
            if known < from && !replaced && first != second && to < holds_until(life, story, to) {
                found.add("I4", second, format!("{first} holds the unique key {:?}", key.1));
            }
        }
    }
}

/// Until when a task surely holds its unique key, as far as `to` is asked for.
fn holds_until(life: &Life, story: &Story, to: u64) -> u64 {
    let Some(unique) = life.offer().and_then(|offer| offer.unique.as_ref()) else { return 0 };
    let deleted = life.deletes.iter().map(|delete| delete.from).min().unwrap_or(NEVER);
    let jumps = story.jumps(life.offered(), to);
    let window = (life.offered() + unique.window_ms * 1_000).saturating_sub(jumps);
    let finish = if unique.until_finish { life.may_be_final(story.ttl_min) } else { 0 };
    window.max(finish.saturating_sub(jumps)).min(deleted)
}
