//! Handing tasks over: what can be checked here is checked here, the rest in the script, in the
//! order of the batch.

use bytes::Bytes;
use haulier_core::{
    Code, Enqueued, NewTask, QueueName, Refusal, Result, Start, State, TaskId, limits,
};

use crate::about::{conflict_number, maybe_span, span};
use crate::db::whole;
use crate::definition::{self, is_apart, is_plain_now, state as state_of};
use crate::pack::{Pack, Value, misread};
use crate::script;
use crate::store::Inner;

/// What stands for an answer that is more than a state.
const OTHER: u8 = b'?';

/// Stores tasks, or says why not.
pub(crate) async fn enqueue(inner: &Inner, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
    let most = inner.options.payload_bytes_max;
    let refused: Vec<Option<Refusal>> = tasks.iter().map(|task| task.check(most).err()).collect();
    let asked: Vec<&NewTask> = tasks
        .iter()
        .zip(&refused)
        .filter(|(_, refused)| refused.is_none())
        .map(|(task, _)| task)
        .collect();
    let (mut codes, mut others) = (Bytes::new(), Vec::new());
    if !asked.is_empty() {
        let (args, tasks) = write(&asked);
        let (answer, _) = inner.write_with(&script::ENQUEUE, args, tasks).await?;
        let [all, rest] = answer.tuple()?;
        (codes, others) = (all.bytes()?, rest.list()?);
    }
    if codes.len() != asked.len() {
        return Err(misread());
    }
    let (mut codes, mut others) = (codes.iter(), others.into_iter());
    let durability = inner.durability();
    let answer = |(task, refused): (&NewTask, Option<Refusal>)| {
        if let Some(refusal) = refused {
            return Ok(Enqueued::Refused(refusal));
        }
        match *codes.next().ok_or_else(misread)? {
            OTHER => read(inner, task, others.next().ok_or_else(misread)?),
            code => Ok(Enqueued::Inserted { id: task.id, state: state_of(code)?, durability }),
        }
    };
    tasks.iter().zip(refused).map(answer).collect()
}

/// The arguments: runs of tasks, and an id and a definition of each.
fn write(tasks: &[&NewTask]) -> (Pack, Vec<Vec<u8>>) {
    let runs: Vec<&[&NewTask]> = tasks.chunk_by(|a, b| are_alike(a, b)).collect();
    let mut args = Pack::new();
    args.list(runs, write_run);
    let parts = |task: &&NewTask| [task.id.to_bytes().to_vec(), definition::write(task)];
    (args, tasks.iter().flat_map(parts).collect())
}

/// Whether scripts need not tell these two apart.
fn are_alike(a: &NewTask, b: &NewTask) -> bool {
    let is_same_line = a.priority == b.priority && a.queue == b.queue && a.kind == b.kind;
    let is_as_long = a.policy.timeout == b.policy.timeout;
    is_same_line && is_as_long && is_plain_now(a) && is_plain_now(b)
}

fn write_run(args: &mut Pack, run: &[&NewTask]) {
    let Some(first) = run.first() else { return };
    if is_plain_now(first) {
        // Where it stands in `ready`: see `places` in the prelude.
        let rank = char::from(b'9' - first.priority.get());
        let line = format!("{}\0{}\0{rank}", first.queue, first.kind);
        args.array(3).int(whole(run.len() as u64)).bytes(first.queue.as_str()).bytes(line);
        return;
    }
    let (start, at) = match first.start {
        Start::Now => (0, 0),
        Start::After(delay) => (1, span(delay)),
        Start::At(at) => (2, whole(at.0)),
    };
    let on_conflict = first.unique.as_ref().map(|unique| unique.on_conflict).unwrap_or_default();
    args.array(6).int(1).int(start).int(at).int(maybe_span(first.expires_in));
    args.int(conflict_number(on_conflict));
    args.maybe(is_apart(first).then_some(&first.payload.bytes));
}

/// The state of that number.
pub(crate) fn state(number: &Value) -> Result<State> {
    State::ALL.get(number.count::<usize>()?).copied().ok_or_else(misread)
}

/// The id in these bytes.
pub(crate) fn id(value: Value) -> Result<TaskId> {
    let bytes: [u8; 16] = value.bytes()?.as_ref().try_into().map_err(|_| misread())?;
    Ok(TaskId::from_bytes(bytes))
}

fn read(inner: &Inner, task: &NewTask, answer: Value) -> Result<Enqueued> {
    let durability = inner.durability();
    let mut parts = answer.list()?.into_iter();
    let mut next = || parts.next().ok_or_else(misread);
    let refuse = |code, message| Ok(Enqueued::Refused(Refusal::new(code, message)));
    match next()?.int()? {
        1 => {
            let id = id(next()?)?;
            let number = next()?;
            let state = if number.int()? < 0 { None } else { Some(state(&number)?) };
            Ok(Enqueued::Existing { id, state, durability })
        }
        2 => refuse(
            Code::IdConflict,
            format!("task {} exists with another queue, kind or payload; use a new id", task.id),
        ),
        3 => {
            let holder = id(next()?)?;
            refuse(Code::UniqueConflict, format!("the unique key is held by task {holder}"))
        }
        4 => {
            let (held, most) = (next()?.int()?, next()?.int()?);
            refuse(Code::QueueFull, full(&task.queue, held, most))
        }
        5 => refuse(
            Code::StorageFull,
            format!("the store has {} queues already; use one of them", limits::QUEUES_MAX),
        ),
        _ => Err(misread()),
    }
}

fn full(queue: &QueueName, held: i64, most: i64) -> String {
    format!("queue {queue} holds {held} tasks; its max_tasks is {most}: try again later")
}
