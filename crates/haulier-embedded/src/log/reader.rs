//! Reading parts back: at a delivery, for a look, for the cleaner. Every part is checked against
//! its CRC-32C; one that does not hold is an error, never an answer (I9, I16).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::codec::wide;
use crate::disk::DiskFile;
use crate::place::Extent;

/// The segments' files by number. A clone keeps the files of its moment: what was freed since can
/// still be read through it.
pub type Files = BTreeMap<u32, Arc<dyn DiskFile>>;

/// A part cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("segment {segment} at byte {offset}: {why}")]
pub struct Unreadable {
    /// The segment.
    pub segment: u32,
    /// Where the part stands.
    pub offset: u32,
    /// What is wrong.
    pub why: String,
}

impl Unreadable {
    /// A part that does not say what it should.
    pub fn new(extent: Extent, why: &dyn fmt::Display) -> Self {
        Self { segment: extent.segment, offset: extent.offset, why: why.to_string() }
    }
}

/// Reads a part.
///
/// # Errors
/// It is not there, or its checksum does not hold.
pub fn read_part(files: &Files, extent: Extent) -> Result<Bytes, Unreadable> {
    let file = files.get(&extent.segment);
    let file = file.ok_or_else(|| Unreadable::new(extent, &"the segment is not there"))?;
    let mut bytes = vec![0; 4 + wide(extent.len)];
    file.read_at(&mut bytes, u64::from(extent.offset))
        .map_err(|error| Unreadable::new(extent, &error))?;
    let bytes = Bytes::from(bytes);
    let part = bytes.slice(4..);
    if bytes[..4] != crc32c::crc32c(&part).to_le_bytes() {
        return Err(Unreadable::new(extent, &"the checksum does not hold"));
    }
    Ok(part)
}
