//! Ending leases.
//!
//! Most leases end with a completion. One statement ends all of a batch that run and were not
//! called off; everything else, and what that statement did not find, is decided one by one under
//! locks, in `general`. Completions of one call stand in the order of the call, whichever way they
//! took: a call has one number, and each of its completions a place under it.

mod general;
mod plain;

use std::collections::HashMap;
use std::sync::Arc;

use haulier_core::{Error, Outcome, Result, Settled, Settlement, TaskId};

pub(crate) use general::settle_on;

use crate::change::InLine;
use crate::lane::{Lane, Verb};
use crate::store::Inner;

/// Calls that wait for their turn.
#[derive(Debug, Default)]
pub(crate) struct Settles(Arc<Lane<Settlement, Settled>>);

/// Ends each lease or says why not.
pub(crate) async fn settle(inner: &Arc<Inner>, ends: Vec<Settlement>) -> Result<Vec<Settled>> {
    let bytes = ends.iter().map(bytes).sum();
    let own = Arc::clone(inner);
    let verb: Verb<Settlement, Settled> = Arc::new(move |ends| {
        let inner = Arc::clone(&own);
        Box::pin(async move { end(&inner, &ends).await })
    });
    inner.settles.0.call(ends, bytes, verb).await
}

fn bytes(end: &Settlement) -> usize {
    let body = match &end.outcome {
        Outcome::Complete { result } => result.as_ref().map_or(0, |result| result.bytes.len()),
        Outcome::Fail { failure, .. } | Outcome::Reject { failure } => {
            failure.class.len() + failure.message.len() + failure.trace.len()
        }
        Outcome::Snooze { .. } | Outcome::Release | Outcome::Cancelled => 0,
    };
    body + 64
}

/// A settlement of a batch on its way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends<'a> {
    /// Its place in the batch.
    at: usize,
    end: &'a Settlement,
    /// Its place among the batch's completions.
    completion: i64,
}

/// What ending leases brought about, to be told once it is committed.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Queues in which something ended.
    pub freed: Vec<i32>,
    pub in_line: InLine,
    /// Something became final.
    pub finished: bool,
}

async fn end(inner: &Arc<Inner>, ends: &[Settlement]) -> Result<Vec<Settled>> {
    let mut answers: Vec<Option<Settled>> = vec![None; ends.len()];
    let (plain, mut rest) = split(ends, inner.options.payload_bytes_max);
    let mut effects = Effects::default();
    let mut base = None;
    if !plain.is_empty() {
        let (number, left) = plain::complete(inner, &plain, &mut answers, &mut effects).await?;
        base = Some(number);
        rest.extend(left);
        rest.sort_unstable_by_key(|end| end.at);
    }
    if !rest.is_empty() {
        let told = general::settle(inner, &rest, base, &mut answers, &mut effects).await;
        if let Err(error) = told {
            // What the first statement ended has ended, and whoever waits for it is told.
            tell(inner, &effects);
            return Err(error);
        }
    }
    tell(inner, &effects);
    answers
        .into_iter()
        .map(|answer| answer.ok_or_else(|| Error::internal("a settlement has no answer")))
        .collect()
}

fn tell(inner: &Inner, effects: &Effects) {
    for (queue, place) in effects.in_line.iter() {
        inner.hub.in_line(queue, place);
    }
    for queue in &effects.freed {
        inner.hub.freed(*queue);
    }
    if effects.finished {
        inner.hub.finished();
    }
}

/// What one statement may end without looking, and the rest: other outcomes, what breaks a rule,
/// and tasks that the batch names twice.
fn split(ends: &[Settlement], bytes_max: usize) -> (Vec<Ends<'_>>, Vec<Ends<'_>>) {
    let mut named: HashMap<TaskId, u32> = HashMap::with_capacity(ends.len());
    for end in ends {
        *named.entry(end.key.task).or_default() += 1;
    }
    let numbered = number(ends);
    numbered.partition(|Ends { end, .. }| {
        matches!(end.outcome, Outcome::Complete { .. })
            && named.get(&end.key.task) == Some(&1)
            && end.outcome.check(bytes_max).is_ok()
    })
}

/// Settlements with their places. Only completions count for the order of completions: so that
/// those of a queue are one row, whatever else stands between them.
fn number(ends: &[Settlement]) -> impl Iterator<Item = Ends<'_>> {
    let mut completions = 0;
    ends.iter().enumerate().map(move |(at, end)| {
        let completion = completions;
        completions += i64::from(matches!(end.outcome, Outcome::Complete { .. }));
        Ends { at, end, completion }
    })
}
