//! What scripts never look into: the part of a task that is kept beside its record, and results,
//! failures and progress.

use std::sync::Arc;
use std::time::Duration;

use haulier_core::clock::millis;
use haulier_core::{
    Backoff, Cause, Checkpoint, Error, Failure, NewTask, OnConflict, Pairs, Payload, Progress,
    Result,
};

use crate::db::whole;
use crate::pack::{Pack, Value, misread};

/// A span of time, for a script.
pub(crate) fn span(span: Duration) -> i64 {
    whole(millis(span))
}

/// A span of time that may be missing, for a script.
pub(crate) fn maybe_span(of: Option<Duration>) -> i64 {
    of.map_or(-1, span)
}

/// A span of time from a script; none is negative.
pub(crate) fn read_span(value: &Value) -> Result<Duration> {
    Ok(Duration::from_millis(value.count()?))
}

/// The same, where -1 stands for nothing.
pub(crate) fn read_maybe_span(value: &Value) -> Result<Option<Duration>> {
    match value.int()? {
        -1 => Ok(None),
        _ => read_span(value).map(Some),
    }
}

/// What is kept of a task beside its record and payload.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct About {
    pub content_type: Arc<str>,
    pub backoff: Backoff,
    pub expires_in: Option<Duration>,
    pub headers: Pairs,
    pub labels: Pairs,
    pub on_conflict: OnConflict,
}

impl Default for About {
    fn default() -> Self {
        Self {
            content_type: Payload::JSON.into(),
            backoff: Backoff::default(),
            expires_in: None,
            headers: Pairs::default(),
            labels: Pairs::default(),
            on_conflict: OnConflict::default(),
        }
    }
}

impl About {
    pub fn of(new: &NewTask) -> Self {
        Self {
            content_type: Arc::clone(&new.payload.content_type),
            backoff: new.policy.backoff,
            expires_in: new.expires_in,
            headers: new.headers.clone(),
            labels: new.labels.clone(),
            on_conflict: new.unique.as_ref().map(|unique| unique.on_conflict).unwrap_or_default(),
        }
    }

    /// Nothing for a task that is as most are, and the type of its content alone for one that is no
    /// different in anything else.
    pub fn write(&self) -> Vec<u8> {
        let usual = Self::default();
        if *self == usual {
            return Vec::new();
        }
        let mut pack = Pack::new();
        if *self == (Self { content_type: Arc::clone(&self.content_type), ..usual }) {
            pack.array(1).bytes(&*self.content_type);
            return pack.into_bytes();
        }
        pack.array(9).bytes(&*self.content_type);
        pack.int(span(self.backoff.base)).int(span(self.backoff.max));
        pack.int(self.backoff.factor_permille.into()).int(self.backoff.jitter_permille.into());
        pack.int(maybe_span(self.expires_in));
        write_pairs(&mut pack, &self.headers);
        write_pairs(&mut pack, &self.labels);
        pack.int(conflict_number(self.on_conflict));
        pack.into_bytes()
    }

    pub fn read(value: Value) -> Result<Self> {
        let Some(value) = value.maybe() else { return Ok(Self::default()) };
        let mut parts = Value::read(value.bytes()?)?.list()?;
        if parts.len() == 1 {
            let content_type = parts.remove(0).text()?.into();
            return Ok(Self { content_type, ..Self::default() });
        }
        let parts = Value::Array(parts).tuple()?;
        let [kind, base, max, factor, jitter, expires_in, headers, labels, conflict] = parts;
        Ok(Self {
            content_type: kind.text()?.into(),
            backoff: Backoff {
                base: read_span(&base)?,
                max: read_span(&max)?,
                factor_permille: factor.count()?,
                jitter_permille: jitter.count()?,
            },
            expires_in: read_maybe_span(&expires_in)?,
            headers: read_pairs(headers)?,
            labels: read_pairs(labels)?,
            on_conflict: match conflict.int()? {
                0 => OnConflict::Return,
                1 => OnConflict::Reject,
                2 => OnConflict::Replace,
                _ => return Err(misread()),
            },
        })
    }
}

/// The number of a rule, for scripts and for ever.
pub(crate) fn conflict_number(rule: OnConflict) -> i64 {
    match rule {
        OnConflict::Return => 0,
        OnConflict::Reject => 1,
        OnConflict::Replace => 2,
    }
}

fn write_pairs(pack: &mut Pack, pairs: &Pairs) {
    pack.array(pairs.len() * 2);
    for (name, value) in pairs.iter() {
        pack.bytes(name).bytes(value);
    }
}

fn read_pairs(value: Value) -> Result<Pairs> {
    let texts = value.list()?;
    let pair = |pair: &[Value]| Ok((Arc::from(pair[0].text()?), Arc::from(pair[1].text()?)));
    let pairs: Vec<(Arc<str>, Arc<str>)> =
        texts.chunks_exact(2).map(pair).collect::<Result<_>>()?;
    Ok(pairs.into_iter().collect())
}

/// A result, for its key.
pub(crate) fn write_payload(payload: &Payload) -> Vec<u8> {
    let mut pack = Pack::new();
    pack.array(2).bytes(&*payload.content_type).bytes(&payload.bytes);
    pack.into_bytes()
}

pub(crate) fn read_payload(value: Value) -> Result<Option<Payload>> {
    let Some(value) = value.maybe() else { return Ok(None) };
    let [content_type, bytes] = Value::read(value.bytes()?)?.tuple()?;
    Ok(Some(Payload { bytes: bytes.bytes()?, content_type: content_type.text()?.into() }))
}

/// Why an attempt failed, for its key.
pub(crate) fn write_failure(failure: &Failure) -> Vec<u8> {
    let mut pack = Pack::new();
    pack.array(4).bytes(failure.cause.as_str());
    pack.bytes(&*failure.class).bytes(&*failure.message).bytes(&*failure.trace);
    pack.into_bytes()
}

pub(crate) fn read_failure(value: Value) -> Result<Option<Failure>> {
    let Some(value) = value.maybe() else { return Ok(None) };
    let [cause, class, message, trace] = Value::read(value.bytes()?)?.tuple()?;
    Ok(Some(Failure {
        cause: Cause::parse(cause.text()?).ok_or_else(misread)?,
        class: class.text()?.into(),
        message: message.text()?.into(),
        trace: trace.text()?.into(),
    }))
}

/// How far a handler has come, for its key. A note that is too long is cut.
pub(crate) fn write_progress(progress: &Progress) -> Vec<u8> {
    let mut pack = Pack::new();
    pack.array(2).float(progress.fraction).bytes(&*haulier_core::lease::cut(&progress.note));
    pack.into_bytes()
}

pub(crate) fn read_progress(value: Value) -> Result<Option<Progress>> {
    let Some(value) = value.maybe() else { return Ok(None) };
    let [fraction, note] = Value::read(value.bytes()?)?.tuple()?;
    Ok(Some(Progress { fraction: fraction.float()?, note: note.text()?.into() }))
}

/// Steps that are done, with their values only if those are wanted.
pub(crate) fn read_checkpoints(value: Value, values: bool) -> Result<Vec<Checkpoint>> {
    let Some(value) = value.maybe() else { return Ok(Vec::new()) };
    let steps = Value::read(value.bytes()?)?.list()?;
    let step = |step: Value| {
        let [name, value] = step.tuple()?;
        let value = if values { value.bytes()? } else { bytes::Bytes::new() };
        Ok::<_, Error>(Checkpoint { name: name.text()?.into(), value })
    };
    steps.into_iter().map(step).collect()
}

#[cfg(test)]
mod tests {
    use haulier_core::{Kind, TaskId};

    use super::*;

    #[test]
    fn what_is_kept_beside_a_record_reads_back() {
        let id = TaskId::from_bytes([7; 16]);
        let mut new = NewTask::new(id, Kind::new("work").unwrap(), Payload::json("{}"));
        assert!(About::of(&new).write().is_empty(), "most tasks have nothing beside");
        new.payload.content_type = Payload::BINARY.into();
        let of_a_type = About::of(&new).write();
        assert_eq!(of_a_type.len(), 2 + Payload::BINARY.len(), "and of others only what differs");
        assert_eq!(About::read(Value::Bytes(of_a_type.into())).unwrap(), About::of(&new));
        new.headers = [("a", "1"), ("b", "\0")].into_iter().collect();
        new.expires_in = Some(Duration::from_secs(3));
        new.policy.backoff = Backoff::fixed(Duration::from_millis(7));
        let about = About::of(&new);
        let value = Value::Bytes(about.write().into());
        assert_eq!(About::read(value).unwrap(), about);
        assert_eq!(About::read(Value::Bool(false)).unwrap(), About::default());
    }
}
