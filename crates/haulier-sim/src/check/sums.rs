//! Sums: the states of a queue's tasks add up to what was accepted (I14), and damage was told
//! (I16).

use std::collections::BTreeMap;

use haulier_core::State;

use super::story::{NEVER, Story};
use super::{Finding, Findings};
use crate::history::Fault;

pub fn check(story: &Story, found: &mut Findings) {
    let mut add = |invariant, says: String| {
        found.0.push(Finding { invariant, task: None, says });
    };
    for (_, queue, counts) in &story.counts {
        let total: u64 = counts.states.iter().map(|(_, count)| count).sum();
        if counts.accepted != total + counts.removed {
            let says = format!(
                "queue {queue}: {} accepted, {} removed, {total} there",
                counts.accepted, counts.removed
            );
            add("I14", says);
        }
    }
    for (queue, says) in differences(story) {
        add("I14", format!("queue {queue}: {says}"));
    }
    for trouble in story.troubles.iter().filter(|trouble| trouble.fault == Fault::Damage) {
        if trouble.to == NEVER && story.last_answer > trouble.from {
            add("I16", format!("{} was damaged, and went on as if it were not", trouble.who));
        }
    }
}

/// Where the counts at the end differ from the tasks as they were read then.
fn differences(story: &Story) -> Vec<(String, String)> {
    let mut read: BTreeMap<&str, BTreeMap<State, u64>> = BTreeMap::new();
    for life in story.tasks.values() {
        let last = life.reads.iter().rev().find(|read| read.from > story.calm);
        let view = last.and_then(|read| read.ok()?.as_ref());
        if let (Some(view), Some(offer)) = (view, life.offer()) {
            *read.entry(&offer.queue).or_default().entry(view.state.0).or_default() += 1;
        }
    }
    let mut counted: BTreeMap<&str, BTreeMap<State, u64>> = BTreeMap::new();
    for (_, queue, counts) in story.counts.iter().filter(|(t, _, _)| *t > story.calm) {
        let states = counts.states.iter().filter(|(_, count)| *count > 0);
        counted.insert(queue, states.map(|(state, count)| (state.0, *count)).collect());
    }
    if counted.is_empty() {
        return Vec::new();
    }
    let mut differences = Vec::new();
    for (queue, read) in &read {
        let counted = counted.get(queue).cloned().unwrap_or_default();
        if *read != counted {
            differences.push(((*queue).to_owned(), format!("{counted:?} counted, {read:?} read")));
        }
    }
    differences
}
