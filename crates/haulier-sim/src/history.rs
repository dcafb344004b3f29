//! What happened, as its clients saw it: one JSON line an item, in the order of the runner's clock.
//!
//! ```text
//! {"i":9,"t":812004,"p":"w3","e":"invoke","b":4,"n":0,"op":"lease","args":{…}}
//! {"i":10,"t":812950,"p":"w3","e":"ok","b":4,"n":0,"op":"lease","ret":{"task":"…","epoch":85,…}}
//! ```
//!
//! A call that carries many items writes a line for each; they share `b` and differ in `n`. A call
//! that was never answered has no second line: it is unknown for ever, like one that timed out.
//! To call it refused would hide the bugs that are sought.

use std::fmt;
use std::io::{self, BufRead, Write};
use std::sync::{Arc, Mutex, PoisonError};

use haulier_core::{Clock, LeaseKey, TaskId};
use serde::{Deserialize, Serialize};

pub use crate::words::{EndedWord, HeldWord, StateWord};

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Its number, from 0.
    pub i: u64,
    /// Microseconds on the runner's monotonic clock.
    pub t: u64,
    /// Who: a producer, a worker, an operator; of a fault, what it strikes.
    pub p: Arc<str>,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What a line tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "e", rename_all = "snake_case")]
pub enum What {
    /// An item of a call sets out.
    Invoke {
        /// The call.
        b: u64,
        /// The item's place in it.
        n: u32,
        /// What is asked.
        #[serde(flatten)]
        asked: Asked,
    },
    /// It was answered.
    Ok {
        /// The call.
        b: u64,
        /// The item's place in it.
        n: u32,
        /// The answer.
        #[serde(flatten)]
        got: Got,
    },
    /// It was refused, and surely not carried out.
    Refused {
        /// The call.
        b: u64,
        /// The item's place in it.
        n: u32,
        /// Why, as [`haulier_core::Code`] has it.
        code: String,
    },
    /// It may have been carried out.
    Unknown {
        /// The call.
        b: u64,
        /// The item's place in it.
        n: u32,
        /// Why, as [`haulier_core::Code`] has it.
        code: String,
    },
    /// A handler begins.
    Start {
        /// What it runs.
        #[serde(flatten)]
        key: Key,
    },
    /// A handler is gone, however it ended.
    End {
        /// What it ran.
        #[serde(flatten)]
        key: Key,
    },
    /// Something is broken from here on.
    Fault {
        /// What.
        #[serde(flatten)]
        fault: Fault,
    },
    /// It is whole again.
    Heal {
        /// What.
        #[serde(flatten)]
        fault: Fault,
    },
}

/// A delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// The task.
    #[serde(with = "crate::words::text")]
    pub task: TaskId,
    /// Its fence.
    pub epoch: u64,
}

impl From<LeaseKey> for Key {
    fn from(key: LeaseKey) -> Self {
        Self { task: key.task, epoch: key.epoch.0 }
    }
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", content = "args", rename_all = "snake_case")]
pub enum Asked {
    /// Hand a task over.
    Enqueue(Offer),
    /// Get tasks.
    Lease(Wish),
    /// Renew a lease.
    Beat {
        /// The lease.
        #[serde(flatten)]
        key: Key,
        /// For how long.
        ttl_ms: u64,
    },
    /// End a lease.
    Settle {
        /// The lease.
        #[serde(flatten)]
        key: Key,
        /// How.
        outcome: EndedWord,
        /// When it is to be tried again, if it is.
        again_ms: Option<u64>,
    },
    /// Call a task off.
    Cancel(Which),
    /// Have it done again.
    Rerun(Which),
    /// Forget it.
    Delete(Which),
    /// Look at it.
    Get(Which),
    /// Change a queue's settings.
    Configure(Setting),
    /// Count a queue's tasks.
    Count {
        /// The queue.
        queue: String,
    },
}

/// A task as it is handed over: what the checker compares deliveries with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Its id.
    #[serde(with = "crate::words::text")]
    pub task: TaskId,
    /// Its queue.
    pub queue: String,
    /// Its kind.
    pub kind: String,
    /// A digest of what it is: queue, kind, payload.
    pub digest: u64,
    /// Its priority.
    pub priority: u8,
    /// Attempts that it may have.
    pub max_attempts: u32,
    /// How long an attempt may run.
    pub timeout_ms: u64,
    /// How much later it may start.
    pub delay_ms: u64,
    /// When it is given up if it has not started.
    pub expires_ms: Option<u64>,
    /// How long it is kept once it is final; by the queue's settings if this is missing.
    pub retain_ms: Option<u64>,
    /// Its unique key.
    pub unique: Option<UniqueKey>,
}

/// A unique key with its rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UniqueKey {
    /// The key.
    pub key: String,
    /// It is held at least this long.
    pub window_ms: u64,
    /// It is held until the task is final; else until it starts.
    pub until_finish: bool,
    /// Whoever comes next may call the holder off.
    pub replace: bool,
}

/// What a worker asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// From which queues.
    pub queues: Vec<String>,
    /// Of which kinds; empty: all.
    pub kinds: Vec<String>,
    /// How many.
    pub max: u32,
    /// For how long.
    pub ttl_ms: u64,
    /// How long the call waits.
    pub wait_ms: u64,
}

/// A task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Which {
    /// Its id.
    #[serde(with = "crate::words::text")]
    pub task: TaskId,
}

/// A change of a queue's settings, as far as the checker cares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The queue.
    pub queue: String,
    /// Paused, or not.
    pub paused: Option<bool>,
    /// Something that may keep tasks from being accepted, or from running, was set.
    pub limits: bool,
    /// Something that may make tasks be forgotten was set.
    pub retains: bool,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", content = "ret", rename_all = "snake_case")]
pub enum Got {
    /// The task that stands for what was handed over.
    Enqueue {
        /// Its id: another one if a unique key says so.
        #[serde(with = "crate::words::text")]
        task: TaskId,
        /// It was not there before.
        inserted: bool,
        /// Where it stands, if it is more than remembered.
        state: Option<StateWord>,
    },
    /// A lease; one line for each. None at all: a line without.
    Lease(Option<Granted>),
    /// Whether the lease goes on.
    Beat {
        /// Yes, cancel, stale.
        held: HeldWord,
    },
    /// How the lease ended.
    Settle(Settlement),
    /// Called off, or not.
    Cancel(Done),
    /// Available again, or not.
    Rerun(Done),
    /// Forgotten, or not.
    Delete(Done),
    /// The task, if it is known.
    Get(Option<View>),
    /// The settings were changed.
    Configure,
    /// How many tasks there are.
    Count(Counts),
}

/// A lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// The delivery.
    #[serde(flatten)]
    pub key: Key,
    /// Which attempt it is.
    pub attempt: u32,
    /// Leases of the task that ran out before.
    pub losses: u32,
    /// For how long.
    pub ttl_ms: u64,
    /// A digest of what came: queue, kind, payload.
    pub digest: u64,
}

/// The answer to a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Settlement {
    /// It was carried out.
    Applied {
        /// Where the task stands.
        state: StateWord,
        /// The lease had run out.
        late: bool,
    },
    /// The task had been called off.
    Cancelled,
    /// The key was superseded.
    Stale,
    /// The outcome breaks a rule.
    Refused,
}

/// The answer to an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Done {
    /// Where the task stands now; of a deleted one, where it stood.
    Done {
        /// Its state.
        state: StateWord,
    },
    /// There is none.
    NotFound,
    /// Its state does not allow it.
    Refused,
}

/// A task as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Where it stands.
    pub state: StateWord,
    /// Attempts so far.
    pub attempt: u32,
    /// Leases that ran out.
    pub losses: u32,
    /// Its newest fence.
    pub epoch: u64,
    /// A digest of what it is: queue, kind, payload. Missing if the payload was not read along.
    pub digest: Option<u64>,
}

/// How many tasks a queue has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Tasks by state.
    pub states: Vec<(StateWord, u64)>,
    /// Accepted since the start.
    pub accepted: u64,
    /// Removed since the start.
    pub removed: u64,
}

/// What is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    /// A process ends without a word. Of a store: what was not synced may be gone.
    Crash,
    /// A process stands still.
    Pause,
    /// Nothing passes between it and the others, or not one way.
    Cut,
    /// What passes takes long, or is lost now and then.
    Slow,
    /// The calendar jumps.
    Jump {
        /// By so much.
        ms: i64,
    },
    /// The disk fails, or is full.
    Disk,
    /// What was durable is no longer what it was. Whole again: the store has said so.
    Damage,
    /// Load and faults are over. From its `heal` on the system has all that it needs to finish
    /// everything that can be finished.
    Load,
    /// Anything else.
    Other {
        /// In a few words.
        name: String,
    },
}

/// Writes a history. Clones write the same one.
#[derive(Clone)]
pub struct Recorder(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    lines: Mutex<Lines>,
}

#[derive(Default)]
struct Lines {
    written: Vec<Line>,
    calls: u64,
}

impl Recorder {
    /// An empty history by this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared { clock, lines: Mutex::default() }))
    }

    /// Appends a line.
    pub fn record(&self, p: &Arc<str>, what: What) {
        let mut lines = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, so that times rise with numbers.
        let t = u64::try_from(self.0.clock.monotonic().as_micros()).unwrap_or(u64::MAX);
        let i = lines.written.len() as u64;
        lines.written.push(Line { i, t, p: Arc::clone(p), what });
    }

    /// Something breaks.
    pub fn fault(&self, p: &str, fault: Fault) {
        self.record(&p.into(), What::Fault { fault });
    }

    /// Something is whole again.
    pub fn heal(&self, p: &str, fault: Fault) {
        self.record(&p.into(), What::Heal { fault });
    }

    /// The number of a new call.
    pub fn call(&self) -> u64 {
        let mut lines = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.calls += 1;
        lines.calls
    }

    /// Everything so far.
    pub fn lines(&self) -> Vec<Line> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner).written.clone()
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner);
        write!(f, "Recorder({} lines)", lines.written.len())
    }
}

/// Writes a history, one JSON line an item.
///
/// # Errors
/// Of the writer.
pub fn write(lines: &[Line], to: &mut dyn Write) -> io::Result<()> {
    for line in lines {
        serde_json::to_writer(&mut *to, line)?;
        to.write_all(b"\n")?;
    }
    Ok(())
}

/// Reads a history back.
///
/// # Errors
/// Of the reader; a line that is none, with its number.
pub fn read(from: impl BufRead) -> io::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (at, line) in from.lines().enumerate() {
        let parsed = serde_json::from_str(&line?);
        lines.push(parsed.map_err(|e| io::Error::other(format!("line {}: {e}", at + 1)))?);
    }
    Ok(lines)
}

/// A digest of bytes that is the same on every machine (FNV-1a): what the checker compares.
pub fn digest(parts: &[&[u8]]) -> u64 {
    let mut sum = 0xcbf2_9ce4_8422_2325;
    for part in parts {
        // The length keeps neighbours apart.
        for byte in part.len().to_le_bytes().iter().chain(*part) {
            sum = (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use haulier_core::{Held, ManualClock, State};

    use super::*;

    fn id(number: u8) -> TaskId {
        TaskId::from_bytes([number; 16])
    }

    #[test]
    fn a_history_reads_back_line_by_line() {
        let recorder = Recorder::new(Arc::new(ManualClock::new()));
        let (worker, b, n) = (Arc::from("w1"), recorder.call(), 0);
        let key = Key { task: id(7), epoch: (3 << 32) + 1 };
        let wish = Wish {
            queues: vec!["q".to_owned()],
            kinds: Vec::new(),
            max: 8,
            ttl_ms: 3_000,
            wait_ms: 0,
        };
        let granted = Granted { key, attempt: 1, losses: 0, ttl_ms: 3_000, digest: u64::MAX };
        let settled = Settlement::Applied { state: StateWord(State::Completed), late: true };
        recorder.record(&worker, What::Invoke { b, n, asked: Asked::Lease(wish) });
        recorder.record(&worker, What::Ok { b, n, got: Got::Lease(Some(granted)) });
        recorder.record(&worker, What::Ok { b, n, got: Got::Lease(None) });
        recorder.record(&worker, What::Start { key });
        recorder.record(&worker, What::Ok { b, n, got: Got::Beat { held: HeldWord(Held::Yes) } });
        recorder.record(&worker, What::Ok { b, n, got: Got::Settle(settled) });
        recorder.record(&worker, What::Unknown { b, n, code: "unknown_outcome".to_owned() });
        recorder.record(&worker, What::Ok { b, n, got: Got::Configure });
        recorder.fault("server", Fault::Jump { ms: -5 });
        recorder.heal("server", Fault::Crash);
        let mut bytes = Vec::new();
        write(&recorder.lines(), &mut bytes).unwrap();
        assert_eq!(read(&*bytes).unwrap(), recorder.lines());
        let first = String::from_utf8_lossy(&bytes).lines().next().unwrap().to_owned();
        assert!(first.starts_with(r#"{"i":0,"t":0,"p":"w1","e":"invoke","b":1,"n":0"#), "{first}");
    }

    #[test]
    fn a_line_that_is_none_is_named_by_its_number() {
        let why = read(&b"{}\n"[..]).unwrap_err().to_string();
        assert!(why.starts_with("line 1: "), "{why}");
    }
}
