//! A whole directory spelled in bytes, and the life of a store that finds it: it is checked,
//! opened, worked on, closed, and opened again.
//!
//! Files are spelled one after the other: sort, number, and the bytes after their length. Checksums
//! keep a fuzzer out, so files can be *made*: then the bytes say what stands in a segment or hint,
//! and sequence numbers and checksums are put around it. What is made so and makes no sense was
//! written by a store with a defect, or by somebody who can count a CRC.

use std::hint::black_box;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use haulier_core::{
    Control, Filter, Include, Inspect, Lease, Maintain, ManualClock, Outcome, PageRequest, Queue,
    QueueName, Result, Settlement, Want, WantedQueue, WorkerId,
};

use crate::codec::{Malformed, Put, Take, wide};
use crate::disk::{Disk, SimDisk};
use crate::log::frame::{FRAME_HEADER, FrameHeader, SEGMENT_HEADER, SegmentHeader};
use crate::log::hint::{self, HintHead};
use crate::log::{SPARE, segment_name};
use crate::place::Position;
use crate::verify::verify_on;
use crate::{Driver, EmbeddedStore, Options};

/// Bytes of a file at most, so that a few bytes do not ask for much memory.
const FILE_BYTES_MAX: usize = 256 * 1024;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// A segment, byte for byte.
    Segment = 0,
    /// A segment that is made of frames.
    MadeSegment = 1,
    /// A hint, byte for byte.
    Hint = 2,
    /// A hint that is made of records.
    MadeHint = 3,
    /// A file that waits to become a segment.
    Spare = 4,
}

/// Spells a file.
pub fn put_file(out: &mut Vec<u8>, sort: Sort, number: u8, bytes: &[u8]) {
    out.put_u8(sort as u8);
    out.put_u8(number);
    out.put_bytes(bytes);
}

/// Spells what a segment is made of: its header, then the records of each frame.
pub fn put_made_segment(
    out: &mut Vec<u8>,
    header: &SegmentHeader,
    frames: &[(FrameHeader, &[u8])],
) {
    out.put_varint(u64::from(header.generation));
    out.put_varint(header.first_sequence);
    out.put_varint(u64::from(header.previous_end));
    out.put_varint(u64::from(header.oldest));
    for (header, records) in frames {
        out.put_varint(u64::from(header.generation));
        out.put_varint(header.sequence);
        out.put_varint(header.durable_upto.to_u64());
        out.put_bytes(records);
    }
}

/// Lets a store find the directory that the bytes spell, and live on it.
pub fn directory(bytes: &[u8]) {
    let disk = SimDisk::new();
    // What is spelled so far is there; the rest is missing.
    black_box(spell(&disk, bytes)).ok();
    black_box(verify_on(&disk)).ok();
    let disk: Arc<dyn Disk> = Arc::new(disk);
    for _ in 0..2 {
        let Ok((store, mut driver)) = EmbeddedStore::open_driven(&disk, options()) else { return };
        wait_for(&mut driver, async {
            black_box(work(&store).await).ok();
            black_box(store.close().await).ok();
        });
    }
}

/// Gives a store turns, on this thread, until somebody's work with it is done.
fn wait_for(driver: &mut Driver, work: impl Future<Output = ()>) {
    let mut work = std::pin::pin!(work);
    while work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        let turned = driver.engine_turn();
        assert!(driver.writer_turn() || turned, "a call waits, and nobody has anything to do");
    }
}

fn options() -> Options {
    let mut options = Options::new(Arc::new(ManualClock::new()));
    options.segment_bytes = 16 * 1024;
    options
}

pub(super) fn spell(disk: &SimDisk, bytes: &[u8]) -> Result<(), Malformed> {
    let mut take = Take::new(bytes);
    while take.left() > 0 {
        let (sort, number) = (take.u8()?, u32::from(take.u8()?));
        let inside = take.bytes()?;
        match sort % 5 {
            0 => disk.write(&segment_name(number), whole_pages(inside.to_vec())),
            1 => disk.write(&segment_name(number), whole_pages(made_segment(number, inside)?)),
            2 => disk.write(&hint::name(number), inside.to_vec()),
            3 => disk.write(&hint::name(number), made_hint(number, inside)?),
            _ => disk.write(&format!("{SPARE}{number:010}"), whole_pages(inside.to_vec())),
        }
    }
    Ok(())
}

/// A segment's file has room behind what was written.
fn whole_pages(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(FILE_BYTES_MAX);
    bytes.resize((bytes.len() + 1).next_multiple_of(4_096), 0);
    bytes
}

fn made_segment(segment: u32, inside: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut take = Take::new(inside);
    let header = SegmentHeader {
        segment,
        generation: take.varint32()?,
        first_sequence: take.varint()?,
        previous_end: take.varint32()?,
        oldest: take.varint32()?,
    };
    let mut bytes = header.encode();
    debug_assert_eq!(bytes.len(), wide(SEGMENT_HEADER));
    while take.left() > 0 {
        let (generation, sequence) = (take.varint32()?, take.varint()?);
        let durable_upto = Position::from_u64(take.varint()?);
        let mut frame = vec![0; wide(FRAME_HEADER)];
        frame.put_raw(take.bytes()?);
        FrameHeader::seal(generation, sequence, durable_upto, &mut frame);
        FrameHeader::sign(&mut frame);
        bytes.append(&mut frame);
    }
    Ok(bytes)
}

fn made_hint(segment: u32, inside: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut take = Take::new(inside);
    let head = HintHead {
        segment,
        first_sequence: take.varint()?,
        next_sequence: take.varint()?,
        generation: take.varint32()?,
        end: take.varint32()?,
        durable_upto: Position::from_u64(take.varint()?),
    };
    Ok(hint::encode(&head, take.raw(take.left())?))
}

/// What everybody does with a store: looks at it, takes tasks, ends them, tidies up.
async fn work(store: &EmbeddedStore) -> Result<()> {
    let queues = store.queues().await?;
    let page = PageRequest { size: 100, after: None, include: Include::ALL };
    let shown = store.list(Filter::default(), page).await;
    let worker = WorkerId::new("fuzzer")?;
    let mut want = Want::new(worker, QueueName::default(), 50);
    let named = queues.iter().take(50);
    want.queues = named.map(|stats| WantedQueue { queue: stats.queue.clone(), max: 50 }).collect();
    let leases = store.lease(vec![want], Duration::ZERO).await?;
    let end = |lease: &Lease| {
        let outcome = match lease.attempt % 3 {
            0 => Outcome::Complete { result: None },
            1 => Outcome::Release,
            _ => Outcome::Snooze { delay: Duration::from_secs(1) },
        };
        Settlement { key: lease.key, outcome }
    };
    store.settle(leases.iter().flatten().map(end).collect()).await?;
    store.sweep(1_000).await?;
    let ids: Vec<_> = shown?.tasks.iter().map(|view| view.task.id).collect();
    store.get(ids.clone(), Include::ALL, Duration::ZERO).await?;
    let (cancelled, rest) = ids.split_at(ids.len() / 2);
    store.cancel(cancelled.to_vec()).await?;
    store.rerun(cancelled.to_vec()).await?;
    store.delete(rest.to_vec()).await?;
    Ok(())
}
