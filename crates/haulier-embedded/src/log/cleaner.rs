//! The cleaner: the log is a ring, and only its oldest segment is ever given back. What still lives
//! in it is copied to the end, so that an acknowledgement always outlives the record that it ends,
//! and no task can rise from the dead.
//!
//! It works in small steps between commits. A segment goes in three: its tasks are copied; when the
//! copies are durable, that is written; and when that is durable, the file is used again.

use bytes::Bytes;

use haulier_core::{TaskId, probe};

use crate::codec::wide;
use crate::engine::{Engine, Now};
use crate::error::Fatal;
use crate::log::frame::{self, FRAME_HEADER, FrameHeader, SEGMENT_HEADER};
use crate::log::{Log, read_part};
use crate::place::{Extent, Position};
use crate::record::{ACCEPTED, Record, SNAPSHOT};

/// Segments that the log may have however little lives in it.
const SLACK: u64 = 3;
/// Bytes that one step copies, about.
const STEP_BYTES: u64 = 256 * 1024;

/// Tasks with where their definitions stand.
type Defined = Vec<(TaskId, Extent)>;

/// How far the cleaner has come with the oldest segment.
#[derive(Debug, Default)]
pub enum Cleaning {
    /// There is nothing to do.
    #[default]
    Idle,
    /// Its tasks are being copied.
    Copying {
        /// Where the next frame stands.
        offset: u32,
        /// Tasks of the frame before that are still to be copied.
        pending: Defined,
    },
    /// All is copied up to there.
    Copied {
        /// What has to be durable.
        upto: Position,
    },
    /// It is written that it is needed no more.
    Freed {
        /// What has to be durable.
        upto: Position,
    },
}

impl Log {
    fn oldest(&self) -> Option<u32> {
        self.capacities.first_key_value().map(|(number, _)| *number)
    }

    /// Whether the log is more than twice as long as what lives in it.
    fn should_clean(&self, engine: &Engine) -> bool {
        let slack = SLACK * u64::from(self.segment_bytes);
        let long = self.disk_bytes() > 2 * engine.live_bytes() + slack;
        let Some(oldest) = self.oldest() else { return false };
        let unneeded = engine.oldest_needed().is_none_or(|needed| oldest < needed);
        let sealed = oldest < self.tail.durable().segment();
        sealed && (long || (self.full && unneeded))
    }

    /// One step of cleaning. `true`: there is more to do at once.
    ///
    /// # Errors
    /// The oldest segment cannot be read, or the file system failed.
    pub fn clean(&mut self, now: Now, engine: &mut Engine) -> Result<bool, Fatal> {
        let Some(oldest) = self.oldest() else { return Ok(false) };
        match std::mem::take(&mut self.cleaning) {
            Cleaning::Idle if !self.should_clean(engine) => Ok(false),
            Cleaning::Idle => {
                self.cleaning = Cleaning::Copying { offset: SEGMENT_HEADER, pending: Vec::new() };
                Ok(true)
            }
            Cleaning::Copying { offset, pending } => {
                self.copy(now, engine, oldest, (offset, pending))
            }
            Cleaning::Copied { upto } if self.tail.durable() >= upto => {
                if !self.reserve(1_024)? {
                    self.cleaning = Cleaning::Copied { upto };
                    return Ok(false);
                }
                self.tail.set_oldest(oldest + 1);
                let record = Record::Freed { through: oldest };
                self.tail.push(&record, &[], now.wall, engine.last_order());
                self.cleaning = Cleaning::Freed { upto: self.tail.end() };
                Ok(false)
            }
            // Its file is used again only when nobody reads it.
            Cleaning::Freed { upto } if self.tail.durable() >= upto && !self.clerk.has(oldest) => {
                self.free(oldest)?;
                Ok(true)
            }
            waiting => {
                self.cleaning = waiting;
                Ok(false)
            }
        }
    }

    /// Whether the cleaner waits for something to become durable.
    pub const fn cleaner_waits(&self) -> bool {
        matches!(self.cleaning, Cleaning::Copied { .. } | Cleaning::Freed { .. })
    }

    fn copy(
        &mut self,
        now: Now,
        engine: &mut Engine,
        oldest: u32,
        (mut offset, mut pending): (u32, Defined),
    ) -> Result<bool, Fatal> {
        // Without a task that needs it, the segment need not be read.
        let needed =
            engine.oldest_needed() == Some(oldest) && !probe::planted("live-segment-freed");
        let mut copied = 0;
        while needed && copied < STEP_BYTES {
            if pending.is_empty() {
                let Some((next, found)) = self.candidates(oldest, offset)? else { break };
                (offset, pending) = (next, found);
            }
            while let Some((id, definition)) = pending.pop() {
                let Some(bytes) = self.move_one(now, engine, id, definition)? else {
                    pending.push((id, definition));
                    self.cleaning = Cleaning::Copying { offset, pending };
                    return Ok(false);
                };
                copied += bytes;
            }
        }
        if needed && copied >= STEP_BYTES {
            self.cleaning = Cleaning::Copying { offset, pending };
            return Ok(true);
        }
        if !self.reserve(engine.rest_bytes(oldest))? {
            self.cleaning = Cleaning::Copying { offset, pending };
            return Ok(false);
        }
        probe::failpoint("segment copied").map_err(|error| Fatal::Write(error.to_string()))?;
        engine.move_rest(now, oldest, &mut self.tail);
        self.cleaning = Cleaning::Copied { upto: self.tail.end() };
        Ok(true)
    }

    /// The tasks that a frame of the oldest segment defines, last first, and where the next frame
    /// is.
    fn candidates(&self, segment: u32, offset: u32) -> Result<Option<(u32, Defined)>, Fatal> {
        let end = self.ends.get(&segment).copied().unwrap_or(0);
        if offset >= end {
            return Ok(None);
        }
        let damaged = |why: &str| {
            let name = super::segment_name(segment);
            Fatal::Damaged(format!("{} at byte {offset}: {why}", self.disk.place(&name)))
        };
        let file = self.files.get(&segment).ok_or_else(|| damaged("it is not there"))?;
        let mut head = vec![0; wide(FRAME_HEADER)];
        let read = |bytes: &mut [u8]| file.read_at(bytes, u64::from(offset));
        read(&mut head).map_err(|error| damaged(&error.to_string()))?;
        let len = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        if len > end - offset {
            return Err(damaged("a record that was durable does not hold"));
        }
        let mut bytes = vec![0; wide(FRAME_HEADER + len)];
        read(&mut bytes).map_err(|error| damaged(&error.to_string()))?;
        let (header, records) = FrameHeader::read(&bytes)
            .ok_or_else(|| damaged("a record that was durable does not hold"))?;
        let mut found = Vec::new();
        for raw in frame::records(records, offset + FRAME_HEADER) {
            let raw = raw.map_err(|error| damaged(&error.to_string()))?;
            if !matches!(raw.kind, ACCEPTED | SNAPSHOT) {
                continue;
            }
            let parts = raw.parts(segment).map_err(|error| damaged(&error.to_string()))?;
            if let (Some(id), Some(part)) = (raw.meta.first_chunk(), parts.first()) {
                found.push((TaskId::from_bytes(*id), *part));
            }
        }
        found.reverse();
        Ok(Some((offset + header.stride(), found)))
    }

    /// Copies one task if it stands there; the bytes that this took. `None`: not yet, a part of it
    /// is still to be written, or there is no room.
    fn move_one(
        &mut self,
        now: Now,
        engine: &mut Engine,
        id: TaskId,
        definition: Extent,
    ) -> Result<Option<u64>, Fatal> {
        let Some(parts) = engine.parts_of(id, definition) else { return Ok(Some(0)) };
        if parts.iter().any(|part| part.position() >= self.tail.durable()) {
            return Ok(None);
        }
        let bytes: Vec<Bytes> = parts
            .iter()
            .map(|part| read_part(&self.files, *part))
            .collect::<Result<_, _>>()
            .map_err(|error| Fatal::Damaged(error.to_string()))?;
        let total: u64 = bytes.iter().map(|part| part.len() as u64).sum();
        // On a full disk half of the open segment is left to what makes room.
        let left = if self.full { u64::from(self.segment_bytes) / 2 } else { 0 };
        if !self.reserve(total + 16 * 1024 + left)? {
            return Ok(None);
        }
        probe::sometimes("record moved by the cleaner");
        engine.move_task(now, id, &bytes, &mut self.tail);
        Ok(Some(total + 128))
    }
}
