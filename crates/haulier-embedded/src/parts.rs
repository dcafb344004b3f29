//! What stays on the disk of a task: its definition, its result, its failures. Read only when
//! somebody asks for it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use haulier_core::{
    Backoff, Cause, Failure, Kind, Pairs, Payload, Policy, Priority, QueueName, Task, TaskId,
};

use crate::codec::{Malformed, Put, Take, narrow};
use crate::record::{put_rules, take_rules};

/// What of a task the index keeps; the definition has the rest.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// Its id.
    pub id: TaskId,
    /// Its queue.
    pub queue: QueueName,
    /// Its kind.
    pub kind: Kind,
    /// Its priority.
    pub priority: Priority,
}

const POLICY: u8 = 1;
const EXPIRES: u8 = 2;
const HEADERS: u8 = 4;
const LABELS: u8 = 8;

/// Appends a task's definition. The id stands first: a definition read for another task is noticed.
pub fn put_definition(out: &mut Vec<u8>, task: &Task) {
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    let policy = task.policy != Policy::default();
    out.put_raw(&task.id.to_bytes()[8..]);
    out.put_u8(
        flag(policy, POLICY)
            | flag(task.expires_in.is_some(), EXPIRES)
            | flag(!task.headers.is_empty(), HEADERS)
            | flag(!task.labels.is_empty(), LABELS),
    );
    if policy {
        put_rules(out, &(&task.policy).into());
        out.put_varint(haulier_core::clock::millis(task.policy.backoff.base));
        out.put_varint(haulier_core::clock::millis(task.policy.backoff.max));
        out.put_varint(u64::from(task.policy.backoff.factor_permille));
        out.put_varint(u64::from(task.policy.backoff.jitter_permille));
    }
    if let Some(expires_in) = task.expires_in {
        out.put_varint(haulier_core::clock::millis(expires_in));
    }
    for pairs in [&task.headers, &task.labels] {
        if !pairs.is_empty() {
            put_pairs(out, pairs);
        }
    }
    put_payload(out, &task.payload);
}

/// Reads a definition back.
///
/// # Errors
/// If the bytes are no definition of that task.
pub fn take_definition(bytes: &Bytes, envelope: Envelope) -> Result<Task, Malformed> {
    let mut take = Take::new(bytes);
    if take.raw(8)? != &envelope.id.to_bytes()[8..] {
        return Err(Malformed("the definition belongs to another task"));
    }
    let flags = take.u8()?;
    let policy = if flags & POLICY == 0 { Policy::default() } else { take_policy(&mut take)? };
    let expires_in = match flags & EXPIRES {
        0 => None,
        _ => Some(Duration::from_millis(take.varint()?)),
    };
    let headers = if flags & HEADERS == 0 { Pairs::default() } else { take_pairs(&mut take)? };
    let labels = if flags & LABELS == 0 { Pairs::default() } else { take_pairs(&mut take)? };
    let payload = take_payload(bytes, take)?;
    let Envelope { id, queue, kind, priority } = envelope;
    Ok(Task { id, queue, kind, payload, priority, policy, expires_in, headers, labels })
}

fn take_policy(take: &mut Take<'_>) -> Result<Policy, Malformed> {
    let rules = take_rules(take)?;
    let backoff = Backoff {
        base: Duration::from_millis(take.varint()?),
        max: Duration::from_millis(take.varint()?),
        factor_permille: take.varint32()?,
        jitter_permille: take.varint32()?,
    };
    Ok(Policy {
        max_attempts: rules.max_attempts,
        backoff,
        timeout: rules.timeout,
        retain: rules.retain,
    })
}

fn put_pairs(out: &mut Vec<u8>, pairs: &Pairs) {
    out.put_varint(pairs.len() as u64);
    for (name, value) in pairs.iter() {
        out.put_str(name);
        out.put_str(value);
    }
}

fn take_pairs(take: &mut Take<'_>) -> Result<Pairs, Malformed> {
    (0..take.count()?).map(|_| Ok((take.str()?, take.str()?))).collect()
}

/// Content types that are written as one byte, for ever.
const CONTENT_TYPES: [&str; 2] = [Payload::JSON, Payload::BINARY];

/// Appends a payload or result: its content type, then all the bytes that are left.
pub fn put_payload(out: &mut Vec<u8>, payload: &Payload) {
    let known = (1..).zip(CONTENT_TYPES).find(|(_, known)| *known == &*payload.content_type);
    if let Some((number, _)) = known {
        out.put_u8(number);
    } else {
        out.put_u8(0);
        out.put_str(&payload.content_type);
    }
    out.put_raw(&payload.bytes);
}

/// Reads a whole part that is a payload.
///
/// # Errors
/// If it is none.
pub fn payload(bytes: &Bytes) -> Result<Payload, Malformed> {
    take_payload(bytes, Take::new(bytes))
}

fn take_payload(whole: &Bytes, mut take: Take<'_>) -> Result<Payload, Malformed> {
    let content_type: Arc<str> = match take.u8()? {
        0 => take.str()?.into(),
        number => {
            let known = CONTENT_TYPES.get(usize::from(number) - 1);
            (*known.ok_or(Malformed("a content type's number is unknown"))?).into()
        }
    };
    Ok(Payload { bytes: whole.slice(whole.len() - take.left()..), content_type })
}

/// The causes of failure, numbered for ever.
const CAUSES: [Cause; 4] = [Cause::Error, Cause::Timeout, Cause::Panic, Cause::Decode];

/// Appends a failure.
pub fn put_failure(out: &mut Vec<u8>, failure: &Failure) {
    let number = (0..).zip(CAUSES).find(|(_, cause)| *cause == failure.cause);
    out.put_u8(number.map_or(0, |(number, _)| number));
    out.put_str(&failure.class);
    out.put_str(&failure.message);
    out.put_str(&failure.trace);
}

/// Reads a whole part that is a failure.
///
/// # Errors
/// If it is none.
pub fn failure(bytes: &[u8]) -> Result<Failure, Malformed> {
    let mut take = Take::new(bytes);
    let cause = CAUSES.get(usize::from(take.u8()?));
    Ok(Failure {
        cause: *cause.ok_or(Malformed("a cause's number is unknown"))?,
        class: take.str()?.into(),
        message: take.str()?.into(),
        trace: take.str()?.into(),
    })
}

/// Bytes that a part takes in the log.
pub fn footprint(len: usize) -> u64 {
    u64::from(narrow(len)) + 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_reads_back_and_belongs_to_one_task_only() {
        let id = TaskId::from_bytes([7; 16]);
        let mut task = haulier_core::NewTask::new(
            id,
            Kind::new("email.send").unwrap(),
            Payload::new("hello", "text/plain"),
        )
        .task;
        task.labels = [("tenant", "acme")].into_iter().collect();
        task.policy.max_attempts = 3;
        task.expires_in = Some(Duration::from_secs(9));
        let mut bytes = Vec::new();
        put_definition(&mut bytes, &task);
        let bytes = Bytes::from(bytes);
        let envelope = |id| Envelope {
            id,
            queue: task.queue.clone(),
            kind: task.kind.clone(),
            priority: task.priority,
        };
        assert_eq!(take_definition(&bytes, envelope(id)), Ok(task.clone()));
        assert!(take_definition(&bytes, envelope(TaskId::from_bytes([8; 16]))).is_err());
    }
}
