//! The log's outer forms: the header of a segment, the frame around records, and the raw record.
//!
//! A frame is what is written and judged as one: its checksum covers everything in it, its sequence
//! number follows the one before, its generation never falls, and its `durable_upto` witnesses how
//! much of the log had been synced when it was written. Segments are used again, so that old frames
//! with good checksums stand behind the end; sequence and generation tell them apart.

use crate::codec::{Malformed, Put, Take, narrow, wide};
use crate::place::{Extent, Position};

/// The version of the format. A newer one is refused, an older one read for ever.
pub const FORMAT: u32 = 1;
/// Bytes before the first frame of a segment.
pub const SEGMENT_HEADER: u32 = 64;
/// Bytes before the records of a frame.
pub const FRAME_HEADER: u32 = 32;
/// Frames begin at multiples of this.
const ALIGN: u32 = 8;
const SEGMENT_MAGIC: [u8; 8] = *b"haulier\x01";
const FRAME_MAGIC: u32 = 0x4652_4d45;

/// The beginning of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Its number; the first is 1.
    pub segment: u32,
    /// The generation that began it.
    pub generation: u32,
    /// The sequence number of its first frame.
    pub first_sequence: u64,
    /// Where the segment before it ended; zero for the first.
    pub previous_end: u32,
    /// The oldest segment that was needed when it was begun.
    pub oldest: u32,
}

/// Why a segment's header is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    /// It is of a newer format.
    Newer(u32),
    /// It is no header, or damaged.
    Damaged,
}

impl SegmentHeader {
    /// The header as it is written.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(wide(SEGMENT_HEADER));
        bytes.put_raw(&SEGMENT_MAGIC);
        bytes.put_raw(&FORMAT.to_le_bytes());
        bytes.put_raw(&self.segment.to_le_bytes());
        bytes.put_raw(&self.generation.to_le_bytes());
        bytes.put_raw(&self.first_sequence.to_le_bytes());
        bytes.put_raw(&self.previous_end.to_le_bytes());
        bytes.put_raw(&self.oldest.to_le_bytes());
        bytes.resize(wide(SEGMENT_HEADER) - 4, 0);
        let crc = crc32c::crc32c(&bytes);
        bytes.put_raw(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header.
    ///
    /// # Errors
    /// It is none that this version can read.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        Self::read(bytes).unwrap_or(Err(HeaderError::Damaged))
    }

    fn read(bytes: &[u8]) -> Result<Result<Self, HeaderError>, Malformed> {
        let mut take = Take::new(bytes);
        let covered = Take::new(bytes).raw(wide(SEGMENT_HEADER) - 4)?;
        let magic: [u8; 8] = take.array()?;
        let format = take.u32()?;
        let header = Self {
            segment: take.u32()?,
            generation: take.u32()?,
            first_sequence: take.u64()?,
            previous_end: take.u32()?,
            oldest: take.u32()?,
        };
        take.raw(take.left().saturating_sub(4))?;
        let sound = magic == SEGMENT_MAGIC && take.u32()? == crc32c::crc32c(covered);
        Ok(match format {
            _ if !sound => Err(HeaderError::Damaged),
            FORMAT => Ok(header),
            newer => Err(HeaderError::Newer(newer)),
        })
    }
}

/// The beginning of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes of records that follow.
    pub len: u32,
    /// The generation that wrote it.
    pub generation: u32,
    /// One more than that of the frame before.
    pub sequence: u64,
    /// How much of the log was durable when it was written.
    pub durable_upto: Position,
}

impl FrameHeader {
    /// Bytes from the beginning of the frame to where the next may begin.
    pub const fn stride(&self) -> u32 {
        stride(self.len)
    }

    /// How many bytes the frame has whose header these are, if they are one.
    pub fn whole(bytes: &[u8]) -> Option<u32> {
        let mut take = Take::new(bytes);
        let (magic, len) = (take.u32().ok()?, take.u32().ok()?);
        FRAME_HEADER.checked_add(len).filter(|_| magic == FRAME_MAGIC)
    }

    /// The frame at the beginning of these bytes, if a sound one stands there, with its records.
    pub fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let mut take = Take::new(bytes);
        let (magic, len, crc) = (take.u32().ok()?, take.u32().ok()?, take.u32().ok()?);
        let covered_len = wide(FRAME_HEADER) - 12 + wide(len);
        if magic != FRAME_MAGIC || covered_len > take.left() {
            return None;
        }
        let covered = Take::new(&bytes[12..]).raw(covered_len).ok()?;
        if crc32c::crc32c_append(len, covered) != crc {
            return None;
        }
        let header = Self {
            len,
            generation: take.u32().ok()?,
            sequence: take.u64().ok()?,
            durable_upto: Position::from_u64(take.u64().ok()?),
        };
        Some((header, take.raw(wide(len)).ok()?))
    }

    /// Fills in the header that `frame` begins with, all but the CRC, and pads its end.
    pub fn seal(generation: u32, sequence: u64, durable_upto: Position, frame: &mut Vec<u8>) {
        let len = narrow(frame.len()) - FRAME_HEADER;
        frame[0..4].copy_from_slice(&FRAME_MAGIC.to_le_bytes());
        frame[4..8].copy_from_slice(&len.to_le_bytes());
        frame[12..16].copy_from_slice(&generation.to_le_bytes());
        frame[16..24].copy_from_slice(&sequence.to_le_bytes());
        frame[24..32].copy_from_slice(&durable_upto.to_u64().to_le_bytes());
        frame.resize(wide(stride(len)), 0);
    }

    /// Completes a sealed frame by its CRC, which is left to whoever writes it.
    pub fn sign(frame: &mut [u8]) {
        let len = u32::from_le_bytes([frame[4], frame[5], frame[6], frame[7]]);
        let crc = crc32c::crc32c_append(len, &frame[12..wide(FRAME_HEADER + len)]);
        frame[8..12].copy_from_slice(&crc.to_le_bytes());
    }
}

const fn stride(len: u32) -> u32 {
    (FRAME_HEADER + len).next_multiple_of(ALIGN)
}

/// A record as it stands in a frame or a hint: its kind, its meta, and where its parts stand.
#[derive(Debug, Clone, Copy)]
pub struct RawRecord<'a> {
    /// The number of its kind.
    pub kind: u8,
    /// What it says.
    pub meta: &'a [u8],
    /// Where the record begins in its segment.
    pub at: u32,
    parts_at: u32,
    lens: Take<'a>,
    count: usize,
}

impl RawRecord<'_> {
    /// Where its parts stand.
    ///
    /// # Errors
    /// The lengths are not numbers, or lead out of the segment.
    pub fn parts(&self, segment: u32) -> Result<Vec<Extent>, Malformed> {
        let mut lens = self.lens;
        let mut offset = self.parts_at;
        let mut parts = Vec::with_capacity(self.count.min(64));
        for _ in 0..self.count {
            let len = lens.varint32()?;
            parts.push(Extent { segment, offset, len });
            let next = offset.checked_add(4).and_then(|offset| offset.checked_add(len));
            offset = next.ok_or(Malformed("a part leads out of its segment"))?;
        }
        Ok(parts)
    }
}

/// A part to be written, and its CRC-32C.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    bytes: &'a [u8],
    crc: u32,
}

impl<'a> Part<'a> {
    /// A part of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self::known(bytes, crc32c::crc32c(bytes))
    }

    /// A part whose CRC was counted before.
    pub const fn known(bytes: &'a [u8], crc: u32) -> Self {
        Self { bytes, crc }
    }

    /// How many bytes it has.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// Appends a record to a frame; returns where its first part begins, counted from the buffer's
/// start.
pub fn put_record(out: &mut Vec<u8>, kind: u8, meta: &[u8], parts: &[Part<'_>]) -> usize {
    put_head(out, kind, meta, parts);
    let parts_at = out.len();
    for part in parts {
        out.put_raw(&part.crc.to_le_bytes());
        out.put_raw(part.bytes);
    }
    parts_at
}

fn put_head(out: &mut Vec<u8>, kind: u8, meta: &[u8], parts: &[Part<'_>]) {
    out.put_u8(kind);
    out.put_bytes(meta);
    out.put_varint(parts.len() as u64);
    for part in parts {
        out.put_varint(part.len() as u64);
    }
}

fn take_head<'a>(take: &mut Take<'a>) -> Result<RawRecord<'a>, Malformed> {
    let kind = take.u8()?;
    let meta = take.bytes()?;
    let count = take.count()?;
    let lens = *take;
    for _ in 0..count {
        take.varint32()?;
    }
    Ok(RawRecord { kind, meta, at: 0, parts_at: 0, lens, count })
}

/// The records of a frame whose records begin at `at` in their segment.
///
/// # Errors
/// In place of a record that is not one; the frame ends there.
pub fn records(bytes: &[u8], at: u32) -> impl Iterator<Item = Result<RawRecord<'_>, Malformed>> {
    let mut take = Take::new(bytes);
    let total = take.left();
    let mut failed = false;
    std::iter::from_fn(move || {
        if take.left() == 0 || failed {
            return None;
        }
        let begin = narrow(total - take.left());
        let record = take_head(&mut take).and_then(|mut record| {
            record.at = at + begin;
            record.parts_at = at + narrow(total - take.left());
            let mut lens = record.lens;
            for _ in 0..record.count {
                take.raw(4 + wide(lens.varint32()?))?;
            }
            Ok(record)
        });
        failed = record.is_err();
        Some(record)
    })
}

/// The records of a hint.
///
/// # Errors
/// In place of a record that is not one; the hint ends there.
pub fn hinted(bytes: &[u8]) -> impl Iterator<Item = Result<RawRecord<'_>, Malformed>> {
    let mut take = Take::new(bytes);
    let mut failed = false;
    std::iter::from_fn(move || {
        if take.left() == 0 || failed {
            return None;
        }
        let record = (|| {
            let (at, ahead) = (take.varint32()?, take.varint32()?);
            let parts_at =
                at.checked_add(ahead).ok_or(Malformed("a part leads out of its segment"))?;
            let record = take_head(&mut take)?;
            Ok(RawRecord { at, parts_at, ..record })
        })();
        failed = record.is_err();
        Some(record)
    })
}

/// Appends what a hint keeps of a record: everything but the parts' bytes.
pub fn put_hint(out: &mut Vec<u8>, raw: &RawRecord<'_>) {
    out.put_varint(u64::from(raw.at));
    out.put_varint(u64::from(raw.parts_at - raw.at));
    out.put_u8(raw.kind);
    out.put_bytes(raw.meta);
    out.put_varint(raw.count as u64);
    let mut lens = raw.lens;
    for _ in 0..raw.count {
        // The lengths were read once already, when the record was.
        out.put_varint(lens.varint().unwrap_or_default());
    }
}
