//! What is written: every kind of record, its encoding and its decoding. Kinds are numbered for
//! ever; a number is never given a second meaning.
//!
//! A record has a small *meta*, which is kept in hints and read at every start, and *parts*:
//! payloads, results and texts that stay on the disk, each behind its own CRC-32C. Records of one
//! frame share a context (time, line, holder), so that a task costs its own bytes and no names.
//! This module knows no file and no state; that a decoded record makes sense is for
//! [`crate::engine`] to judge.

use std::time::Duration;

use haulier_core::{
    DeadReason, Ended, Epoch, OnConflict, Priority, QueueSettings, Standing, State, TaskId,
    Timestamp, Unique, Until, control::Retain,
};

use crate::codec::{Malformed, Put, Take};
use crate::snapshot::Snapshot;

/// What a record says, without its parts.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// Context: the store's time of what follows.
    Time {
        /// The time.
        now: Timestamp,
        /// The place in a line that was given last; the next one is larger.
        order: u64,
    },
    /// Context: the line that the tasks which follow stand in.
    Line {
        /// The queue's name.
        queue: String,
        /// The kind's name.
        kind: String,
        /// The priority.
        priority: Priority,
    },
    /// Context: who gets the leases that follow, and for how long.
    Holder {
        /// The worker.
        worker: String,
        /// How long each lease lasts.
        ttl: Duration,
    },
    /// A task was accepted. Part: its definition.
    Accepted(Accepted),
    /// Something happened to a task. Part, if any: its result or failure.
    Changed(Change),
    /// A lease was renewed for longer than any grant of it before.
    Extended {
        /// The task.
        id: TaskId,
        /// How long it lasts at a restart.
        ttl: Duration,
    },
    /// A step was done. Part: its value.
    Checkpoint {
        /// The task.
        id: TaskId,
        /// The step's name.
        name: String,
    },
    /// A task is forgotten; its id stays known for the dedup window.
    Removed(TaskId),
    /// A queue's settings, all of them.
    Settings {
        /// The queue's name.
        queue: String,
        /// What operators have set.
        settings: QueueSettings,
    },
    /// A whole task, moved forward by the cleaner. Parts: see [`Snapshot`].
    Snapshot(Box<Snapshot>),
    /// Ids that are still known, and when their tasks went; moved forward by the cleaner.
    Remembered(Vec<(TaskId, Timestamp)>),
    /// The store was opened: a new generation begins.
    Opened,
    /// The store was closed in good order.
    Closed,
    /// Segments up to this one hold nothing that is needed.
    Freed {
        /// The last of them.
        through: u32,
    },
}

/// The number of [`Record::Accepted`], whose meta begins with the task's id.
pub const ACCEPTED: u8 = kind::ACCEPTED;
/// The number of [`Record::Snapshot`], whose meta begins with the task's id.
pub const SNAPSHOT: u8 = kind::SNAPSHOT;
/// The number of [`Record::Removed`], whose meta is the task's id.
pub const REMOVED: u8 = kind::REMOVED;

/// Whether records of that kind tell how a task lived; their metas begin with its id.
pub const fn is_of_life(kind: u8) -> bool {
    matches!(kind, kind::ACCEPTED | kind::CHANGED | kind::EXTENDED | kind::CHECKPOINT)
}

/// Whether a task whose acceptance has this meta holds a unique key.
pub fn has_key(meta: &[u8]) -> bool {
    meta.get(16).is_some_and(|flags| flags & Accepted::UNIQUE != 0)
}

/// The kinds' numbers, for ever.
mod kind {
    pub const TIME: u8 = 1;
    pub const LINE: u8 = 2;
    pub const HOLDER: u8 = 3;
    pub const ACCEPTED: u8 = 4;
    pub const CHANGED: u8 = 5;
    pub const EXTENDED: u8 = 6;
    pub const CHECKPOINT: u8 = 7;
    pub const REMOVED: u8 = 8;
    pub const SETTINGS: u8 = 9;
    pub const SNAPSHOT: u8 = 10;
    pub const REMEMBERED: u8 = 11;
    pub const OPENED: u8 = 12;
    pub const CLOSED: u8 = 13;
    pub const FREED: u8 = 14;
}

/// A task as it was accepted; its line and the time stand in the context.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// Its id.
    pub id: TaskId,
    /// When it may start; the context's time if at once.
    pub due_at: Timestamp,
    /// What the engine has to know of its policy.
    pub rules: Rules,
    /// When it is given up if it has not started.
    pub expires_at: Option<Timestamp>,
    /// Its unique key.
    pub unique: Option<Unique>,
}

/// What of a task's policy decides in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rules {
    /// Attempts after which it is dead.
    pub max_attempts: u32,
    /// The longest that one attempt may run.
    pub timeout: Duration,
    /// How long it is kept when it is final.
    pub retain: Option<Duration>,
}

impl From<&haulier_core::Policy> for Rules {
    fn from(policy: &haulier_core::Policy) -> Self {
        Self { max_attempts: policy.max_attempts, timeout: policy.timeout, retain: policy.retain }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::from(&haulier_core::Policy::default())
    }
}

/// Something happened to a task, and where it stands since.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// The task.
    pub id: TaskId,
    /// What happened.
    pub happened: Happened,
    /// The delivery that it happened in; zero if in none.
    pub epoch: Epoch,
    /// Where the task stands since.
    pub standing: Standing,
    /// When it is due, if it is pending.
    pub due_at: Timestamp,
}

/// What can happen to a task in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// The context's holder got it.
    Leased,
    /// A delivery ended.
    Ended {
        /// How.
        how: Ended,
        /// After its lease had run out.
        late: bool,
        /// The task had been cancelled, and the outcome said otherwise.
        overruled: bool,
    },
    /// It did not start in time.
    Expired,
    /// Somebody called it off.
    Cancelled,
    /// An operator wants it done again.
    Rerun,
    /// Its time has come. Said so that a line has the same order after a restart; a store that lost
    /// the record finds out by the due time.
    Due,
}

impl Record {
    /// The number of its kind.
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Time { .. } => kind::TIME,
            Self::Line { .. } => kind::LINE,
            Self::Holder { .. } => kind::HOLDER,
            Self::Accepted(_) => kind::ACCEPTED,
            Self::Changed(_) => kind::CHANGED,
            Self::Extended { .. } => kind::EXTENDED,
            Self::Checkpoint { .. } => kind::CHECKPOINT,
            Self::Removed(_) => kind::REMOVED,
            Self::Settings { .. } => kind::SETTINGS,
            Self::Snapshot(_) => kind::SNAPSHOT,
            Self::Remembered(_) => kind::REMEMBERED,
            Self::Opened => kind::OPENED,
            Self::Closed => kind::CLOSED,
            Self::Freed { .. } => kind::FREED,
        }
    }

    /// What its kind is called, for people.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Time { .. } => "time",
            Self::Line { .. } => "line",
            Self::Holder { .. } => "holder",
            Self::Accepted(_) => "accepted",
            Self::Changed(_) => "changed",
            Self::Extended { .. } => "extended",
            Self::Checkpoint { .. } => "checkpoint",
            Self::Removed(_) => "removed",
            Self::Settings { .. } => "settings",
            Self::Snapshot(_) => "snapshot",
            Self::Remembered(_) => "remembered",
            Self::Opened => "opened",
            Self::Closed => "closed",
            Self::Freed { .. } => "freed",
        }
    }

    /// Whether somebody gets a task.
    pub const fn is_lease(&self) -> bool {
        matches!(self, Self::Changed(Change { happened: Happened::Leased, .. }))
    }

    /// Appends its meta; `now` is the context's time.
    pub fn encode(&self, now: Timestamp, out: &mut Vec<u8>) {
        match self {
            Self::Time { now, order } => {
                out.put_varint(now.0);
                out.put_varint(*order);
            }
            Self::Line { queue, kind, priority } => {
                out.put_str(queue);
                out.put_str(kind);
                out.put_u8(priority.get());
            }
            Self::Holder { worker, ttl } => {
                out.put_str(worker);
                put_duration(out, *ttl);
            }
            Self::Accepted(accepted) => accepted.encode(now, out),
            Self::Changed(change) => change.encode(now, out),
            Self::Extended { id, ttl } => {
                out.put_id(*id);
                put_duration(out, *ttl);
            }
            Self::Checkpoint { id, name } => {
                out.put_id(*id);
                out.put_str(name);
            }
            Self::Removed(id) => out.put_id(*id),
            Self::Settings { queue, settings } => {
                out.put_str(queue);
                put_settings(out, settings);
            }
            Self::Snapshot(snapshot) => snapshot.encode(out),
            Self::Remembered(ids) => {
                for (id, removed_at) in ids {
                    out.put_id(*id);
                    out.put_varint(now.0.saturating_sub(removed_at.0));
                }
            }
            Self::Opened | Self::Closed => {}
            Self::Freed { through } => out.put_varint(u64::from(*through)),
        }
    }

    /// Reads a meta back; `now` is the context's time.
    ///
    /// # Errors
    /// If the bytes are not what [`Record::encode`] writes for that kind.
    pub fn decode(kind: u8, meta: &[u8], now: Timestamp) -> Result<Self, Malformed> {
        let mut take = Take::new(meta);
        let record = Self::decode_from(kind, &mut take, now)?;
        if take.left() > 0 {
            return Err(Malformed("a record is longer than its kind"));
        }
        Ok(record)
    }

    fn decode_from(kind: u8, take: &mut Take<'_>, now: Timestamp) -> Result<Self, Malformed> {
        Ok(match kind {
            kind::TIME => Self::Time { now: Timestamp(take.varint()?), order: take.varint()? },
            kind::LINE => Self::Line {
                queue: take.str()?.to_owned(),
                kind: take.str()?.to_owned(),
                priority: take_priority(take)?,
            },
            kind::HOLDER => {
                Self::Holder { worker: take.str()?.to_owned(), ttl: take_duration(take)? }
            }
            kind::ACCEPTED => Self::Accepted(Accepted::decode(take, now)?),
            kind::CHANGED => Self::Changed(Change::decode(take, now)?),
            kind::EXTENDED => Self::Extended { id: take.id()?, ttl: take_duration(take)? },
            kind::CHECKPOINT => Self::Checkpoint { id: take.id()?, name: take.str()?.to_owned() },
            kind::REMOVED => Self::Removed(take.id()?),
            kind::SETTINGS => {
                Self::Settings { queue: take.str()?.to_owned(), settings: take_settings(take)? }
            }
            kind::SNAPSHOT => Self::Snapshot(Box::new(Snapshot::decode(take)?)),
            kind::REMEMBERED => Self::Remembered(take_remembered(take, now)?),
            kind::OPENED => Self::Opened,
            kind::CLOSED => Self::Closed,
            kind::FREED => Self::Freed { through: take.varint32()? },
            _ => return Err(Malformed("a record's kind is unknown")),
        })
    }
}

impl Accepted {
    const LATER: u8 = 1;
    const RULES: u8 = 2;
    const EXPIRES: u8 = 4;
    const UNIQUE: u8 = 8;

    fn encode(&self, now: Timestamp, out: &mut Vec<u8>) {
        let later = self.due_at > now;
        let ruled = self.rules != Rules::default();
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        out.put_id(self.id);
        out.put_u8(
            flag(later, Self::LATER)
                | flag(ruled, Self::RULES)
                | flag(self.expires_at.is_some(), Self::EXPIRES)
                | flag(self.unique.is_some(), Self::UNIQUE),
        );
        if later {
            out.put_varint(self.due_at.0 - now.0);
        }
        if ruled {
            put_rules(out, &self.rules);
        }
        if let Some(expires_at) = self.expires_at {
            out.put_varint(expires_at.0);
        }
        if let Some(unique) = &self.unique {
            put_unique(out, unique);
        }
    }

    fn decode(take: &mut Take<'_>, now: Timestamp) -> Result<Self, Malformed> {
        let id = take.id()?;
        let flags = take.u8()?;
        let has = |bit: u8| flags & bit != 0;
        let later = if has(Self::LATER) { take.varint()? } else { 0 };
        Ok(Self {
            id,
            due_at: Timestamp(now.0.saturating_add(later)),
            rules: if has(Self::RULES) { take_rules(take)? } else { Rules::default() },
            expires_at: if has(Self::EXPIRES) { Some(Timestamp(take.varint()?)) } else { None },
            unique: if has(Self::UNIQUE) { Some(take_unique(take)?) } else { None },
        })
    }
}

impl Change {
    const LATE: u8 = 0x10;
    const OVERRULED: u8 = 0x20;

    fn encode(&self, now: Timestamp, out: &mut Vec<u8>) {
        out.put_id(self.id);
        out.put_u8(match self.happened {
            Happened::Leased => 0,
            Happened::Ended { how, late, overruled } => {
                number_of(how)
                    | if late { Self::LATE } else { 0 }
                    | if overruled { Self::OVERRULED } else { 0 }
            }
            Happened::Expired => 8,
            Happened::Cancelled => 9,
            Happened::Rerun => 10,
            Happened::Due => 11,
        });
        put_epoch(out, self.epoch);
        put_standing(out, &self.standing);
        out.put_varint(self.due_at.0.saturating_sub(now.0));
    }

    fn decode(take: &mut Take<'_>, now: Timestamp) -> Result<Self, Malformed> {
        let id = take.id()?;
        let code = take.u8()?;
        let happened = match code & 0x0f {
            0 => Happened::Leased,
            8 => Happened::Expired,
            9 => Happened::Cancelled,
            10 => Happened::Rerun,
            11 => Happened::Due,
            number => Happened::Ended {
                how: ended_of(number)?,
                late: code & Self::LATE != 0,
                overruled: code & Self::OVERRULED != 0,
            },
        };
        Ok(Self {
            id,
            happened,
            epoch: take_epoch(take)?,
            standing: take_standing(take)?,
            due_at: Timestamp(now.0.saturating_add(take.varint()?)),
        })
    }
}

/// The ends of a delivery, numbered for ever from 1.
const ENDS: [Ended; 7] = Ended::ALL;

/// The number of an end.
pub fn number_of(how: Ended) -> u8 {
    (1..).zip(ENDS).find(|(_, end)| *end == how).map_or(0, |(number, _)| number)
}

/// The end of that number.
pub fn ended_of(number: u8) -> Result<Ended, Malformed> {
    let at = usize::from(number).checked_sub(1);
    at.and_then(|at| ENDS.get(at)).copied().ok_or(Malformed("an end's number is unknown"))
}

/// An epoch in its two halves, so that a small count takes few bytes.
pub fn put_epoch(out: &mut Vec<u8>, epoch: Epoch) {
    out.put_varint(epoch.0 >> 32);
    out.put_varint(epoch.0 & 0xffff_ffff);
}

/// Reads an epoch.
pub fn take_epoch(take: &mut Take<'_>) -> Result<Epoch, Malformed> {
    let generation = u64::from(take.varint32()?);
    Ok(Epoch((generation << 32) | u64::from(take.varint32()?)))
}

/// Where a task stands: state, reason and marks in a byte, then its counters.
pub fn put_standing(out: &mut Vec<u8>, standing: &Standing) {
    let reason = standing.reason.map_or(0, |reason| 1 + reason as u8);
    out.put_u8(
        standing.state as u8
            | (reason << 3)
            | (u8::from(standing.started) << 6)
            | (u8::from(standing.cancel_requested) << 7),
    );
    out.put_varint(u64::from(standing.attempt));
    out.put_varint(u64::from(standing.losses));
}

/// Reads where a task stands.
pub fn take_standing(take: &mut Take<'_>) -> Result<Standing, Malformed> {
    let marks = take.u8()?;
    let state = State::ALL.get(usize::from(marks & 7)).copied();
    let reason = usize::from((marks >> 3) & 7).checked_sub(1).map(|at| DeadReason::ALL.get(at));
    Ok(Standing {
        state: state.ok_or(Malformed("a state's number is unknown"))?,
        reason: match reason {
            None => None,
            Some(reason) => Some(*reason.ok_or(Malformed("a reason's number is unknown"))?),
        },
        started: marks & 0x40 != 0,
        cancel_requested: marks & 0x80 != 0,
        attempt: take.varint32()?,
        losses: take.varint32()?,
    })
}

fn take_remembered(
    take: &mut Take<'_>,
    now: Timestamp,
) -> Result<Vec<(TaskId, Timestamp)>, Malformed> {
    let mut ids = Vec::new();
    while take.left() > 0 {
        let (id, ago) = (take.id()?, take.varint()?);
        ids.push((id, Timestamp(now.0.saturating_sub(ago))));
    }
    Ok(ids)
}

/// A duration in milliseconds.
pub fn put_duration(out: &mut Vec<u8>, duration: Duration) {
    out.put_varint(haulier_core::clock::millis(duration));
}

/// Reads a duration.
pub fn take_duration(take: &mut Take<'_>) -> Result<Duration, Malformed> {
    take.varint().map(Duration::from_millis)
}

/// A duration that may be missing.
fn put_some_duration(out: &mut Vec<u8>, duration: Option<Duration>) {
    out.put_option(duration.map(haulier_core::clock::millis));
}

fn take_some_duration(take: &mut Take<'_>) -> Result<Option<Duration>, Malformed> {
    Ok(take.option()?.map(Duration::from_millis))
}

/// Reads a priority.
pub fn take_priority(take: &mut Take<'_>) -> Result<Priority, Malformed> {
    Priority::new(take.u8()?).map_err(|_| Malformed("a priority is above 9"))
}

/// What decides of a task's policy.
pub fn put_rules(out: &mut Vec<u8>, rules: &Rules) {
    out.put_varint(u64::from(rules.max_attempts));
    put_duration(out, rules.timeout);
    put_some_duration(out, rules.retain);
}

/// Reads the rules.
pub fn take_rules(take: &mut Take<'_>) -> Result<Rules, Malformed> {
    Ok(Rules {
        max_attempts: take.varint32()?,
        timeout: take_duration(take)?,
        retain: take_some_duration(take)?,
    })
}

/// A unique key with its rules.
pub fn put_unique(out: &mut Vec<u8>, unique: &Unique) {
    out.put_str(&unique.key);
    put_duration(out, unique.window);
    let until = match unique.until {
        Until::Start => 0,
        Until::Finish => 1,
    };
    let conflict = match unique.on_conflict {
        OnConflict::Return => 0,
        OnConflict::Reject => 2,
        OnConflict::Replace => 4,
    };
    out.put_u8(until | conflict);
}

/// Reads a unique key.
pub fn take_unique(take: &mut Take<'_>) -> Result<Unique, Malformed> {
    let mut unique = Unique::new(take.str()?);
    unique.window = take_duration(take)?;
    let marks = take.u8()?;
    unique.until = if marks & 1 == 0 { Until::Start } else { Until::Finish };
    unique.on_conflict = match marks & 6 {
        0 => OnConflict::Return,
        2 => OnConflict::Reject,
        4 => OnConflict::Replace,
        _ => return Err(Malformed("a conflict rule's number is unknown")),
    };
    Ok(unique)
}

fn put_settings(out: &mut Vec<u8>, settings: &QueueSettings) {
    out.put_u8(u8::from(settings.paused));
    out.put_option(settings.concurrency.map(u64::from));
    out.put_option(settings.max_tasks);
    put_duration(out, settings.retain.completed);
    out.put_varint(settings.retain.completed_count);
    put_duration(out, settings.retain.cancelled);
    put_duration(out, settings.retain.dead);
}

fn take_settings(take: &mut Take<'_>) -> Result<QueueSettings, Malformed> {
    let paused = take.u8()? != 0;
    let concurrency = take.option()?.map(u32::try_from).transpose();
    Ok(QueueSettings {
        paused,
        concurrency: concurrency.map_err(|_| Malformed("a limit has more than 32 bits"))?,
        max_tasks: take.option()?,
        retain: Retain {
            completed: take_duration(take)?,
            completed_count: take.varint()?,
            cancelled: take_duration(take)?,
            dead: take_duration(take)?,
        },
    })
}
