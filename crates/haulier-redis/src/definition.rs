//! What never changes of a task: written here, kept by scripts as it is, and read here again. What
//! the script that took it in puts before it stands in `prelude.lua`, with the beginning of what is
//! written here, which scripts read, too.

use std::time::Duration;

use bytes::{BufMut, Bytes};
use crc32c::{crc32c, crc32c_append};
use haulier_core::{
    Kind, NewTask, Payload, Policy, Priority, QueueName, Result, Start, State, Task, TaskId,
    Timestamp, Unique, Until,
};

use crate::about::{About, span};
use crate::fields::{Fields, text};
use crate::pack::{Value, misread};

/// Payloads of so many bytes are kept within the definition, larger ones apart: scripts that look
/// at a task need not read them.
const WITHIN_MAX: usize = 1_024;

/// What the script that takes a task in puts first: see `BORN_SIZE` in `prelude.lua`.
const BORN_SIZE: usize = 33;

const UNTIL_FINISH: u8 = 1;
const HAS_KEY: u8 = 2;
const BODY_APART: u8 = 4;
/// No unique key, no expiry, no retain of its own, and the payload within: verbs have a short way
/// for these.
const PLAIN: u8 = 8;

/// A task as it was taken in.
#[derive(Debug)]
pub(crate) struct Definition {
    pub enqueued_at: Timestamp,
    pub due_at: Timestamp,
    /// The state it was taken in with.
    pub state: State,
    /// Without its payload if that is kept apart.
    pub task: Task,
    /// How it holds its unique key.
    pub unique: Option<Unique>,
    /// The checksum of all of it but the payload, and the one that the whole must have.
    head: u32,
    sum: u32,
}

/// Whether a task's payload is kept apart.
pub(crate) fn is_apart(new: &NewTask) -> bool {
    new.payload.bytes.len() > WITHIN_MAX
}

/// Whether nothing is special about a task.
fn is_plain(new: &NewTask) -> bool {
    new.unique.is_none()
        && new.expires_in.is_none()
        && new.policy.retain.is_none()
        && !is_apart(new)
}

/// Whether a task is plain and to start at once.
pub(crate) fn is_plain_now(new: &NewTask) -> bool {
    new.start == Start::Now && is_plain(new)
}

/// What is kept of a task.
pub(crate) fn write(new: &NewTask) -> Vec<u8> {
    let about = About::of(new).write();
    let within = if is_apart(new) { &[][..] } else { &new.payload.bytes };
    let key = new.unique.as_ref().map_or(&[][..], |unique| unique.key.as_bytes());
    let (queue, kind) = (new.queue.as_str().as_bytes(), new.kind.as_str().as_bytes());
    let mut to =
        Vec::with_capacity(64 + queue.len() + kind.len() + key.len() + about.len() + within.len());
    let until_finish = new.unique.as_ref().is_some_and(|unique| unique.until == Until::Finish);
    let flags = [
        (until_finish, UNTIL_FINISH),
        (new.unique.is_some(), HAS_KEY),
        (is_apart(new), BODY_APART),
        (is_plain(new), PLAIN),
    ];
    to.put_u8(flags.iter().filter(|(is, _)| *is).map(|(_, bit)| bit).sum());
    to.put_u8(new.priority.get());
    to.put_u32(new.policy.max_attempts);
    to.put_i64(span(new.policy.timeout));
    to.put_i64(new.policy.retain.map_or(-1, span));
    to.put_i64(new.unique.as_ref().map_or(0, |unique| span(unique.window)));
    // Limits of core: names have 128 bytes at most, keys 256.
    for name in [queue, kind] {
        to.put_u8(u8::try_from(name.len()).unwrap_or(u8::MAX));
        to.put_slice(name);
    }
    to.put_u16(u16::try_from(key.len()).unwrap_or(u16::MAX));
    to.put_slice(key);
    to.put_u32(u32::try_from(about.len()).unwrap_or(u32::MAX));
    to.put_slice(&about);
    // Of the id, too: another task's definition in its place is noticed.
    let head = crc32c_append(crc32c(&new.id.to_bytes()), &to);
    to.put_u32(crc32c_append(head, &new.payload.bytes));
    to.put_slice(within);
    to
}

impl Definition {
    /// Reads what a script has kept.
    pub fn read(id: TaskId, bytes: &Bytes) -> Result<Self> {
        let mut fields = Fields::of(bytes.clone());
        let _order = fields.long()?;
        let enqueued_at = Timestamp(fields.long()?);
        let due_at = Timestamp(fields.long()?);
        let _expires = fields.long()?;
        let state = state(fields.byte()?)?;
        let flags = fields.byte()?;
        let priority = Priority::new(fields.byte()?).map_err(|_| misread())?;
        let max_attempts = fields.count()?;
        let timeout = Duration::from_millis(fields.long()?);
        let retain = fields.maybe_long()?.map(Duration::from_millis);
        let window = Duration::from_millis(fields.long()?);
        let queue = QueueName::new(text(&fields.name()?)?).map_err(|_| misread())?;
        let kind = Kind::new(text(&fields.name()?)?).map_err(|_| misread())?;
        let length = fields.short()?;
        let key = fields.bytes(length.into())?;
        let length = fields.count()?;
        let about = fields.bytes(usize::try_from(length).map_err(|_| misread())?)?;
        let about = if about.is_empty() { Value::Nil } else { Value::Bytes(about) };
        let about = About::read(about)?;
        let sum = fields.count()?;
        let payload = fields.rest();
        let covered = bytes.len() - payload.len() - size_of::<u32>();
        let covered = bytes.get(BORN_SIZE..covered).ok_or_else(misread)?;
        let head = crc32c_append(crc32c(&id.to_bytes()), covered);
        let unique = match flags & HAS_KEY {
            0 => None,
            _ => Some(Unique {
                window,
                until: if flags & UNTIL_FINISH == 0 { Until::Start } else { Until::Finish },
                on_conflict: about.on_conflict,
                ..Unique::new(text(&key)?)
            }),
        };
        let task = Task {
            id,
            queue,
            kind,
            payload: Payload { bytes: payload, content_type: about.content_type },
            priority,
            policy: Policy { max_attempts, backoff: about.backoff, timeout, retain },
            expires_in: about.expires_in,
            headers: about.headers,
            labels: about.labels,
        };
        Ok(Self { enqueued_at, due_at, state, task, unique, head, sum })
    }

    /// Whether it is what was written, now that the payload is there, wherever it was kept.
    pub fn is_sound(&self) -> bool {
        crc32c_append(self.head, &self.task.payload.bytes) == self.sum
    }
}

/// The state of that number.
pub(crate) fn state(number: u8) -> Result<State> {
    State::ALL.get(usize::from(number)).copied().ok_or_else(misread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_reads_back_behind_what_scripts_put_before_it() {
        let id = TaskId::from_bytes([7; 16]);
        let mut new = NewTask::new(id, Kind::new("work").unwrap(), Payload::json("{}"));
        new.policy.retain = Some(Duration::from_secs(5));
        new.labels = [("tenant", "acme")].into_iter().collect();
        new.unique =
            Some(Unique { window: Duration::from_secs(9), ..Unique::new("k".repeat(256)) });
        let born = [&[0, 0, 0, 0, 0, 0, 0, 3][..], &[0; 7], &[5], &[0; 7], &[6], &[255; 8], &[1]];
        let whole = [born.concat(), write(&new)].concat();
        let read = Definition::read(id, &whole.clone().into()).unwrap();
        assert_eq!((read.enqueued_at, read.due_at), (Timestamp(5), Timestamp(6)));
        assert!(read.is_sound(), "I9");
        assert_eq!((read.task, read.unique), (new.task.clone(), new.unique.clone()));
        assert_eq!(read.state, State::ALL[1]);
        for length in 0..whole.len() - new.payload.bytes.len() {
            let cut = Bytes::copy_from_slice(&whole[..length]);
            assert!(Definition::read(id, &cut).is_err(), "{length}");
        }
        // I9, I16: a byte that has changed since is noticed, or not read at all.
        for at in BORN_SIZE..whole.len() {
            let mut rotten = whole.clone();
            rotten[at] ^= 0x10;
            let read = Definition::read(id, &rotten.into());
            assert!(read.is_err() || !read.unwrap().is_sound(), "{at}");
        }
        let other = Definition::read(TaskId::from_bytes([8; 16]), &whole.into()).unwrap();
        assert!(!other.is_sound(), "another task's");
    }
}
