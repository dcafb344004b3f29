//! The end of the log, in memory: records are gathered into frames until the writer takes them. It
//! decides where everything stands, so that the engine can remember places that are not written
//! yet. It knows no file.

use std::time::Duration;

use haulier_core::{Kind, Priority, QueueName, Timestamp, WorkerId};

use crate::codec::{narrow, wide};
use crate::engine::Holder;
use crate::log::frame::{self, FRAME_HEADER, FrameHeader, Part, SEGMENT_HEADER, SegmentHeader};
use crate::place::{Extent, Position};
use crate::record::Record;

/// Records beyond this many bytes go to the next frame, so that damage and buffers stay small.
const FRAME_BYTES: usize = 1024 * 1024;
/// Buffers that are kept for frames to come.
const SPENT_MAX: usize = 8;

/// What the writer has to do, in this order.
#[derive(Debug)]
pub enum Chunk {
    /// Write a frame that is still to be signed.
    Write {
        /// In this segment.
        segment: u32,
        /// At this offset.
        offset: u32,
        /// These.
        bytes: Vec<u8>,
    },
    /// The segment is full.
    Seal {
        /// Which.
        segment: u32,
        /// Where it ends.
        end: u32,
    },
    /// Begin a segment on the spare file.
    Begin {
        /// Its header.
        header: SegmentHeader,
    },
}

/// Where a record was put.
#[derive(Debug, Clone, Copy)]
pub struct Placed {
    segment: u32,
    at: u32,
    parts_at: u32,
    first_len: Option<u32>,
}

impl Placed {
    /// Where the record begins.
    pub const fn position(&self) -> Position {
        Position::new(self.segment, self.at)
    }

    /// Its first part.
    pub fn part(&self) -> Option<Extent> {
        let len = self.first_len?;
        Some(Extent { segment: self.segment, offset: self.parts_at, len })
    }

    /// All of its parts, which have these lengths.
    pub fn parts(&self, lens: impl Iterator<Item = usize>) -> Vec<Extent> {
        let mut offset = self.parts_at;
        let place = |len: usize| {
            let extent = Extent { segment: self.segment, offset, len: narrow(len) };
            offset += 4 + extent.len;
            extent
        };
        lens.map(place).collect()
    }
}

/// What the records of a frame share.
#[derive(Debug, Default)]
struct Shared {
    now: Option<Timestamp>,
    line: Option<(QueueName, Kind, Priority)>,
    holder: Option<(WorkerId, Duration)>,
}

/// The end of the log.
#[derive(Debug)]
pub struct Tail {
    generation: u32,
    sequence: u64,
    durable: Position,
    oldest: u32,
    segment: u32,
    capacity: u32,
    /// Room on the file that the next segment will stand on.
    spare: Option<u32>,
    frame_at: u32,
    frame: Vec<u8>,
    shared: Shared,
    wanted: Shared,
    chunks: Vec<Chunk>,
    /// Buffers for frames to come.
    spent: Vec<Vec<u8>>,
    meta: Vec<u8>,
    scratch: Vec<u8>,
}

/// Where a log goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume {
    /// The generation that writes from now on.
    pub generation: u32,
    /// The sequence number of the next frame.
    pub sequence: u64,
    /// Where the next frame begins.
    pub end: Position,
    /// How many bytes the segment has.
    pub capacity: u32,
    /// The oldest segment that is needed.
    pub oldest: u32,
}

impl Tail {
    /// The end of a log that goes on there. Everything before is durable.
    pub fn new(resume: Resume) -> Self {
        let mut tail = Self {
            generation: resume.generation,
            sequence: resume.sequence,
            durable: resume.end,
            oldest: resume.oldest,
            segment: resume.end.segment(),
            capacity: resume.capacity,
            spare: None,
            frame_at: resume.end.offset(),
            frame: Vec::new(),
            shared: Shared::default(),
            wanted: Shared::default(),
            chunks: Vec::new(),
            spent: Vec::new(),
            meta: Vec::new(),
            scratch: Vec::new(),
        };
        tail.begin_frame();
        tail
    }

    /// Everything before this is durable.
    pub fn set_durable(&mut self, durable: Position) {
        self.durable = durable;
    }

    /// Everything before this is durable.
    pub const fn durable(&self) -> Position {
        self.durable
    }

    /// A file of that size stands ready for the next segment.
    pub fn set_spare(&mut self, bytes: Option<u32>) {
        self.spare = bytes;
    }

    /// Segments before this one are needed no more.
    pub fn set_oldest(&mut self, oldest: u32) {
        self.oldest = oldest;
    }

    /// The segment that is being written.
    pub const fn segment(&self) -> u32 {
        self.segment
    }

    /// The position behind the last record.
    pub fn end(&self) -> Position {
        let gathered = if self.has_records() { narrow(self.frame.len()) } else { 0 };
        Position::new(self.segment, self.frame_at + gathered)
    }

    /// Whether that many bytes of records can still be placed, the spare file included.
    pub fn has_room(&self, bytes: u64) -> bool {
        let with_frames = bytes + bytes / 1_024 + 4_096;
        let used = self.frame_at + narrow(self.frame.len());
        let left = u64::from(self.capacity.saturating_sub(used));
        let spare = u64::from(self.spare.unwrap_or(0).saturating_sub(SEGMENT_HEADER));
        with_frames <= left || with_frames <= spare
    }

    /// Whether anything waits to be written.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty() && !self.has_records()
    }

    /// Takes buffers back that were written, to be filled again.
    pub fn reuse(&mut self, spent: Vec<Vec<u8>>) {
        for mut buffer in spent {
            if self.spent.len() < SPENT_MAX && buffer.capacity() <= 2 * FRAME_BYTES {
                buffer.clear();
                self.spent.push(buffer);
            }
        }
    }

    /// Bytes that wait to be written, about.
    pub fn waiting_bytes(&self) -> usize {
        self.frame.len() + self.chunks.len() * FRAME_BYTES
    }

    fn has_records(&self) -> bool {
        self.frame.len() > wide(FRAME_HEADER)
    }

    /// Takes everything that waits, with the position behind it.
    pub fn take(&mut self) -> (Vec<Chunk>, Position) {
        self.end_frame();
        (std::mem::take(&mut self.chunks), Position::new(self.segment, self.frame_at))
    }

    /// An empty buffer for a part; give it back after use.
    pub fn scratch(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.scratch)
    }

    /// Takes a buffer back.
    pub fn give_back(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        self.scratch = buffer;
    }

    /// The tasks that are pushed next stand in this line.
    pub fn stand_in(&mut self, queue: &QueueName, kind: &Kind, priority: Priority) {
        let same = self.wanted.line.as_ref().is_some_and(|(was_queue, was_kind, was)| {
            was_queue == queue && was_kind == kind && *was == priority
        });
        if !same {
            self.wanted.line = Some((queue.clone(), kind.clone(), priority));
        }
    }

    /// The leases that are pushed next are this worker's.
    pub fn hold(&mut self, holder: &Holder) {
        let same = self
            .wanted
            .holder
            .as_ref()
            .is_some_and(|(worker, ttl)| *worker == holder.worker && *ttl == holder.ttl);
        if !same {
            self.wanted.holder = Some((holder.worker.clone(), holder.ttl));
        }
    }

    /// Puts a record at the end. `order` is the place in a line that was given last.
    ///
    /// # Panics
    /// If nobody made sure that there is room ([`Tail::has_room`]).
    pub fn push(
        &mut self,
        record: &Record,
        parts: &[Part<'_>],
        now: Timestamp,
        order: u64,
    ) -> Placed {
        let mark = self.frame.len();
        let mut placed = self.append(record, parts, now, order);
        if self.frame_at + narrow(self.frame.len()) > self.capacity {
            self.frame.truncate(mark);
            self.roll();
            placed = self.append(record, parts, now, order);
            let end = self.frame_at + narrow(self.frame.len());
            assert!(end <= self.capacity, "room was made for {end} bytes");
        }
        if self.frame.len() >= FRAME_BYTES {
            self.end_frame();
        }
        placed
    }

    fn append(
        &mut self,
        record: &Record,
        parts: &[Part<'_>],
        now: Timestamp,
        order: u64,
    ) -> Placed {
        if self.shared.now != Some(now) {
            self.put(&Record::Time { now, order }, &[], now);
            self.shared.now = Some(now);
        }
        let lined = matches!(record, Record::Accepted(_) | Record::Snapshot(_));
        if lined
            && self.shared.line != self.wanted.line
            && let Some((queue, kind, priority)) = self.wanted.line.clone()
        {
            let (queue, kind) = (queue.to_string(), kind.to_string());
            self.put(&Record::Line { queue, kind, priority }, &[], now);
            self.shared.line.clone_from(&self.wanted.line);
        }
        if record.is_lease()
            && self.shared.holder != self.wanted.holder
            && let Some((worker, ttl)) = self.wanted.holder.clone()
        {
            self.put(&Record::Holder { worker: worker.to_string(), ttl }, &[], now);
            self.shared.holder.clone_from(&self.wanted.holder);
        }
        self.put(record, parts, now)
    }

    fn put(&mut self, record: &Record, parts: &[Part<'_>], now: Timestamp) -> Placed {
        self.meta.clear();
        record.encode(now, &mut self.meta);
        let at = self.frame_at + narrow(self.frame.len());
        let parts_at = frame::put_record(&mut self.frame, record.kind(), &self.meta, parts);
        let parts_at = self.frame_at + narrow(parts_at);
        let first_len = parts.first().map(|part| narrow(part.len()));
        Placed { segment: self.segment, at, parts_at, first_len }
    }

    fn begin_frame(&mut self) {
        self.frame.resize(wide(FRAME_HEADER), 0);
        self.shared = Shared::default();
    }

    fn end_frame(&mut self) {
        if !self.has_records() {
            return;
        }
        let mut bytes = std::mem::replace(&mut self.frame, self.spent.pop().unwrap_or_default());
        FrameHeader::seal(self.generation, self.sequence, self.durable, &mut bytes);
        self.sequence += 1;
        let (segment, offset) = (self.segment, self.frame_at);
        self.frame_at += narrow(bytes.len());
        self.chunks.push(Chunk::Write { segment, offset, bytes });
        self.begin_frame();
    }

    /// Goes on in the next segment.
    fn roll(&mut self) {
        self.end_frame();
        self.chunks.push(Chunk::Seal { segment: self.segment, end: self.frame_at });
        let previous_end = self.frame_at;
        self.segment += 1;
        self.capacity = self.spare.take().unwrap_or(0);
        self.frame_at = SEGMENT_HEADER;
        self.begin_frame();
        let header = SegmentHeader {
            segment: self.segment,
            generation: self.generation,
            first_sequence: self.sequence,
            previous_end,
            oldest: self.oldest,
        };
        self.chunks.push(Chunk::Begin { header });
    }
}
