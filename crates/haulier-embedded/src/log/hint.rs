//! Hints: what a restart has to know of a sealed segment, without its payloads, and without what it
//! tells of tasks that came and went within it, behind one checksum. A hint is only ever a
//! shortcut: one that is missing, damaged or of another segment is not used, and the segment itself
//! is read.

use std::io;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use haulier_core::TaskId;
use haulier_core::probe::sometimes;

use crate::codec::{Malformed, Put, Take, narrow, wide};
use crate::disk::Disk;
use crate::log::frame::{
    self, FRAME_HEADER, FrameHeader, RawRecord, SEGMENT_HEADER, SegmentHeader,
};
use crate::place::Position;
use crate::record;

const MAGIC: [u8; 8] = *b"haulierh";
const HEAD: usize = 52;

/// What a hint says of its segment as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HintHead {
    /// The segment's number.
    pub segment: u32,
    /// The sequence number of its first frame.
    pub first_sequence: u64,
    /// The sequence number of the first frame behind it.
    pub next_sequence: u64,
    /// The generation of its last frame.
    pub generation: u32,
    /// Where it ends.
    pub end: u32,
    /// The largest witness in it.
    pub durable_upto: Position,
}

/// The name of a segment's hint.
pub fn name(segment: u32) -> String {
    format!("{segment:010}.hint")
}

/// A hint as it is written.
pub fn encode(head: &HintHead, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD + body.len());
    bytes.put_raw(&MAGIC);
    bytes.put_raw(&head.segment.to_le_bytes());
    bytes.put_raw(&head.first_sequence.to_le_bytes());
    bytes.put_raw(&head.next_sequence.to_le_bytes());
    bytes.put_raw(&head.generation.to_le_bytes());
    bytes.put_raw(&head.end.to_le_bytes());
    bytes.put_raw(&head.durable_upto.to_u64().to_le_bytes());
    bytes.put_raw(&narrow(body.len()).to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes), body);
    bytes.put_raw(&crc.to_le_bytes());
    bytes.put_raw(body);
    bytes
}

fn decode(bytes: &[u8]) -> Result<(HintHead, &[u8]), Malformed> {
    let mut take = Take::new(bytes);
    let covered = Take::new(bytes).raw(HEAD - 4)?;
    if take.array::<8>()? != MAGIC {
        return Err(Malformed("not a hint"));
    }
    let head = HintHead {
        segment: take.u32()?,
        first_sequence: take.u64()?,
        next_sequence: take.u64()?,
        generation: take.u32()?,
        end: take.u32()?,
        durable_upto: Position::from_u64(take.u64()?),
    };
    let len = take.u32()?;
    let crc = take.u32()?;
    let body = take.raw(wide(len))?;
    if crc != crc32c::crc32c_append(crc32c::crc32c(covered), body) {
        return Err(Malformed("a hint's checksum does not hold"));
    }
    Ok((head, body))
}

/// The hint of a sealed segment that has these bytes. `None`: something in it does not hold.
pub fn make(segment: u32, bytes: &[u8]) -> Option<Vec<u8>> {
    let header = SegmentHeader::decode(bytes.get(..wide(SEGMENT_HEADER))?).ok()?;
    if header.segment != segment {
        return None;
    }
    let mut head = HintHead {
        segment,
        first_sequence: header.first_sequence,
        next_sequence: header.first_sequence,
        generation: header.generation,
        end: narrow(bytes.len()),
        durable_upto: Position::default(),
    };
    let mut raws = Vec::new();
    let mut lives = Lives::default();
    let mut at = SEGMENT_HEADER;
    while at < head.end {
        let (frame, records) = FrameHeader::read(&bytes[wide(at)..])?;
        // A file is used again: a sound frame of its earlier life is none of this one.
        if frame.sequence != head.next_sequence || frame.generation < head.generation {
            return None;
        }
        for raw in frame::records(records, at + FRAME_HEADER) {
            let raw = raw.ok()?;
            lives.note(&raw);
            raws.push(raw);
        }
        head.next_sequence = frame.sequence + 1;
        head.generation = frame.generation;
        head.durable_upto = head.durable_upto.max(frame.durable_upto);
        at += frame.stride();
    }
    let mut body = Vec::new();
    for raw in raws.iter().filter(|raw| lives.needs(raw)) {
        frame::put_hint(&mut body, raw);
    }
    Some(encode(&head, &body))
}

/// Which tasks were accepted and removed within a segment, once each and without a unique key: of
/// them a start has to know only that they are gone.
#[derive(Default)]
struct Lives(HashMap<TaskId, Life, RandomState>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Begun,
    Over,
    /// It has to be told, whatever became of it.
    Told,
}

impl Lives {
    fn note(&mut self, raw: &RawRecord<'_>) {
        let Some(id) = raw.meta.first_chunk().map(|id| TaskId::from_bytes(*id)) else { return };
        match raw.kind {
            record::ACCEPTED => {
                // Who held a unique key matters to those who held it before.
                let begun = if record::has_key(raw.meta) { Life::Told } else { Life::Begun };
                self.0.entry(id).and_modify(|life| *life = Life::Told).or_insert(begun);
            }
            record::REMOVED => {
                if let Some(life @ Life::Begun) = self.0.get_mut(&id) {
                    *life = Life::Over;
                }
            }
            _ => {}
        }
    }

    fn needs(&self, raw: &RawRecord<'_>) -> bool {
        if !record::is_of_life(raw.kind) {
            return true;
        }
        let id = raw.meta.first_chunk().map(|id| TaskId::from_bytes(*id));
        id.is_none_or(|id| self.0.get(&id) != Some(&Life::Over))
    }
}

/// Whether these are the bytes of a hint, whatever it says.
pub fn holds(bytes: &[u8]) -> bool {
    decode(bytes).is_ok()
}

/// Reads the hint of a segment, if a sound one is there: its head, and its records.
///
/// # Errors
/// The file system refused.
pub fn read(disk: &dyn Disk, header: &SegmentHeader) -> io::Result<Option<(HintHead, Vec<u8>)>> {
    let file = match disk.open(&name(header.segment)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = vec![0; usize::try_from(file.size()?).map_err(io::Error::other)?];
    file.read_at(&mut bytes, 0)?;
    Ok(match decode(&bytes) {
        Ok((head, body))
            if head.segment == header.segment && head.first_sequence == header.first_sequence =>
        {
            Some((head, body.to_vec()))
        }
        _ => {
            sometimes("hint rebuilt");
            tracing::warn!(segment = header.segment, "the hint is damaged; its segment is read");
            None
        }
    })
}

/// Writes a hint. It need not be durable.
///
/// # Errors
/// The file system refused.
pub fn write(disk: &dyn Disk, segment: u32, bytes: &[u8]) -> io::Result<()> {
    remove(disk, segment)?;
    disk.create(&name(segment), 0)?.write_at(bytes, 0)
}

/// Removes a segment's hint, if there is one.
///
/// # Errors
/// The file system refused.
pub fn remove(disk: &dyn Disk, segment: u32) -> io::Result<()> {
    match disk.remove(&name(segment)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
