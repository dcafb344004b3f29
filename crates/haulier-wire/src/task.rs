//! Tasks: ids, payloads, policies, names.
//!
//! Spans that are asked for are rounded up to a millisecond, so that no delay becomes shorter and
//! no timeout zero. Payloads are slices of the frame that brought them; names repeat within a
//! batch, so [`Names`] keeps the last one of each sort instead of making it anew for every task,
//! and [`Pen`] writes it from the same bytes.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use haulier_core::clock::millis;
use haulier_core::{
    Backoff, Kind, NewTask, Pairs, Payload, Policy, Priority, QueueName, Result, Start, Task,
    TaskId, Timestamp, Unique,
};

use crate::pb;
use crate::wrong::{Wrong, at, required};

/// A span that was asked for, rounded up.
pub(crate) fn ms(span: Duration) -> u64 {
    let whole = millis(span);
    if Duration::from_millis(whole) < span { whole.saturating_add(1) } else { whole }
}

pub(crate) fn span(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// An id as its 16 bytes.
pub fn encode_id(id: TaskId) -> Bytes {
    Bytes::copy_from_slice(&id.to_bytes())
}

pub(crate) fn id(bytes: &[u8], field: &'static str) -> Result<TaskId, Wrong> {
    let bytes = <[u8; 16]>::try_from(bytes).map_err(|_| {
        Wrong::new(field, format!("has {} bytes; a task id has 16, a UUIDv7", bytes.len()))
    })?;
    Ok(TaskId::from_bytes(bytes))
}

/// Reads a list of ids.
///
/// # Errors
/// The first that is not 16 bytes.
pub fn decode_ids(ids: Vec<Bytes>) -> Result<Vec<TaskId>> {
    Ok(crate::wrong::all(ids, "ids", |bytes| id(&bytes, "id"))?)
}

/// The names that came last: the next task mostly bears the same.
#[derive(Debug)]
pub struct Names {
    queue: QueueName,
    kind: Option<Kind>,
    content_type: Arc<str>,
}

impl Default for Names {
    fn default() -> Self {
        Self { queue: QueueName::default(), kind: None, content_type: Payload::JSON.into() }
    }
}

impl Names {
    pub(crate) fn queue(&mut self, name: &[u8]) -> Result<QueueName, Wrong> {
        if name != self.queue.as_str().as_bytes() {
            self.queue = if name.is_empty() {
                QueueName::default()
            } else {
                QueueName::new(text(name, "queue")?).map_err(at("queue"))?
            };
        }
        Ok(self.queue.clone())
    }

    pub(crate) fn kind(&mut self, name: &[u8]) -> Result<Kind, Wrong> {
        match &self.kind {
            Some(kind) if kind.as_str().as_bytes() == name => Ok(kind.clone()),
            _ => {
                let kind = Kind::new(text(name, "kind")?).map_err(at("kind"))?;
                self.kind = Some(kind.clone());
                Ok(kind)
            }
        }
    }

    pub(crate) fn payload(
        &mut self,
        bytes: Bytes,
        content_type: Option<&[u8]>,
    ) -> Result<Payload, Wrong> {
        let content_type = content_type.unwrap_or(Payload::JSON.as_bytes());
        if content_type != self.content_type.as_bytes() {
            self.content_type = text(content_type, "content_type")?.into();
        }
        Ok(Payload { bytes, content_type: Arc::clone(&self.content_type) })
    }
}

fn text<'a>(bytes: &'a [u8], field: &'static str) -> Result<&'a str, Wrong> {
    std::str::from_utf8(bytes).map_err(|_| Wrong::new(field, "is not UTF-8"))
}

/// Writes the items of one message: their ids lie side by side in one buffer, and a name that came
/// last is written from the same bytes again.
#[derive(Debug)]
pub struct Pen {
    ids: BytesMut,
    queue: Bytes,
    kind: Bytes,
    content_type: Bytes,
}

impl Pen {
    /// For a message of so many items.
    pub fn for_items(count: usize) -> Self {
        Self {
            ids: BytesMut::with_capacity(count * 16),
            queue: Bytes::new(),
            kind: Bytes::new(),
            content_type: Bytes::new(),
        }
    }

    pub(crate) fn id(&mut self, id: TaskId) -> Bytes {
        self.ids.extend_from_slice(&id.to_bytes());
        self.ids.split().freeze()
    }

    fn content_type(&mut self, payload: &Payload) -> Option<Bytes> {
        (!payload.is_json()).then(|| again(&mut self.content_type, &payload.content_type))
    }
}

/// The bytes of a text: those that came last, if they are the same.
fn again(last: &mut Bytes, text: &str) -> Bytes {
    if *last != text.as_bytes() {
        *last = Bytes::copy_from_slice(text.as_bytes());
    }
    last.clone()
}

pub(crate) fn payload(payload: Payload) -> pb::Payload {
    let content_type = (!payload.is_json()).then(|| payload.content_type.as_ref().to_owned());
    pb::Payload { content_type, bytes: payload.bytes }
}

pub(crate) fn decode_payload(payload: pb::Payload, names: &mut Names) -> Result<Payload, Wrong> {
    names.payload(payload.bytes, payload.content_type.as_deref().map(str::as_bytes))
}

fn pairs(pairs: &Pairs) -> Vec<pb::Pair> {
    let pair = |(name, value): (&str, &str)| pb::Pair { name: name.into(), value: value.into() };
    pairs.iter().map(pair).collect()
}

fn decode_pairs(pairs: Vec<pb::Pair>) -> Pairs {
    pairs.into_iter().map(|pair| (pair.name, pair.value)).collect()
}

/// A policy; the default one costs no byte.
fn policy(policy: &Policy) -> Option<pb::Policy> {
    if *policy == Policy::default() {
        return None;
    }
    let default = Policy::default();
    Some(pb::Policy {
        max_attempts: Some(policy.max_attempts),
        backoff: (policy.backoff != default.backoff).then(|| pb::Backoff {
            base_ms: ms(policy.backoff.base),
            max_ms: ms(policy.backoff.max),
            factor_permille: policy.backoff.factor_permille,
            jitter_permille: policy.backoff.jitter_permille,
        }),
        timeout_ms: Some(ms(policy.timeout)),
        retain_ms: policy.retain.map(ms),
    })
}

fn decode_policy(policy: Option<pb::Policy>) -> Policy {
    let default = Policy::default();
    let Some(policy) = policy else { return default };
    Policy {
        max_attempts: policy.max_attempts.unwrap_or(default.max_attempts),
        backoff: policy.backoff.map_or(default.backoff, |backoff| Backoff {
            base: span(backoff.base_ms),
            max: span(backoff.max_ms),
            factor_permille: backoff.factor_permille,
            jitter_permille: backoff.jitter_permille,
        }),
        timeout: policy.timeout_ms.map_or(default.timeout, span),
        retain: policy.retain_ms.map(span),
    }
}

pub(crate) fn unique(unique: &Unique) -> pb::Unique {
    pb::Unique {
        key: unique.key.as_ref().to_owned(),
        window_ms: ms(unique.window),
        until: crate::enums::until(unique.until),
        on_conflict: crate::enums::on_conflict(unique.on_conflict),
    }
}

pub(crate) fn decode_unique(unique: pb::Unique) -> Result<Unique, Wrong> {
    Ok(Unique {
        key: unique.key.into(),
        window: span(unique.window_ms),
        until: crate::enums::decode_until(unique.until, "until")?,
        on_conflict: crate::enums::decode_on_conflict(unique.on_conflict, "on_conflict")?,
    })
}

/// A task's definition.
pub(crate) fn encode_task(task: &Task, pen: &mut Pen) -> pb::Task {
    pb::Task {
        id: pen.id(task.id),
        queue: again(&mut pen.queue, task.queue.as_str()),
        kind: again(&mut pen.kind, task.kind.as_str()),
        payload: task.payload.bytes.clone(),
        content_type: pen.content_type(&task.payload),
        priority: (task.priority != Priority::default()).then(|| task.priority.get().into()),
        policy: policy(&task.policy),
        expires_in_ms: task.expires_in.map(ms),
        headers: pairs(&task.headers),
        labels: pairs(&task.labels),
    }
}

pub(crate) fn decode_task(task: pb::Task, names: &mut Names) -> Result<Task, Wrong> {
    let priority = task.priority.map_or(Ok(Priority::default()), |number| {
        // What does not fit a byte is as wrong as ten.
        Priority::new(u8::try_from(number).unwrap_or(u8::MAX)).map_err(at("priority"))
    })?;
    Ok(Task {
        id: id(&task.id, "id")?,
        queue: names.queue(&task.queue)?,
        kind: names.kind(&task.kind)?,
        payload: names.payload(task.payload, task.content_type.as_deref())?,
        priority,
        policy: decode_policy(task.policy),
        expires_in: task.expires_in_ms.map(span),
        headers: decode_pairs(task.headers),
        labels: decode_pairs(task.labels),
    })
}

/// A task as it is handed over.
pub(crate) fn encode_new_task(new: &NewTask, pen: &mut Pen) -> pb::NewTask {
    pb::NewTask {
        task: Some(encode_task(&new.task, pen)),
        start: match new.start {
            Start::Now => None,
            Start::After(delay) => Some(pb::new_task::Start::DelayMs(ms(delay))),
            Start::At(time) => Some(pb::new_task::Start::RunAtMs(time.0)),
        },
        unique: new.unique.as_ref().map(unique),
    }
}

pub(crate) fn decode_new_task(new: pb::NewTask, names: &mut Names) -> Result<NewTask, Wrong> {
    let inner = |wrong: Wrong| wrong.within("task");
    Ok(NewTask {
        task: decode_task(required(new.task, "task")?, names).map_err(inner)?,
        start: match new.start {
            None => Start::Now,
            Some(pb::new_task::Start::DelayMs(delay)) => Start::After(span(delay)),
            Some(pb::new_task::Start::RunAtMs(time)) => Start::At(Timestamp(time)),
        },
        unique: new
            .unique
            .map(decode_unique)
            .transpose()
            .map_err(|wrong| wrong.within("unique"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_never_shorter_on_the_other_side() {
        assert_eq!(ms(Duration::from_nanos(1)), 1);
        assert_eq!(ms(Duration::from_millis(5)), 5);
        assert_eq!(ms(Duration::ZERO), 0);
        assert_eq!(ms(Duration::MAX), u64::MAX);
    }

    #[test]
    fn what_stands_beside_the_default_is_told_apart_from_it() {
        let mut names = Names::default();
        assert!(names.payload(Bytes::new(), None).unwrap().is_json());
        assert_eq!(&*names.payload(Bytes::new(), Some(b"")).unwrap().content_type, "");
        assert_eq!(names.queue(b"").unwrap(), QueueName::default());
        assert_eq!(names.queue(b"mail").unwrap().as_str(), "mail");
        assert_eq!(names.queue(b"").unwrap(), QueueName::default());
        assert!(names.kind(b"").is_err());
    }

    #[test]
    fn a_text_that_is_none_is_refused_with_its_field() {
        let mut names = Names::default();
        let field = |wrong: Wrong| haulier_core::Error::from(wrong).fields()[0].field.clone();
        assert_eq!(field(names.queue(b"\xff").unwrap_err()), "queue");
        assert_eq!(field(names.kind(b"\xff").unwrap_err()), "kind");
        assert_eq!(field(names.payload(Bytes::new(), Some(b"\xff")).unwrap_err()), "content_type");
    }
}
