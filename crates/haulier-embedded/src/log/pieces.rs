//! The frames of a sealed segment, one after the other, with a piece of it in memory at a time: a
//! segment may be larger than what a background job should take.

use std::io;

use crate::codec::wide;
use crate::log::frame::{FRAME_HEADER, FrameHeader, SEGMENT_HEADER, SegmentHeader};

/// What is read at a time, unless a frame is larger.
pub const PIECE_BYTES: u32 = 1024 * 1024;

/// A segment that ends at `end`, read by `read`, which fills a buffer from an offset on.
pub struct Pieces<R> {
    read: R,
    end: u32,
    /// Where the piece begins that is in memory.
    begin: u32,
    piece: Vec<u8>,
}

impl<R: FnMut(&mut [u8], u64) -> io::Result<()>> Pieces<R> {
    /// Nothing of it is in memory yet.
    pub const fn new(end: u32, read: R) -> Self {
        Self { read, end, begin: 0, piece: Vec::new() }
    }

    /// Its header, if a sound one of that segment stands there.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn header(&mut self, segment: u32) -> io::Result<Option<SegmentHeader>> {
        let Some(bytes) = self.bytes(0, SEGMENT_HEADER)? else { return Ok(None) };
        let header = SegmentHeader::decode(bytes).ok();
        Ok(header.filter(|header| header.segment == segment))
    }

    /// The frame that stands there with its records, if a sound one does.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn frame(&mut self, at: u32) -> io::Result<Option<(FrameHeader, &[u8])>> {
        let Some(bytes) = self.bytes(at, FRAME_HEADER)? else { return Ok(None) };
        let Some(whole) = FrameHeader::whole(bytes) else { return Ok(None) };
        Ok(self.bytes(at, whole)?.and_then(FrameHeader::read))
    }

    /// So many bytes from there on; `None` if the segment ends before.
    fn bytes(&mut self, at: u32, len: u32) -> io::Result<Option<&[u8]>> {
        let left = self.end.saturating_sub(at);
        if len > left {
            return Ok(None);
        }
        let from = at.checked_sub(self.begin).map(wide);
        let there = from.filter(|from| from + wide(len) <= self.piece.len());
        let from = if let Some(from) = there {
            from
        } else {
            self.piece.resize(wide(len.max(PIECE_BYTES).min(left)), 0);
            (self.read)(&mut self.piece, u64::from(at))?;
            self.begin = at;
            0
        };
        Ok(self.piece.get(from..from + wide(len)))
    }
}
