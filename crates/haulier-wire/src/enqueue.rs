//! Handing tasks over, and what becomes of each.

use haulier_core::{Code, Enqueued, NewTask, Refusal, Result};

use crate::enums;
use crate::pb;
use crate::pb::enqueued::Answer;
use crate::task::{Names, Pen, decode_new_task, encode_new_task, id};
use crate::wrong::{Wrong, all, required};

/// The tasks of a request.
pub fn encode_tasks(tasks: &[NewTask]) -> Vec<pb::NewTask> {
    let mut pen = Pen::for_items(tasks.len());
    tasks.iter().map(|task| encode_new_task(task, &mut pen)).collect()
}

/// Reads the tasks of a request.
///
/// # Errors
/// The first field that is wrong, as in `tasks[3].task.kind`.
pub fn decode_tasks(request: pb::EnqueueRequest) -> Result<Vec<NewTask>> {
    let mut names = Names::default();
    Ok(all(request.tasks, "tasks", |task| decode_new_task(task, &mut names))?)
}

/// A refusal.
pub fn encode_refusal(refusal: Refusal) -> pb::Refusal {
    pb::Refusal { code: refusal.code.as_str().to_owned(), message: refusal.message }
}

pub(crate) fn decode_refusal(refusal: pb::Refusal) -> Result<Refusal, Wrong> {
    let code = Code::parse(&refusal.code)
        .ok_or_else(|| Wrong::new("code", format!("{:?} is unknown", refusal.code)))?;
    Ok(Refusal { code, message: refusal.message })
}

/// The answers to the tasks of a request.
pub fn encode_answers(answers: Vec<Enqueued>) -> Vec<pb::Enqueued> {
    let mut pen = Pen::for_items(answers.len());
    answers.into_iter().map(|answer| encode_enqueued(answer, &mut pen)).collect()
}

fn encode_enqueued(answer: Enqueued, pen: &mut Pen) -> pb::Enqueued {
    match answer {
        Enqueued::Inserted { id, state, durability } => pb::Enqueued {
            answer: Answer::Inserted.into(),
            id: pen.id(id),
            state: enums::state(state),
            durability: enums::durability(durability),
            refusal: None,
        },
        Enqueued::Existing { id, state, durability } => pb::Enqueued {
            answer: Answer::Existing.into(),
            id: pen.id(id),
            state: state.map_or(0, enums::state),
            durability: enums::durability(durability),
            refusal: None,
        },
        Enqueued::Refused(refusal) => pb::Enqueued {
            answer: Answer::Refused.into(),
            refusal: Some(encode_refusal(refusal)),
            ..pb::Enqueued::default()
        },
    }
}

/// Reads the answers of a response.
///
/// # Errors
/// The first field that is wrong.
pub fn decode_answers(response: pb::EnqueueResponse) -> Result<Vec<Enqueued>> {
    Ok(all(response.answers, "answers", decode_enqueued)?)
}

fn decode_enqueued(answer: pb::Enqueued) -> Result<Enqueued, Wrong> {
    match Answer::try_from(answer.answer) {
        Ok(Answer::Inserted) => Ok(Enqueued::Inserted {
            id: id(&answer.id, "id")?,
            state: enums::decode_state(answer.state, "state")?,
            durability: enums::decode_durability(answer.durability, "durability")?,
        }),
        Ok(Answer::Existing) => Ok(Enqueued::Existing {
            id: id(&answer.id, "id")?,
            state: enums::optional(answer.state, "state", enums::decode_state)?,
            durability: enums::decode_durability(answer.durability, "durability")?,
        }),
        Ok(Answer::Refused) => {
            decode_refusal(required(answer.refusal, "refusal")?).map(Enqueued::Refused)
        }
        Ok(Answer::Unspecified) | Err(_) => {
            Err(Wrong::new("answer", format!("the value {} is unknown", answer.answer)))
        }
    }
}
