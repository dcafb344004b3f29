//! Handing tasks over: what can be checked here is checked here, the rest in the script, in the
//! order of the batch.

use haulier_core::{
    Code, Enqueued, NewTask, QueueName, Refusal, Result, Start, State, TaskId, Until, limits,
};

use crate::about::{About, conflict_number, maybe_span, span};
use crate::db::whole;
use crate::pack::{Pack, Value, misread};
use crate::script;
use crate::store::Inner;

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
    let mut answers = Vec::new();
    if !asked.is_empty() {
        let mut args = Pack::new();
        args.list(&asked, |args, task| write(args, task));
        answers = inner.write(&script::ENQUEUE, args).await?.list()?;
    }
    if answers.len() != asked.len() {
        return Err(misread());
    }
    let mut answers = answers.into_iter();
    let answer = |(task, refused): (&NewTask, Option<Refusal>)| match refused {
        Some(refusal) => Ok(Enqueued::Refused(refusal)),
        None => read(inner, task, answers.next().ok_or_else(misread)?),
    };
    tasks.iter().zip(refused).map(answer).collect()
}

fn write(args: &mut Pack, new: &NewTask) {
    let (start, at) = match new.start {
        Start::Now => (0, 0),
        Start::After(delay) => (1, span(delay)),
        Start::At(at) => (2, whole(at.0)),
    };
    args.array(16).bytes(new.id.to_bytes()).bytes(new.queue.as_str()).bytes(new.kind.as_str());
    args.int(new.priority.get().into()).int(start).int(at);
    args.int(new.policy.max_attempts.into()).int(span(new.policy.timeout));
    args.int(maybe_span(new.policy.retain)).int(maybe_span(new.expires_in));
    match &new.unique {
        Some(unique) => {
            args.bytes(&*unique.key).int(span(unique.window));
            args.bool(unique.until == Until::Finish).int(conflict_number(unique.on_conflict));
        }
        None => {
            args.bool(false).int(0).bool(false).int(0);
        }
    }
    args.bytes(&new.payload.bytes).bytes(About::of(new).write());
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
    let durability = inner.durability;
    let mut parts = answer.list()?.into_iter();
    let mut next = || parts.next().ok_or_else(misread);
    let refuse = |code, message| Ok(Enqueued::Refused(Refusal::new(code, message)));
    match next()?.int()? {
        0 => Ok(Enqueued::Inserted { id: task.id, state: state(&next()?)?, durability }),
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
