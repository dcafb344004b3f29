//! The outer form of a backup: what stands at its head and at its end, and where each byte of the
//! log stands between them. Numbered for ever, as the log itself is.
//!
//! ```text
//! head     magic (8)  format (4)  bytes of the manifest (4)  manifest  CRC-32C of all that (4)
//! pieces   of each segment in turn: CRC-32C (4) and at most 256 KiB of it
//! end      magic (8)  bytes of the whole backup (8)  CRC-32C of head's and pieces' CRCs (4)
//!          CRC-32C of those twenty bytes (4)
//! ```
//!
//! A backup that was cut short has no end, and a piece in another's place shows at the end.

use haulier_core::Timestamp;

use crate::codec::{Malformed, Put, Take, narrow, wide};
use crate::log::frame;

/// The version of the form. A newer one is refused, an older one read for ever.
pub const FORMAT: u32 = 1;
/// Bytes of a segment behind one checksum.
pub const PIECE_BYTES: u32 = 256 * 1024;
/// Bytes at the end.
pub const END_BYTES: u64 = 24;
/// Bytes before the manifest.
pub const HEAD_BYTES: usize = 16;
/// Longest manifest that is read: as many segments as no disk has.
pub const MANIFEST_BYTES_MAX: u32 = 16 * 1024 * 1024;

const HEAD_MAGIC: [u8; 8] = *b"haulierb";
const END_MAGIC: [u8; 8] = *b"haulierz";

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The format of the log in it.
    pub log_format: u32,
    /// The generation whose epochs were handed out when it was taken.
    pub generation: u32,
    /// When it was taken, by the store's calendar.
    pub taken_at: Timestamp,
    /// The segments with how many bytes of each are in it, oldest first. The log ends where the
    /// last one does.
    pub segments: Vec<(u32, u32)>,
}

/// Why bytes are no backup that this version can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadError {
    /// They are none.
    Foreign,
    /// A newer version wrote them.
    Newer(u32),
    /// Their checksum does not hold, or they make no sense.
    Damaged(&'static str),
}

impl From<Malformed> for HeadError {
    fn from(Malformed(why): Malformed) -> Self {
        Self::Damaged(why)
    }
}

impl Manifest {
    /// A backup that is about to be taken.
    pub fn new(generation: u32, taken_at: Timestamp, segments: Vec<(u32, u32)>) -> Self {
        Self { log_format: frame::FORMAT, generation, taken_at, segments }
    }

    /// The head as it is written.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        body.put_varint(u64::from(self.log_format));
        body.put_varint(u64::from(self.generation));
        body.put_varint(self.taken_at.0);
        body.put_varint(self.segments.len() as u64);
        for (number, bytes) in &self.segments {
            body.put_varint(u64::from(*number));
            body.put_varint(u64::from(*bytes));
        }
        let mut head = Vec::with_capacity(HEAD_BYTES + body.len() + 4);
        head.put_raw(&HEAD_MAGIC);
        head.put_raw(&FORMAT.to_le_bytes());
        head.put_raw(&narrow(body.len()).to_le_bytes());
        head.put_raw(&body);
        let crc = crc32c::crc32c(&head);
        head.put_raw(&crc.to_le_bytes());
        head
    }

    /// How long the head is whose first bytes these are, without judging more of it.
    ///
    /// # Errors
    /// They begin no backup, or one of a newer form.
    pub fn head_len(begin: &[u8; HEAD_BYTES]) -> Result<usize, HeadError> {
        let mut take = Take::new(begin);
        if take.array::<8>()? != HEAD_MAGIC {
            return Err(HeadError::Foreign);
        }
        match take.u32()? {
            FORMAT => {}
            newer => return Err(HeadError::Newer(newer)),
        }
        match take.u32()? {
            len if len > MANIFEST_BYTES_MAX => Err(HeadError::Damaged("the manifest is too long")),
            len => Ok(HEAD_BYTES + wide(len) + 4),
        }
    }

    /// Reads a whole head.
    ///
    /// # Errors
    /// It is none, newer, or damaged.
    pub fn decode(head: &[u8]) -> Result<Self, HeadError> {
        let begin = head.first_chunk().ok_or(HeadError::Foreign)?;
        let len = Self::head_len(begin)?;
        let mut take = Take::new(head);
        let covered = take.raw(len - 4)?;
        if take.u32()? != crc32c::crc32c(covered) {
            return Err(HeadError::Damaged("the checksum does not hold"));
        }
        let mut take = Take::new(&covered[HEAD_BYTES..]);
        let (log_format, generation) = (take.varint32()?, take.varint32()?);
        let taken_at = Timestamp(take.varint()?);
        let segments: Vec<(u32, u32)> = (0..take.count()?)
            .map(|_| Ok((take.varint32()?, take.varint32()?)))
            .collect::<Result<_, Malformed>>()?;
        let ascending = segments.is_sorted_by(|one, next| one.0 < next.0);
        if take.left() > 0 || segments.is_empty() || !ascending {
            return Err(HeadError::Damaged("the list of segments makes no sense"));
        }
        Ok(Self { log_format, generation, taken_at, segments })
    }

    /// Bytes of the log.
    pub fn log_bytes(&self) -> u64 {
        self.segments.iter().map(|(_, bytes)| u64::from(*bytes)).sum()
    }

    /// Bytes of the whole backup.
    pub fn backup_bytes(&self) -> u64 {
        let segments = self.segments.iter().map(|(_, bytes)| stored_bytes(*bytes));
        self.encode().len() as u64 + segments.sum::<u64>() + END_BYTES
    }
}

/// Bytes that so many bytes of a segment take, checksums included.
pub fn stored_bytes(bytes: u32) -> u64 {
    u64::from(bytes) + 4 * u64::from(bytes.div_ceil(PIECE_BYTES))
}

/// The end as it is written.
pub fn encode_end(backup_bytes: u64, sum: u32) -> Vec<u8> {
    let mut end = Vec::with_capacity(24);
    end.put_raw(&END_MAGIC);
    end.put_raw(&backup_bytes.to_le_bytes());
    end.put_raw(&sum.to_le_bytes());
    let crc = crc32c::crc32c(&end);
    end.put_raw(&crc.to_le_bytes());
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest::new(7, Timestamp(1_700_000_000_000), vec![(3, 64), (4, PIECE_BYTES + 1)])
    }

    #[test]
    fn a_head_reads_back_and_a_flipped_bit_of_it_never_does() {
        let head = manifest().encode();
        assert_eq!(Manifest::decode(&head), Ok(manifest()));
        for at in 0..head.len() {
            let mut bytes = head.clone();
            bytes[at] ^= 1 << (at % 8);
            assert!(Manifest::decode(&bytes).is_err(), "byte {at}");
            assert!(Manifest::decode(&head[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_newer_form_is_told_by_its_number_and_a_foreign_file_is_told_apart() {
        let mut head = manifest().encode();
        head[8] = 9;
        assert_eq!(Manifest::decode(&head), Err(HeadError::Newer(9)));
        assert_eq!(Manifest::decode(b"{\"a\": 1, \"b\": 22222}"), Err(HeadError::Foreign));
        assert_eq!(Manifest::decode(b""), Err(HeadError::Foreign));
    }

    #[test]
    fn the_length_of_a_backup_is_known_before_it_is_taken() {
        let segments = 64 + 4 + u64::from(PIECE_BYTES) + 1 + 8;
        let head = manifest().encode().len() as u64;
        assert_eq!(manifest().backup_bytes(), head + segments + END_BYTES);
    }
}
