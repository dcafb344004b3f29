//! Storing tasks.
//!
//! Most tasks are stored by one statement that asks nothing: an id that is known already makes it
//! leave the task out. What that statement leaves out, and what needs a look at other tasks before
//! (unique keys, queues with `max_tasks`, an id twice in a batch), is decided one by one under
//! locks, in `general`. Tasks of one queue never overtake each other on the way.

mod columns;
mod decide;
mod general;
mod plain;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use haulier_core::{Enqueued, NewTask, QueueName, Result, TaskId};

use crate::change::InLine;
use crate::lane::{Lane, Verb};
use crate::store::Inner;

/// Calls that wait for their turn, and what was learnt from those before.
#[derive(Debug, Default)]
pub(crate) struct Enqueues {
    lane: Arc<Lane<NewTask, Enqueued>>,
    wary: plain::Wary,
}

/// Stores each task or says why not.
pub(crate) async fn enqueue(inner: &Arc<Inner>, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
    let bytes = tasks.iter().map(|task| task.payload.bytes.len() + 256).sum();
    let own = Arc::clone(inner);
    let verb: Verb<NewTask, Enqueued> = Arc::new(move |tasks| {
        let inner = Arc::clone(&own);
        Box::pin(async move { store(&inner, &tasks).await })
    });
    inner.enqueues.lane.call(tasks, bytes, verb).await
}

/// A task of a batch on its way, with the number of its queue; none if there is no room for one
/// more queue.
#[derive(Debug, Clone, Copy)]
struct Given<'a> {
    at: usize,
    task: &'a NewTask,
    queue: Option<i32>,
}

async fn store(inner: &Arc<Inner>, tasks: &[NewTask]) -> Result<Vec<Enqueued>> {
    let bytes_max = inner.options.payload_bytes_max;
    let mut answers: Vec<Option<Enqueued>> =
        tasks.iter().map(|task| task.check(bytes_max).err().map(Enqueued::Refused)).collect();
    let given = number(inner, tasks, &answers).await?;
    let (plain, mut rest) = split(&given);
    let mut in_line = InLine::default();
    if !plain.is_empty() {
        let left = plain::insert(inner, &plain, &mut answers, &mut in_line).await?;
        rest.extend(left);
        rest.sort_unstable_by_key(|given| given.at);
    }
    if !rest.is_empty() {
        general::insert(inner, &rest, &mut answers, &mut in_line).await?;
    }
    for (queue, place) in in_line.iter() {
        inner.hub.in_line(queue, place);
    }
    answers
        .into_iter()
        .map(|answer| answer.ok_or_else(|| haulier_core::Error::internal("a task has no answer")))
        .collect()
}

/// The tasks that have no answer yet, with the numbers of their queues.
async fn number<'a>(
    inner: &Inner,
    tasks: &'a [NewTask],
    answers: &[Option<Enqueued>],
) -> Result<Vec<Given<'a>>> {
    let open = || tasks.iter().enumerate().filter(|(at, _)| answers[*at].is_none());
    let mut names: Vec<&QueueName> = Vec::new();
    let mut places: HashMap<&QueueName, usize> = HashMap::new();
    for (_, task) in open() {
        places.entry(&task.queue).or_insert_with(|| {
            names.push(&task.queue);
            names.len() - 1
        });
    }
    let numbers = inner.names.numbers(&inner.db, &names).await?;
    Ok(open().map(|(at, task)| Given { at, task, queue: numbers[places[&task.queue]] }).collect())
}

/// What one statement may store without looking, and the rest. A queue's tasks stay together, so
/// that they come into line in their order; with an id twice, everything does.
fn split<'a>(given: &[Given<'a>]) -> (Vec<Given<'a>>, Vec<Given<'a>>) {
    let mut ids: HashSet<TaskId> = HashSet::with_capacity(given.len());
    if !given.iter().all(|given| ids.insert(given.task.id)) {
        return (Vec::new(), given.to_vec());
    }
    let looked_at: HashSet<Option<i32>> = given
        .iter()
        .filter(|given| given.task.unique.is_some() || given.queue.is_none())
        .map(|given| given.queue)
        .collect();
    given.iter().partition(|given| !looked_at.contains(&given.queue))
}
