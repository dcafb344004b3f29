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
use crate::log::frame::{self, FRAME_HEADER, RawRecord, SEGMENT_HEADER, SegmentHeader};
use crate::log::pieces::Pieces;
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
#[cfg(any(test, fuzzing))]
pub fn encode(head: &HintHead, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEAD];
    bytes.put_raw(body);
    seal(head, &mut bytes);
    bytes
}

/// Fills in the head for which room was left before the body.
fn seal(head: &HintHead, bytes: &mut [u8]) {
    let (begin, body) = bytes.split_at_mut(HEAD);
    let mut said = Vec::with_capacity(HEAD);
    said.put_raw(&MAGIC);
    said.put_raw(&head.segment.to_le_bytes());
    said.put_raw(&head.first_sequence.to_le_bytes());
    said.put_raw(&head.next_sequence.to_le_bytes());
    said.put_raw(&head.generation.to_le_bytes());
    said.put_raw(&head.end.to_le_bytes());
    said.put_raw(&head.durable_upto.to_u64().to_le_bytes());
    said.put_raw(&narrow(body.len()).to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&said), body);
    said.put_raw(&crc.to_le_bytes());
    begin.copy_from_slice(&said);
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
pub fn of(segment: u32, bytes: &[u8]) -> Option<Vec<u8>> {
    let end = u32::try_from(bytes.len()).ok()?;
    make(segment, end, |into: &mut [u8], offset| {
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let there = bytes.get(from..).and_then(|rest| rest.get(..into.len()));
        into.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    })
    .ok()
}

/// The hint of a sealed segment that ends there, and is read in pieces: twice, since what a record
/// is worth shows only behind it. In memory are the hint, a piece, and the ids of its tasks.
///
/// # Errors
/// It cannot be read; of kind [`io::ErrorKind::InvalidData`] if something in it does not hold.
pub fn make(
    segment: u32,
    end: u32,
    read: impl FnMut(&mut [u8], u64) -> io::Result<()>,
) -> io::Result<Vec<u8>> {
    let mut pieces = Pieces::new(end, read);
    let mut lives = Lives::default();
    let head = walk(&mut pieces, segment, end, |raw| lives.note(raw))?;
    let mut bytes = vec![0; HEAD];
    walk(&mut pieces, segment, end, |raw| {
        if lives.needs(raw) {
            frame::put_hint(&mut bytes, raw);
        }
    })?;
    seal(&head, &mut bytes);
    Ok(bytes)
}

/// Tells every record of a segment, and says what a hint says of it as a whole.
fn walk(
    pieces: &mut Pieces<impl FnMut(&mut [u8], u64) -> io::Result<()>>,
    segment: u32,
    end: u32,
    mut tell: impl FnMut(&RawRecord<'_>),
) -> io::Result<HintHead> {
    let unsound = || io::Error::from(io::ErrorKind::InvalidData);
    let header = pieces.header(segment)?.ok_or_else(unsound)?;
    let mut head = HintHead {
        segment,
        first_sequence: header.first_sequence,
        next_sequence: header.first_sequence,
        generation: header.generation,
        end,
        durable_upto: Position::default(),
    };
    let mut at = SEGMENT_HEADER;
    while at < end {
        let (frame, records) = pieces.frame(at)?.ok_or_else(unsound)?;
        // A file is used again: a sound frame of its earlier life is none of this one.
        if frame.sequence != head.next_sequence || frame.generation < head.generation {
            return Err(unsound());
        }
        for raw in frame::records(records, at + FRAME_HEADER) {
            tell(&raw.map_err(|_| unsound())?);
        }
        head.next_sequence = frame.sequence + 1;
        head.generation = frame.generation;
        head.durable_upto = head.durable_upto.max(frame.durable_upto);
        at += frame.stride();
    }
    Ok(head)
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
    let head = decode(&bytes).ok().map(|(head, _)| head);
    let fits = |head: &HintHead| {
        head.segment == header.segment && head.first_sequence == header.first_sequence
    };
    let Some(head) = head.filter(fits) else {
        sometimes("hint rebuilt");
        tracing::warn!(segment = header.segment, "the hint is damaged; its segment is read");
        return Ok(None);
    };
    bytes.drain(..HEAD);
    Ok(Some((head, bytes)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::frame::{FrameHeader, Part};
    use crate::log::pieces::PIECE_BYTES;

    /// A segment of frames with one part each, and one whose part is larger than a piece.
    fn segment(frames: u64) -> Vec<u8> {
        let header = SegmentHeader {
            segment: 3,
            generation: 1,
            first_sequence: 10,
            previous_end: 64,
            oldest: 3,
        };
        let mut bytes = header.encode();
        for number in 0..frames {
            let large = if number == 1 { 2 * wide(PIECE_BYTES) } else { 50_000 };
            let part = vec![7; large];
            let mut frame = vec![0; wide(FRAME_HEADER)];
            let meta = number.to_le_bytes();
            frame::put_record(&mut frame, 200, &meta, &[Part::new(&part)]);
            FrameHeader::seal(1, 10 + number, Position::new(3, 64), &mut frame);
            FrameHeader::sign(&mut frame);
            bytes.extend(frame);
        }
        bytes
    }

    #[test]
    fn a_hint_is_made_of_a_piece_at_a_time_however_long_the_segment_is() {
        let bytes = segment(200);
        let mut largest = 0;
        let end = narrow(bytes.len());
        let made = make(3, end, |into: &mut [u8], offset| {
            largest = largest.max(into.len());
            let from = usize::try_from(offset).unwrap();
            into.copy_from_slice(&bytes[from..from + into.len()]);
            Ok(())
        });
        let made = made.unwrap();
        assert_eq!(Some(&made), of(3, &bytes).as_ref());
        let (head, body) = decode(&made).unwrap();
        assert_eq!((head.first_sequence, head.next_sequence, head.end), (10, 210, end));
        assert_eq!(frame::hinted(body).map(Result::unwrap).count(), 200);
        let most = 2 * wide(PIECE_BYTES) + 1_024;
        assert!(bytes.len() > 5 * most && largest <= most, "L5: {largest} of {}", bytes.len());
    }

    #[test]
    fn no_hint_is_made_of_a_segment_that_is_cut_or_another_ones() {
        let bytes = segment(3);
        assert!(of(3, &bytes).is_some());
        assert!(of(4, &bytes).is_none());
        for cut in [0, 10, 70, bytes.len() - 100] {
            assert!(of(3, &bytes[..cut]).is_none(), "cut at {cut}");
        }
    }
}
