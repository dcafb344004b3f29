//! What operators do, and what becomes of it.

use haulier_core::control::Retain;
use haulier_core::{Changed, QueueName, QueueSettings, Result, SettingsPatch};

use crate::enqueue::{decode_refusal, encode_refusal};
use crate::enums;
use crate::pb;
use crate::pb::changed::Answer;
use crate::task::{ms, span};
use crate::wrong::{Wrong, all, at, required};

/// The answers to ids.
pub fn encode_changed(answers: Vec<Changed>) -> pb::ChangedResponse {
    let encode = |answer| match answer {
        Changed::Done(state) => Answer::Done(enums::state(state)),
        Changed::NotFound => Answer::NotFound(pb::NotFound {}),
        Changed::Refused(refusal) => Answer::Refused(encode_refusal(refusal)),
    };
    let answers = answers.into_iter();
    pb::ChangedResponse {
        answers: answers.map(|answer| pb::Changed { answer: Some(encode(answer)) }).collect(),
    }
}

/// Reads the answers to ids.
///
/// # Errors
/// The first field that is wrong.
pub fn decode_changed(response: pb::ChangedResponse) -> Result<Vec<Changed>> {
    Ok(all(response.answers, "answers", |changed| match required(changed.answer, "answer")? {
        Answer::Done(state) => enums::decode_state(state, "done").map(Changed::Done),
        Answer::NotFound(_) => Ok(Changed::NotFound),
        Answer::Refused(refusal) => decode_refusal(refusal).map(Changed::Refused),
    })?)
}

/// Settings of a queue.
pub fn encode_settings(settings: &QueueSettings) -> pb::QueueSettings {
    pb::QueueSettings {
        paused: settings.paused,
        concurrency: settings.concurrency,
        max_tasks: settings.max_tasks,
        retain_completed_ms: ms(settings.retain.completed),
        retain_completed_count: settings.retain.completed_count,
        retain_cancelled_ms: ms(settings.retain.cancelled),
        retain_dead_ms: ms(settings.retain.dead),
    }
}

pub(crate) fn decode_settings(settings: &pb::QueueSettings) -> QueueSettings {
    QueueSettings {
        paused: settings.paused,
        concurrency: settings.concurrency,
        max_tasks: settings.max_tasks,
        retain: Retain {
            completed: span(settings.retain_completed_ms),
            completed_count: settings.retain_completed_count,
            cancelled: span(settings.retain_cancelled_ms),
            dead: span(settings.retain_dead_ms),
        },
    }
}

/// Reads the settings of a queue.
///
/// # Errors
/// If they are missing.
pub fn decode_configured(response: pb::ConfigureResponse) -> Result<QueueSettings> {
    Ok(decode_settings(&required(response.settings, "settings")?))
}

/// A change of settings.
pub fn encode_configure(queue: &QueueName, patch: &SettingsPatch) -> pb::ConfigureRequest {
    let limit = |max: Option<u64>| pb::Limit { max };
    pb::ConfigureRequest {
        queue: queue.as_str().to_owned(),
        patch: Some(pb::SettingsPatch {
            paused: patch.paused,
            concurrency: patch.concurrency.map(|max| limit(max.map(u64::from))),
            max_tasks: patch.max_tasks.map(limit),
            retain_completed_ms: patch.retain_completed.map(ms),
            retain_completed_count: patch.retain_completed_count,
            retain_cancelled_ms: patch.retain_cancelled.map(ms),
            retain_dead_ms: patch.retain_dead.map(ms),
        }),
    }
}

/// Reads a change of settings.
///
/// # Errors
/// A queue that is no name, or a number that is out of range.
pub fn decode_configure(request: pb::ConfigureRequest) -> Result<(QueueName, SettingsPatch)> {
    let queue = QueueName::new(request.queue).map_err(at("queue"))?;
    let patch = request.patch.unwrap_or_default();
    let concurrency = patch.concurrency.map(|limit| limit.max.map(u32::try_from).transpose());
    let concurrency = concurrency
        .transpose()
        .map_err(|_| Wrong::new("patch.concurrency.max", format!("is more than {}", u32::MAX)))?;
    Ok((
        queue,
        SettingsPatch {
            paused: patch.paused,
            concurrency,
            max_tasks: patch.max_tasks.map(|limit| limit.max),
            retain_completed: patch.retain_completed_ms.map(span),
            retain_completed_count: patch.retain_completed_count,
            retain_cancelled: patch.retain_cancelled_ms.map(span),
            retain_dead: patch.retain_dead_ms.map(span),
        },
    ))
}
