//! Opening a directory: the lock, recovery, a new generation made durable, and only then somebody
//! may be served.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use haulier_core::{Clock, StoreTime, limits, probe};
use tokio::sync::watch;

use crate::backup::RESTORING;
use crate::disk::Disk;
use crate::engine::{Context, Engine, Now};
use crate::error::{Fatal, OpenError};
use crate::inbox::Inbox;
use crate::log::clerk::Clerk;
use crate::log::frame::{FrameHeader, SEGMENT_HEADER, SegmentHeader};
use crate::log::recover::{Found, Replay, recover, rewrite_tail};
use crate::log::writer::{self, Pen};
use crate::log::{
    Chunk, Files, Log, LogParts, Resume, SPARE, Tail, hint, segment_name, segment_size,
};
use crate::place::Position;
use crate::record::Record;
use crate::runner::Runner;

/// Smallest segment that makes sense: tests use small ones.
const SEGMENT_BYTES_MIN: usize = 16 * 1024;
/// Largest segment: offsets have 32 bits, and a start reads one whole.
const SEGMENT_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// How a store is opened.
#[derive(Clone)]
pub struct Options {
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Largest payload or result, in bytes.
    pub payload_bytes_max: usize,
    /// How large a file of the log is.
    pub segment_bytes: usize,
    /// How much of what was enqueued lately is kept in memory, in bytes.
    pub cache_bytes_max: usize,
    /// Most queues, and most kinds of tasks, that it knows.
    pub queues_max: usize,
}

impl Options {
    /// The defaults: payloads of 1 MiB, segments of 64 MiB, a cache of 64 MiB.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            payload_bytes_max: limits::PAYLOAD_BYTES_DEFAULT,
            segment_bytes: 64 * 1024 * 1024,
            cache_bytes_max: 64 * 1024 * 1024,
            queues_max: limits::QUEUES_MAX,
        }
    }

    fn check(&self) -> Result<(), OpenError> {
        let refuse = |message: String| Err(OpenError::Options(message));
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            return refuse(format!(
                "segment_bytes is {}; it goes from {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX}",
                self.segment_bytes
            ));
        }
        if self.payload_bytes_max == 0 || self.payload_bytes_max > limits::PAYLOAD_BYTES_MAX {
            return refuse(format!(
                "payload_bytes_max is {}; it goes from 1 to {}",
                self.payload_bytes_max,
                limits::PAYLOAD_BYTES_MAX
            ));
        }
        Ok(())
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("payload_bytes_max", &self.payload_bytes_max)
            .field("segment_bytes", &self.segment_bytes)
            .finish_non_exhaustive()
    }
}

/// A store that is ready to serve, once somebody gives it turns.
pub struct Ready {
    /// The engine and its log.
    pub runner: Runner,
    /// Who writes.
    pub pen: Pen,
    /// The way to it.
    pub inbox: Arc<Inbox>,
    /// Why it had to stop, if it had.
    pub failed: watch::Receiver<Option<Fatal>>,
    /// To be dropped last of all.
    pub rest: Rest,
}

/// What is let go when everything else is.
pub struct Rest {
    _last: LastWord,
    _lock: Box<dyn Send + Sync>,
}

/// Opens a directory: what it holds is known and durable, and nobody is served yet.
///
/// # Errors
/// See [`OpenError`].
pub fn open(disk: &Arc<dyn Disk>, options: Options, clerk: Clerk) -> Result<Ready, OpenError> {
    options.check()?;
    let io = |what: &str| OpenError::io(format!("{}: {what}", disk.place("")));
    let lock = disk.lock().map_err(io("the lock cannot be taken"))?;
    let Some(lock) = lock else { return Err(OpenError::Locked { place: disk.place("lock") }) };
    refuse_unfinished(&**disk)?;
    let mut engine = Engine::new(options.payload_bytes_max, options.cache_bytes_max);
    engine.limit_names(options.queues_max);
    let mut replay = Replay { engine: &mut engine, context: Context::default() };
    let found = recover(&**disk, &mut replay)?;
    let mut found = match found {
        Some(found) => found,
        None => begin(&**disk, &options).map_err(io("the first segment cannot be made"))?,
    };
    let raised = u32::from(!probe::planted("generation-not-raised"));
    let generation = found.generation + raised;
    let (clock, segment_bytes) = (options.clock, segment_size(options.segment_bytes));
    let reading = clock.read();
    let mut time = StoreTime::starting(reading, engine.latest());
    let now = Now { wall: time.now(reading), mono: reading.monotonic };

    let tail = raise_generation(&**disk, &mut found, generation, now, segment_bytes)
        .map_err(io("the log cannot be written"))?;
    probe::failpoint("generation written").map_err(io("the log cannot be written"))?;
    probe::sometimes("generation raised");
    engine.start(now, generation);
    use_leftovers(&**disk, &found).map_err(io("old segments cannot be renamed"))?;
    let (writer, pen) = writer::pair(Arc::clone(disk));
    let parts = LogParts {
        disk: Arc::clone(disk),
        files: found.files,
        capacities: found.capacities,
        ends: found.ends,
        unhinted: sealed(found.unhinted, tail.segment()),
        tail,
        clerk,
        segment_bytes,
        writer,
    };
    let mut log = Log::new(parts).map_err(io("the spare files cannot be read"))?;
    log.keep_spare()
        .map_err(|fatal| io("the log cannot be written")(std::io::Error::other(fatal)))?;
    probe::failpoint("opened").map_err(io("the log cannot be written"))?;
    engine.set_storage_full(log.is_full());
    let inbox = Inbox::new();
    let (failing, failed) = watch::channel(None);
    let runner = Runner::new(clock, time, Arc::clone(&inbox), engine, log, failing.clone());
    let rest = Rest { _last: LastWord { inbox: Arc::clone(&inbox), failing }, _lock: lock };
    Ok(Ready { runner, pen, inbox, failed, rest })
}

/// What a restore has not finished is no store.
///
/// # Errors
/// A restore was interrupted there, or the directory cannot be read.
pub fn refuse_unfinished(disk: &dyn Disk) -> Result<(), OpenError> {
    let names = disk.list();
    let names = names.map_err(OpenError::io(format!("{} cannot be read", disk.place(""))))?;
    if names.iter().any(|name| name == RESTORING) {
        return Err(OpenError::Unfinished { place: disk.place("") });
    }
    Ok(())
}

/// Whatever ends the engine, nobody waits for it in vain.
struct LastWord {
    inbox: Arc<Inbox>,
    failing: watch::Sender<Option<Fatal>>,
}

impl Drop for LastWord {
    fn drop(&mut self) {
        // Calls that are dropped unanswered say so themselves.
        drop(self.inbox.close());
        if std::thread::panicking() {
            let defect = "a defect stopped the engine; its message is in the log".to_owned();
            self.failing.send_replace(Some(Fatal::Write(defect)));
        }
    }
}

/// Segments behind which the log goes on in another one.
fn sealed(unhinted: Vec<u32>, open: u32) -> VecDeque<u32> {
    unhinted.into_iter().filter(|number| *number < open).collect()
}

/// The first segment of a new log.
fn begin(disk: &dyn Disk, options: &Options) -> std::io::Result<Found> {
    let name = segment_name(1);
    if disk.list()?.contains(&name) {
        // A first start went down before it had written anything.
        disk.remove(&name)?;
    }
    let capacity = segment_size(options.segment_bytes);
    let file = disk.create(&name, u64::from(capacity))?;
    let header =
        SegmentHeader { segment: 1, generation: 0, first_sequence: 1, previous_end: 0, oldest: 1 };
    file.write_at(&header.encode(), 0)?;
    let end = Position::new(1, SEGMENT_HEADER);
    Ok(Found {
        files: Files::from([(1, file)]),
        capacities: BTreeMap::from([(1, capacity)]),
        ends: BTreeMap::new(),
        oldest: 1,
        end,
        durable: Position::new(1, 0),
        sequence: 1,
        generation: 0,
        leftover: Vec::new(),
        cut: false,
        unhinted: Vec::new(),
    })
}

/// Makes the log's end durable and raises the generation, which has to be durable before anything
/// is served: epochs of a generation that may be forgotten must never be handed out.
fn raise_generation(
    disk: &dyn Disk,
    found: &mut Found,
    generation: u32,
    now: Now,
    segment_bytes: u32,
) -> std::io::Result<Tail> {
    rewrite_tail(disk, found)?;
    let segment = found.end.segment();
    let resume = Resume {
        generation,
        sequence: found.sequence,
        end: found.end,
        capacity: found.capacities.get(&segment).copied().unwrap_or(0) & !7,
        oldest: found.oldest,
    };
    let mut tail = Tail::new(resume);
    let mut spare = None;
    if !tail.has_room(0) {
        let (name, bytes) = spare_file(disk, segment_bytes)?;
        tail.set_spare(Some(bytes));
        spare = Some((name, bytes));
    }
    tail.push(&Record::Opened, &[], now.wall, 0);
    let (chunks, end) = tail.take();
    for chunk in chunks {
        match (chunk, &spare) {
            (Chunk::Write { segment, offset, mut bytes }, _) => {
                FrameHeader::sign(&mut bytes);
                if let Some(file) = found.files.get(&segment) {
                    file.write_at(&bytes, u64::from(offset))?;
                    file.sync()?;
                }
            }
            (Chunk::Begin { header }, Some((name, bytes))) => {
                let to = segment_name(header.segment);
                disk.sync_names()?;
                disk.rename(name, &to)?;
                let file = disk.open(&to)?;
                file.write_at(&header.encode(), 0)?;
                found.capacities.insert(header.segment, *bytes);
                found.files.insert(header.segment, file);
            }
            (Chunk::Begin { .. } | Chunk::Seal { .. }, _) => {}
        }
    }
    disk.sync_names()?;
    tail.set_durable(end);
    Ok(tail)
}

/// A file for a segment that has to begin before anything is served.
fn spare_file(disk: &dyn Disk, segment_bytes: u32) -> std::io::Result<(String, u32)> {
    let names = disk.list()?;
    if let Some(name) = names.into_iter().find(|name| name.starts_with(SPARE)) {
        let file = disk.open(&name)?;
        file.extend(u64::from(segment_bytes))?;
        let bytes = u32::try_from(file.size()?).unwrap_or(segment_bytes);
        return Ok((name, bytes & !7));
    }
    let name = format!("{SPARE}{:010}", 0);
    disk.create(&name, u64::from(segment_bytes))?;
    Ok((name, segment_bytes))
}

/// Segments that hold nothing that is needed become spare files.
fn use_leftovers(disk: &dyn Disk, found: &Found) -> std::io::Result<()> {
    for number in &found.leftover {
        hint::remove(disk, *number)?;
        disk.rename(&segment_name(*number), &format!("{SPARE}{number:010}"))?;
    }
    Ok(())
}
