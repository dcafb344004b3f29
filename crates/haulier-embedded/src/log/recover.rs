//! Opening a log: which segments belong to it, where it ends, and what it says.
//!
//! The damage rule: the first frame that does not hold, at X, is the tail of a crash and is cut,
//! unless a good frame anywhere behind it witnesses that the log was durable beyond X. Then
//! something that was acknowledged is gone: nothing is changed, and the store does not start.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use haulier_core::{Timestamp, probe};

use crate::codec::wide;
use crate::disk::{Disk, DiskFile};
use crate::engine::{Context, Engine};
use crate::error::OpenError;
use crate::log::frame::{
    self, FORMAT, FrameHeader, HeaderError, RawRecord, SEGMENT_HEADER, SegmentHeader,
};
use crate::log::hint::{self, HintHead};
use crate::log::{Files, segment_name, segment_number};
use crate::place::Position;
use crate::record::Record;

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// The segments that the log stands on.
    pub files: Files,
    /// How many bytes each has.
    pub capacities: BTreeMap<u32, u32>,
    /// Where each ends.
    pub ends: BTreeMap<u32, u32>,
    /// The oldest of them.
    pub oldest: u32,
    /// Where it ends.
    pub end: Position,
    /// How much of it is surely durable.
    pub durable: Position,
    /// The sequence number of the next frame.
    pub sequence: u64,
    /// The generation that wrote last.
    pub generation: u32,
    /// Segment files that do not belong to it: older than what is needed, or behind its end.
    pub leftover: Vec<u32>,
    /// Whether something was cut.
    pub cut: bool,
    /// Segments that were read whole, without a hint.
    pub unhinted: Vec<u32>,
}

/// A segment's file while its place in the log is not known.
struct Candidate {
    file: Arc<dyn DiskFile>,
    len: u32,
    header: Option<SegmentHeader>,
}

/// Who hears the records of a log. A start feeds the engine; a check feeds more.
pub trait Hear {
    /// One record, in the log's order.
    ///
    /// # Errors
    /// Why it cannot be: damage that checksums did not show.
    fn hear(&mut self, segment: u32, raw: &RawRecord<'_>) -> Result<(), String>;
}

/// Feeds the engine.
pub struct Replay<'a> {
    /// What is fed.
    pub engine: &'a mut Engine,
    /// What the records share.
    pub context: Context,
}

impl Hear for Replay<'_> {
    fn hear(&mut self, segment: u32, raw: &RawRecord<'_>) -> Result<(), String> {
        let record = Record::decode(raw.kind, raw.meta, self.context.now());
        let replayed = record.and_then(|record| {
            let parts = raw.parts(segment)?;
            let at = Position::new(segment, raw.at);
            self.engine.replay(&mut self.context, record, at, &parts)
        });
        replayed.map_err(|malformed| malformed.to_string())
    }
}

/// Reads a directory's log from its oldest needed segment to its end. `None`: there is none.
///
/// # Errors
/// It is damaged, newer, or cannot be read.
pub fn recover(disk: &dyn Disk, ear: &mut dyn Hear) -> Result<Option<Found>, OpenError> {
    let candidates = candidates(disk)?;
    let Some(oldest) = oldest_needed(disk, &candidates)? else { return Ok(None) };
    let mut walk = Walk {
        disk,
        candidates: &candidates,
        found: Found {
            files: Files::new(),
            capacities: BTreeMap::new(),
            ends: BTreeMap::new(),
            oldest,
            end: Position::new(oldest, 0),
            durable: Position::default(),
            sequence: 0,
            generation: 0,
            leftover: Vec::new(),
            cut: false,
            unhinted: Vec::new(),
        },
    };
    let mut number = oldest;
    while walk.take_segment(number, ear)? {
        number += 1;
    }
    walk.finish().map(Some)
}

fn candidates(disk: &dyn Disk) -> Result<BTreeMap<u32, Candidate>, OpenError> {
    let names = disk.list().map_err(OpenError::io("the directory cannot be read"))?;
    let mut candidates = BTreeMap::new();
    for number in names.iter().filter_map(|name| segment_number(name)) {
        let name = segment_name(number);
        let unreadable = || OpenError::io(format!("{} cannot be read", disk.place(&name)));
        let file = disk.open(&name).map_err(unreadable())?;
        let len = file.size().map_err(unreadable())?;
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let mut bytes = vec![0; wide(SEGMENT_HEADER.min(len))];
        file.read_at(&mut bytes, 0).map_err(unreadable())?;
        let header = match SegmentHeader::decode(&bytes) {
            Ok(header) => Some(header).filter(|header| header.segment == number),
            Err(HeaderError::Damaged) => None,
            Err(HeaderError::Newer(found)) => {
                let file = disk.place(&name);
                return Err(OpenError::NewerFormat { file, found, known: FORMAT });
            }
        };
        candidates.insert(number, Candidate { file, len, header });
    }
    Ok(candidates)
}

fn load(disk: &dyn Disk, number: u32, candidate: &Candidate) -> Result<Vec<u8>, OpenError> {
    let mut bytes = vec![0; wide(candidate.len)];
    let what = || format!("{} cannot be read", disk.place(&segment_name(number)));
    candidate.file.read_at(&mut bytes, 0).map_err(OpenError::io(what()))?;
    Ok(bytes)
}

/// The oldest segment that is needed: headers say it, and what was freed since the last one was
/// written stands in the last segment. Both are written only after everything needed was durable
/// elsewhere.
fn oldest_needed(
    disk: &dyn Disk,
    candidates: &BTreeMap<u32, Candidate>,
) -> Result<Option<u32>, OpenError> {
    let headers = candidates.values().filter_map(|candidate| candidate.header);
    let by_header = headers.map(|header| header.oldest).max();
    let last = candidates.iter().rev().find(|(_, candidate)| candidate.header.is_some());
    let (Some(mut oldest), Some((number, last))) = (by_header, last) else {
        // No segment has a sound header. A first start that went down leaves an empty file;
        // anything else was a log.
        let Some((number, first)) = candidates.iter().next() else { return Ok(None) };
        for (number, candidate) in candidates {
            let bytes = load(disk, *number, candidate)?;
            if frames_anywhere(&bytes, 0).next().is_some() {
                let file = disk.place(&segment_name(*number));
                let why = "the segment's header does not hold, and records follow it".to_owned();
                return Err(OpenError::Damaged { file, offset: 0, why });
            }
        }
        let empty = *number == 1 && candidates.len() == 1;
        return if empty {
            Ok(None)
        } else {
            let file = disk.place(&segment_name(*number));
            let why = format!("no header of a segment holds ({} bytes)", first.len);
            Err(OpenError::Damaged { file, offset: 0, why })
        };
    };
    let bytes = load(disk, *number, last)?;
    for (_, _, records) in frames_anywhere(&bytes, wide(SEGMENT_HEADER)) {
        for raw in frame::records(records, 0).map_while(Result::ok) {
            if let Ok(Record::Freed { through }) =
                Record::decode(raw.kind, raw.meta, Timestamp::default())
            {
                // A frame that an earlier use of the file left names segments that are long gone.
                oldest = oldest.max(through + 1);
            }
        }
    }
    Ok(Some(oldest))
}

/// Every good frame behind a place, whether or not one follows the other.
fn frames_anywhere(bytes: &[u8], from: usize) -> impl Iterator<Item = (usize, FrameHeader, &[u8])> {
    let mut at = from.next_multiple_of(8);
    std::iter::from_fn(move || {
        while at < bytes.len() {
            let here = at;
            if let Some((header, records)) = FrameHeader::read(&bytes[here..]) {
                at += wide(header.stride());
                return Some((here, header, records));
            }
            at += 8;
        }
        None
    })
}

/// The way through the log, segment by segment.
struct Walk<'a> {
    disk: &'a dyn Disk,
    candidates: &'a BTreeMap<u32, Candidate>,
    found: Found,
}

impl Walk<'_> {
    fn damaged(&self, at: Position, why: impl Into<String>) -> OpenError {
        OpenError::Damaged {
            file: self.disk.place(&segment_name(at.segment())),
            offset: u64::from(at.offset()),
            why: why.into(),
        }
    }

    /// The header of a segment if it goes on where the log ended so far.
    fn continuing(&self, number: u32) -> Option<SegmentHeader> {
        let header = self.candidates.get(&number)?.header?;
        let found = &self.found;
        let first = found.files.is_empty();
        let follows = header.first_sequence == found.sequence
            && header.previous_end == found.end.offset()
            && header.generation >= found.generation;
        (first || follows).then_some(header)
    }

    /// Reads one segment; `false` at the end of the log.
    fn take_segment(&mut self, number: u32, ear: &mut dyn Hear) -> Result<bool, OpenError> {
        let Some(header) = self.continuing(number) else {
            if self.found.files.is_empty() {
                let why = "the oldest segment that is needed is missing or has no sound header";
                return Err(self.damaged(Position::new(number, 0), why));
            }
            return Ok(false);
        };
        let candidate = &self.candidates[&number];
        self.found.files.insert(number, Arc::clone(&candidate.file));
        self.found.capacities.insert(number, candidate.len);
        self.found.sequence = header.first_sequence;
        self.found.generation = header.generation;
        self.found.end = Position::new(number, SEGMENT_HEADER);
        if let Some((head, body)) = self.hint_of(&header)? {
            self.take_hint(&head, &body, ear)?;
        } else {
            let bytes = load(self.disk, number, candidate)?;
            self.take_frames(number, &bytes, ear)?;
            self.found.unhinted.push(number);
        }
        self.found.ends.insert(number, self.found.end.offset());
        Ok(true)
    }

    /// A sound hint of a segment that was sealed: the next one goes on where the hint says.
    fn hint_of(&self, header: &SegmentHeader) -> Result<Option<(HintHead, Vec<u8>)>, OpenError> {
        let next = self.candidates.get(&(header.segment + 1)).and_then(|next| next.header);
        let Some(next) = next else { return Ok(None) };
        let hint = hint::read(self.disk, header)
            .map_err(|error| OpenError::io(self.disk.place(&hint::name(header.segment)))(error))?;
        Ok(hint.filter(|(head, _)| {
            head.next_sequence == next.first_sequence && head.end == next.previous_end
        }))
    }

    fn take_hint(
        &mut self,
        head: &HintHead,
        body: &[u8],
        ear: &mut dyn Hear,
    ) -> Result<(), OpenError> {
        for raw in frame::hinted(body) {
            let heard = raw.map_err(|error| error.to_string());
            let heard = heard.and_then(|raw| ear.hear(head.segment, &raw));
            heard.map_err(|why| self.damaged(Position::new(head.segment, 0), why))?;
        }
        self.found.sequence = head.next_sequence;
        self.found.generation = head.generation;
        self.found.end = Position::new(head.segment, head.end);
        self.found.durable = self.found.durable.max(head.durable_upto);
        Ok(())
    }

    fn take_frames(
        &mut self,
        number: u32,
        bytes: &[u8],
        ear: &mut dyn Hear,
    ) -> Result<(), OpenError> {
        loop {
            let at = self.found.end.offset();
            let rest = bytes.get(wide(at)..).unwrap_or_default();
            let Some((header, records)) = FrameHeader::read(rest) else { return Ok(()) };
            let old =
                header.sequence != self.found.sequence || header.generation < self.found.generation;
            if old && !probe::planted("old-segment-replayed") {
                return Ok(());
            }
            for raw in frame::records(records, at + frame::FRAME_HEADER) {
                let raw = raw.map_err(|error| {
                    self.damaged(self.found.end, format!("a sound frame holds none: {error}"))
                })?;
                let place = Position::new(number, raw.at);
                ear.hear(number, &raw).map_err(|why| self.damaged(place, why))?;
            }
            self.found.sequence += 1;
            self.found.generation = header.generation;
            self.found.durable = self.found.durable.max(header.durable_upto);
            self.found.end = Position::new(number, at + header.stride());
        }
    }

    /// The log ends here: a crash's tail is cut, unless a witness stands behind it.
    fn finish(mut self) -> Result<Found, OpenError> {
        let end = self.found.end;
        if self.found.durable > end && !probe::planted("cut-in-the-middle") {
            return Err(self.damaged(end, "a record that was durable does not hold"));
        }
        for (number, candidate) in self.candidates.range(end.segment()..) {
            let from = if *number == end.segment() { wide(end.offset()) } else { 0 };
            let bytes = load(self.disk, *number, candidate)?;
            for (_, header, _) in frames_anywhere(&bytes, from) {
                if header.durable_upto > end && !probe::planted("cut-in-the-middle") {
                    return Err(self.damaged(end, "a record that was durable does not hold"));
                }
                self.found.cut |= header.sequence >= self.found.sequence;
                if header.sequence > self.found.sequence {
                    probe::sometimes("reordered tail");
                }
            }
        }
        let needed = self.found.oldest..=end.segment();
        let leftover = self.candidates.keys().filter(|number| !needed.contains(number));
        self.found.leftover = leftover.copied().collect();
        if self.found.cut {
            probe::sometimes("tail cut");
            tracing::warn!(at = %end, "unfinished writes of a crash are cut from the log's end");
        }
        Ok(self.found)
    }
}

/// Writes again what may not be durable although it can be read, and syncs it: after a failed sync
/// the system shows what the disk does not have.
///
/// # Errors
/// The file system refused.
pub fn rewrite_tail(disk: &dyn Disk, found: &Found) -> io::Result<()> {
    let (from, end) = (found.durable, found.end);
    for (number, file) in found.files.range(from.segment()..) {
        let begin = if *number == from.segment() { from.offset() } else { 0 };
        let until = if *number == end.segment() {
            end.offset()
        } else {
            found.capacities.get(number).copied().unwrap_or(0)
        };
        if begin < until {
            probe::sometimes("tail rewritten");
            let mut bytes = vec![0; wide(until - begin)];
            file.read_at(&mut bytes, u64::from(begin))?;
            file.write_at(&bytes, u64::from(begin))?;
        }
        file.sync()?;
    }
    disk.sync_names()?;
    probe::failpoint("tail rewritten")
}
