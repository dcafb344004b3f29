//! Where something stands in the log: a segment and an offset in it. Positions of later records are
//! larger, across segments, whatever the size of a segment.

use std::fmt;

/// A place in the log; ordered as the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(u64);

impl Position {
    /// The byte at `offset` of a segment.
    pub const fn new(segment: u32, offset: u32) -> Self {
        Self(((segment as u64) << 32) | offset as u64)
    }

    /// The position as it is written.
    pub const fn to_u64(self) -> u64 {
        self.0
    }

    /// The position that was written so.
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// Its segment's number.
    pub const fn segment(self) -> u32 {
        let [a, b, c, d, _, _, _, _] = self.0.to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// The offset in its segment.
    pub const fn offset(self) -> u32 {
        let [_, _, _, _, a, b, c, d] = self.0.to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {}, offset {}", self.segment(), self.offset())
    }
}

/// A part of a record that stays on the disk: its CRC-32C (four bytes) and then its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extent {
    /// The segment's number; zero for nothing.
    pub segment: u32,
    /// Where the CRC stands.
    pub offset: u32,
    /// How many bytes follow it.
    pub len: u32,
}

impl Extent {
    /// Where it begins.
    pub const fn position(self) -> Position {
        Position::new(self.segment, self.offset)
    }
}
