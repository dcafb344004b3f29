//! The log: one sequence of records for all queues, on segment files of one size that are
//! preallocated and used again.
//!
//! | where | what |
//! |---|---|
//! | [`tail`] | the end of the log, in memory |
//! | [`frame`] | the outer forms: segment header, frame, raw record |
//! | [`writer`] | the thread that writes and syncs |
//! | [`reader`] | reading parts back |
//! | [`recover`] | opening: where the log ends, and what was cut |
//! | [`cleaner`] | giving the oldest segment back |
//! | [`hint`], [`clerk`] | a sealed segment without its payloads, and who writes it |
//! | [`pin`] | the durable log of one moment, held for a backup |
//!
//! One file stands ready for the next segment at all times. It is the reserve: when it cannot be
//! made because the disk is full, new tasks are refused, while settling, cancelling and deleting go
//! on in the segment that is open; it comes back with the first segment that is freed, or with
//! room.

pub mod cleaner;
pub mod clerk;
pub mod frame;
pub mod hint;
pub mod pieces;
pub mod pin;
pub mod reader;
pub mod recover;
mod tail;
pub mod writer;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use haulier_core::probe::{failpoint, sometimes};

pub use frame::Part;
pub use reader::{Files, Unreadable, read_part};
pub use tail::{Chunk, Resume, Tail};

use crate::codec::narrow;
use crate::disk::{Disk, DiskFile};
use crate::error::Fatal;
use crate::log::clerk::Clerk;
use crate::log::writer::{Job, Step, Writer};
use crate::place::Position;

/// The name of a segment's file.
pub fn segment_name(number: u32) -> String {
    format!("{number:010}.segment")
}

/// The number in a segment's name.
pub fn segment_number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".segment").filter(|digits| digits.len() == 10)?;
    digits.parse().ok()
}

/// How the names of files that wait to become segments begin.
pub const SPARE: &str = "spare-";
/// Sealed segments that may go without a hint.
const UNHINTED_MAX: usize = 4;
/// Most files that wait to become segments; the rest is given back to the disk.
const SPARES_MAX: usize = 2;

/// A file that waits to become a segment.
#[derive(Debug)]
struct Spare {
    name: String,
    file: Arc<dyn DiskFile>,
    bytes: u32,
}

/// The log of an open store.
#[derive(Debug)]
pub struct Log {
    disk: Arc<dyn Disk>,
    /// The end of it, where the engine puts its records.
    pub tail: Tail,
    files: Arc<Files>,
    capacities: BTreeMap<u32, u32>,
    /// Where each sealed segment ends.
    ends: BTreeMap<u32, u32>,
    spares: VecDeque<Spare>,
    spare_count: u64,
    /// Spares that became segments in memory, and not yet on the disk.
    opening: VecDeque<Spare>,
    /// The segment that `opening` and `files` know of.
    newest: u32,
    segment_bytes: u32,
    writer: Writer,
    /// A job is with the writer.
    busy: bool,
    full: bool,
    /// Sealed segments without a hint, oldest first.
    unhinted: VecDeque<u32>,
    clerk: Clerk,
    cleaning: cleaner::Cleaning,
}

/// What a log is made of when it is opened.
#[derive(Debug)]
pub struct LogParts {
    /// The directory.
    pub disk: Arc<dyn Disk>,
    /// The segments' files.
    pub files: Files,
    /// How many bytes each has.
    pub capacities: BTreeMap<u32, u32>,
    /// Where each sealed one ends.
    pub ends: BTreeMap<u32, u32>,
    /// Where it goes on.
    pub tail: Tail,
    /// Sealed segments without a hint, oldest first.
    pub unhinted: VecDeque<u32>,
    /// Who writes hints.
    pub clerk: Clerk,
    /// How large new segments are.
    pub segment_bytes: u32,
    /// The thread that writes.
    pub writer: Writer,
}

impl Log {
    /// A log that was opened.
    ///
    /// # Errors
    /// The file system refused to open the spare files.
    pub fn new(parts: LogParts) -> io::Result<Self> {
        let mut log = Self {
            newest: parts.tail.segment(),
            disk: parts.disk,
            tail: parts.tail,
            files: Arc::new(parts.files),
            capacities: parts.capacities,
            ends: parts.ends,
            spares: VecDeque::new(),
            spare_count: 0,
            opening: VecDeque::new(),
            segment_bytes: parts.segment_bytes,
            writer: parts.writer,
            busy: false,
            full: false,
            unhinted: parts.unhinted,
            clerk: parts.clerk,
            cleaning: cleaner::Cleaning::default(),
        };
        for name in log.disk.list()? {
            let Some(number) = name.strip_prefix(SPARE) else { continue };
            log.spare_count = log.spare_count.max(number.parse().unwrap_or(0));
            let file = log.disk.open(&name)?;
            let bytes = u32::try_from(file.size()?).unwrap_or(0) & !7;
            if bytes == log.segment_bytes && log.spares.len() < SPARES_MAX {
                log.spares.push_back(Spare { name, file, bytes });
            } else {
                log.disk.remove(&name)?;
            }
        }
        Ok(log)
    }

    /// The segments' files as they are now.
    pub fn files(&self) -> Arc<Files> {
        Arc::clone(&self.files)
    }

    /// Whether the disk is full: the reserve could not be made.
    pub const fn is_full(&self) -> bool {
        self.full
    }

    /// Bytes on the disk.
    pub fn disk_bytes(&self) -> u64 {
        self.capacities.values().map(|bytes| u64::from(*bytes)).sum()
    }

    /// Makes sure that records of that many bytes can be placed. `false`: the disk is full.
    ///
    /// # Errors
    /// The file system failed in another way.
    pub fn reserve(&mut self, bytes: u64) -> Result<bool, Fatal> {
        self.notice_rolls();
        if self.tail.has_room(bytes) {
            if self.keep_spare()? {
                return Ok(true);
            }
            sometimes("ballast used");
            return Ok(self.tail.has_room(bytes));
        }
        if !self.keep_spare()? {
            return Ok(false);
        }
        if self.tail.has_room(bytes) {
            return Ok(true);
        }
        // Larger than a segment: the next one is made as large as it takes.
        let large = bytes + bytes / 256 + 16_384;
        let Ok(large) = u32::try_from(large.next_multiple_of(4_096)) else { return Ok(false) };
        let Some(spare) = self.spares.front_mut() else { return Ok(false) };
        match spare.file.extend(u64::from(large)) {
            Ok(()) => spare.bytes = large,
            Err(error) if is_full(&error) => return Ok(false),
            Err(error) => return Err(Fatal::Write(error.to_string())),
        }
        self.tail.set_spare(Some(large));
        Ok(self.tail.has_room(bytes))
    }

    /// Registers segments that records have flowed into since the last look.
    fn notice_rolls(&mut self) {
        while self.newest < self.tail.segment() {
            let Some(spare) = self.spares.pop_front() else { break };
            self.newest += 1;
            Arc::make_mut(&mut self.files).insert(self.newest, Arc::clone(&spare.file));
            self.capacities.insert(self.newest, spare.bytes);
            self.opening.push_back(spare);
            self.tail.set_spare(None);
        }
    }

    /// Keeps a file ready for the next segment. `false`: the disk is full.
    ///
    /// # Errors
    /// The file system failed in another way.
    pub fn keep_spare(&mut self) -> Result<bool, Fatal> {
        self.notice_rolls();
        if self.spares.is_empty() {
            self.spare_count += 1;
            let name = format!("{SPARE}{:010}", self.spare_count);
            match self.disk.create(&name, u64::from(self.segment_bytes)) {
                Ok(file) => {
                    self.spares.push_back(Spare { name, file, bytes: self.segment_bytes });
                }
                Err(error) if is_full(&error) => {
                    if !std::mem::replace(&mut self.full, true) {
                        tracing::error!("the disk is full: new tasks are refused");
                    }
                    return Ok(false);
                }
                Err(error) => return Err(Fatal::Write(error.to_string())),
            }
        }
        if std::mem::take(&mut self.full) {
            tracing::info!("the disk has room again: new tasks are accepted");
        }
        self.tail.set_spare(self.spares.front().map(|spare| spare.bytes));
        Ok(true)
    }

    /// Hands what was gathered to the writer, if it is free.
    pub fn flush(&mut self, sync: bool) {
        self.notice_rolls();
        let unsynced = sync && self.tail.end() > self.tail.durable();
        if self.busy || (self.tail.is_empty() && !unsynced) {
            return;
        }
        let (chunks, end) = self.tail.take();
        let steps = chunks.into_iter().filter_map(|chunk| self.step(chunk)).collect();
        self.busy = true;
        self.writer.hand_over(Job { steps, sync, end });
    }

    fn step(&mut self, chunk: Chunk) -> Option<Step> {
        match chunk {
            Chunk::Write { segment, offset, bytes } => {
                let file = Arc::clone(self.files.get(&segment)?);
                Some(Step::Write { file, offset: u64::from(offset), bytes })
            }
            Chunk::Begin { header } => {
                let spare = self.opening.pop_front()?;
                let to = segment_name(header.segment);
                let header = header.encode();
                Some(Step::Begin { file: spare.file, from: spare.name, to, header })
            }
            Chunk::Seal { segment, end } => {
                self.ends.insert(segment, end);
                self.unhinted.push_back(segment);
                None
            }
        }
    }

    /// The writer is free again; everything up to `durable` is durable, if it says so.
    pub fn written(&mut self, durable: Option<Position>, spent: Vec<Vec<u8>>) {
        self.busy = false;
        self.tail.reuse(spent);
        if let Some(durable) = durable {
            self.tail.set_durable(durable);
        }
    }

    /// Has hints written of sealed segments. The newest go without: many are freed before a start
    /// could read them, and those that are not are few.
    pub fn keep_hints(&mut self) {
        if self.unhinted.len() <= UNHINTED_MAX || self.clerk.is_busy() {
            return;
        }
        // A hint says that its segment holds, so that has to be durable first.
        let durable = self.tail.durable().segment();
        if self.unhinted.front().is_none_or(|segment| *segment >= durable) {
            return;
        }
        let Some(segment) = self.unhinted.pop_front() else { return };
        if let (Some(file), Some(end)) = (self.files.get(&segment), self.ends.get(&segment)) {
            self.clerk.begin(&self.disk, segment, Arc::clone(file), *end);
        }
    }

    /// Writes the hints that are missing, so that the next start is quick.
    pub fn finish_hints(&mut self) {
        for segment in std::mem::take(&mut self.unhinted) {
            if let (Some(file), Some(end)) = (self.files.get(&segment), self.ends.get(&segment)) {
                self.clerk.write(&*self.disk, segment, &**file, *end);
            }
        }
    }

    /// Whether the writer has a job.
    pub const fn is_busy(&self) -> bool {
        self.busy
    }

    /// A segment is needed no more: its file is used again, unless somebody still reads it.
    fn free(&mut self, number: u32) -> Result<(), Fatal> {
        let fatal = |error: io::Error| Fatal::Write(error.to_string());
        let bytes = self.capacities.remove(&number).unwrap_or(0);
        self.ends.remove(&number);
        self.unhinted.retain(|unhinted| *unhinted != number);
        let Some(file) = Arc::make_mut(&mut self.files).remove(&number) else { return Ok(()) };
        failpoint("before segment is freed").map_err(fatal)?;
        hint::remove(&*self.disk, number).map_err(fatal)?;
        let unread = Arc::strong_count(&file) == 1;
        if unread && bytes == self.segment_bytes && self.spares.len() < SPARES_MAX {
            self.spare_count += 1;
            let name = format!("{SPARE}{:010}", self.spare_count);
            self.disk.rename(&segment_name(number), &name).map_err(fatal)?;
            sometimes("recycled segment");
            self.spares.push_back(Spare { name, file, bytes });
            self.keep_spare()?;
        } else {
            self.disk.remove(&segment_name(number)).map_err(fatal)?;
        }
        failpoint("after segment is freed").map_err(fatal)
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The size of a segment as it is made: whole pages.
pub fn segment_size(bytes: usize) -> u32 {
    narrow(bytes).next_multiple_of(4_096)
}
