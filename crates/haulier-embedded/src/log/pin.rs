//! The log as it is at one moment, held: what was pinned can be read for as long as the pin lives,
//! whatever the cleaner gives back meanwhile.

use std::sync::Arc;

use crate::log::frame::SEGMENT_HEADER;
use crate::log::{Files, Log};
use crate::place::Position;

/// Everything that is durable, as it stands on the disk.
#[derive(Debug, Clone)]
pub struct Pinned {
    /// The segments' files. That they are held here keeps their bytes: a file that somebody reads
    /// is never used again.
    pub files: Arc<Files>,
    /// The segments with how many bytes of each belong to the log, oldest first.
    pub segments: Vec<(u32, u32)>,
}

impl Pinned {
    /// The segments of a log that ends there.
    pub fn new(files: Arc<Files>, end: Position, end_of: impl Fn(u32) -> Option<u32>) -> Self {
        let sealed = files.range(..end.segment());
        let mut segments: Vec<(u32, u32)> = sealed
            .map(|(number, _)| (*number, end_of(*number).unwrap_or(SEGMENT_HEADER)))
            .collect();
        segments.push((end.segment(), end.offset().max(SEGMENT_HEADER)));
        Self { files, segments }
    }
}

impl Log {
    /// Holds what is durable now. Nobody waits for it, and nothing waits for whoever has it.
    pub fn pin(&self) -> Pinned {
        let end_of = |number: u32| self.ends.get(&number).copied();
        Pinned::new(self.files(), self.tail.durable(), end_of)
    }
}
