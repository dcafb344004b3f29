//! What fuzzers feed: bytes in the place of what the disk should hold. It is built for fuzzers
//! (`--cfg fuzzing`) and for the tests that feed what fuzzers have found, never for a release.
//!
//! Nothing is returned: no bytes whatever may make these functions panic, hang, or allocate much
//! more than the bytes themselves. Whether the answers are right is for other tests.

mod directory;
#[cfg(test)]
mod tests;

use std::hint::black_box;

use bytes::Bytes;
use haulier_core::{Kind, Priority, QueueName, TaskId, Timestamp};

pub use directory::{Sort, directory, put_file, put_made_segment};

use crate::codec::Take;
use crate::disk::{Disk, SimDisk};
use crate::log::frame::{self, FrameHeader, RawRecord, SegmentHeader};
use crate::log::hint;
use crate::parts::{self, Envelope};
use crate::record::Record;

/// Reads bytes as everything that stands in a segment: a header, a frame, records, what a record
/// says, its parts.
pub fn record(bytes: &[u8]) {
    black_box(SegmentHeader::decode(bytes)).ok();
    if let Some((_, inside)) = FrameHeader::read(bytes) {
        frame::records(inside, frame::FRAME_HEADER).for_each(|raw| {
            raw.iter().for_each(look);
        });
    }
    frame::records(bytes, 0).for_each(|raw| {
        raw.iter().for_each(look);
    });
    if let [kind, meta @ ..] = bytes {
        meaning(*kind, meta);
    }
    part(bytes);
}

/// Reads bytes as the hint of a segment, and as its records.
pub fn hint(bytes: &[u8]) {
    frame::hinted(bytes).for_each(|raw| {
        raw.iter().for_each(look);
    });
    let disk = SimDisk::new();
    let mut take = Take::new(bytes);
    let (segment, first_sequence) = (take.u32().unwrap_or(1), take.u64().unwrap_or(1));
    disk.write(&hint::name(segment), bytes.to_vec());
    let header =
        SegmentHeader { segment, generation: 1, first_sequence, previous_end: 0, oldest: 1 };
    black_box(hint::read(&disk as &dyn Disk, &header)).ok();
}

fn look(raw: &RawRecord<'_>) {
    meaning(raw.kind, raw.meta);
    if let Ok(extents) = raw.parts(1) {
        black_box(extents);
        let mut copy = Vec::new();
        frame::put_hint(&mut copy, raw);
        assert!(frame::hinted(&copy).all(|raw| raw.is_ok()), "what was read is copied soundly");
    }
}

/// What is understood is written and understood again, as the same.
fn meaning(kind: u8, meta: &[u8]) {
    let now = Timestamp(1_767_225_600_000);
    let Ok(record) = Record::decode(kind, meta, now) else { return };
    let mut again = Vec::new();
    record.encode(now, &mut again);
    let read = Record::decode(record.kind(), &again, now);
    assert_eq!(read.as_ref(), Ok(&record), "a record reads back");
}

fn part(bytes: &[u8]) {
    let whole = Bytes::copy_from_slice(bytes);
    black_box(parts::payload(&whole)).ok();
    black_box(parts::failure(bytes)).ok();
    let mut id = [0; 16];
    if let Some(tail) = bytes.first_chunk::<8>() {
        // The bytes are taken for the definition of a task that they belong to.
        id[8..].copy_from_slice(tail);
    }
    let Ok(kind) = Kind::new("fuzzed") else { return };
    let envelope = Envelope {
        id: TaskId::from_bytes(id),
        queue: QueueName::default(),
        kind,
        priority: Priority::default(),
    };
    let Ok(task) = parts::take_definition(&whole, envelope.clone()) else { return };
    let mut again = Vec::new();
    parts::put_definition(&mut again, &task);
    let read = parts::take_definition(&Bytes::from(again), envelope);
    assert_eq!(read, Ok(task), "a definition reads back");
}
