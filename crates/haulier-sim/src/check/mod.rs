//! The checker: reads a history and finds what must not have happened.
//!
//! Epochs order the deliveries of a task, so nothing is searched: every rule is a look at a task's
//! life, or a walk along sorted times, in O(n log n). A rule accuses only when it is sure: what was
//! never answered may have happened at any time, or not at all, and a store that crashed may have
//! forgotten a lease that was not synced yet. What a history cannot say is not here: I16 in full
//! (exit codes), L4 and L5 (samples), L6 (rates).

mod fences;
mod lives;
mod story;
mod sums;
mod times;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use haulier_core::TaskId;

use crate::history::{Line, What};
pub use story::STORE;
use story::Story;

/// What is special about the system whose history it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// Workers hang on connections whose end shortens their leases.
    pub disconnect_grace: bool,
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which one, as in `I3`.
    pub invariant: &'static str,
    /// Whose.
    pub task: Option<TaskId>,
    /// How.
    pub says: String,
}

/// What the rules find.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, invariant: &'static str, task: TaskId, says: impl Into<String>) {
        self.0.push(Finding { invariant, task: Some(task), says: says.into() });
    }
}

/// Everything that is wrong in a history.
pub fn check(lines: &[Line], rules: Rules) -> Vec<Finding> {
    let mut story = Story::of(lines);
    times::bound(&mut story, rules);
    let story = story;
    let mut found = Findings::default();
    for (task, life) in &story.tasks {
        fences::check(*task, life, &mut found);
        lives::check(*task, life, &story, &mut found);
        times::check(*task, life, &story, rules, &mut found);
    }
    lives::check_keys(&story, &mut found);
    sums::check(&story, &mut found);
    found.0
}

/// Lines of a task that a report shows at most.
const SHOWN_MAX: usize = 60;

/// What is wrong, with the lines about it and the faults around them.
pub fn report(lines: &[Line], findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings.iter().take(5) {
        let task = finding.task.map(|task| format!(" of task {task}")).unwrap_or_default();
        let _infallible = writeln!(text, "{}{task}: {}", finding.invariant, finding.says);
        let Some(task) = finding.task else { continue };
        let mut calls = BTreeSet::new();
        let about: Vec<&Line> = lines
            .iter()
            .filter(|line| {
                matches!(line.what, What::Fault { .. } | What::Heal { .. })
                    || story::concerns(line, task, &mut calls)
            })
            .collect();
        for line in about.iter().take(SHOWN_MAX) {
            let shown = serde_json::to_string(line).unwrap_or_default();
            let _infallible = writeln!(text, "    {shown}");
        }
        if let Some(more) = about.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
            let _infallible = writeln!(text, "    … and {more} lines more");
        }
    }
    if let Some(more) = findings.len().checked_sub(5).filter(|more| *more > 0) {
        let _infallible = writeln!(text, "… and {more} findings more");
    }
    text
}

#[cfg(test)]
mod tests;
