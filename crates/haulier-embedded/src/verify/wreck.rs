//! A log that no start would take: how far the damage goes, and whose tasks stand in it, as far as
//! the bytes still tell.

use haulier_core::{TaskId, Timestamp};

use super::report::Damage;
use super::walk::{holds, next_frame};
use crate::codec::wide;
use crate::disk::Disk;
use crate::error::OpenError;
use crate::log::frame::{self, FRAME_HEADER};
use crate::log::segment_number;
use crate::record::Record;

/// Looks at the place where a start gave up.
pub fn look(disk: &dyn Disk, file: &str, offset: u64, why: &str) -> Result<Damage, OpenError> {
    let mut damage = Damage {
        file: file.to_owned(),
        from: offset,
        to: offset,
        what: why.to_owned(),
        tasks: Vec::new(),
    };
    let name = file.rsplit(['/', ' ']).next().unwrap_or(file);
    let number = segment_number(name);
    let (Some(number), Ok(opened)) = (number, disk.open(name)) else { return Ok(damage) };
    let io = || OpenError::io(format!("{file} cannot be read"));
    let len = opened.size().map_err(io())?;
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    opened.read_at(&mut bytes, 0).map_err(io())?;
    let from = u32::try_from(offset).unwrap_or(u32::MAX);
    let end = crate::codec::narrow(bytes.len());
    let to = next_frame(&bytes, from.saturating_add(8)).unwrap_or(end);
    damage.to = u64::from(to);
    damage.tasks = suspects(number, &bytes, from.saturating_add(FRAME_HEADER), to);
    Ok(damage)
}

/// The tasks that the records of a broken frame name, as far as they can be read. If a part of some
/// does not hold, it is those: the parts have checksums of their own.
fn suspects(number: u32, bytes: &[u8], from: u32, to: u32) -> Vec<TaskId> {
    let stretch = bytes.get(wide(from)..wide(to)).unwrap_or_default();
    let (mut named, mut hit) = (Vec::new(), Vec::new());
    let mut now = Timestamp::default();
    for raw in frame::records(stretch, from).map_while(Result::ok) {
        let Ok(record) = Record::decode(raw.kind, raw.meta, now) else { break };
        if let Record::Time { now: at, .. } = record {
            now = at;
        }
        let Some(task) = subject(&record) else { continue };
        let Ok(parts) = raw.parts(number) else { break };
        named.push(task);
        if parts.iter().any(|part| !holds(bytes, part.offset, part.len)) {
            hit.push(task);
        }
    }
    let mut tasks = if hit.is_empty() { named } else { hit };
    tasks.sort_unstable();
    tasks.dedup();
    tasks
}

/// The task that a record is about, if it is about one.
fn subject(record: &Record) -> Option<TaskId> {
    match record {
        Record::Accepted(accepted) => Some(accepted.id),
        Record::Changed(change) => Some(change.id),
        Record::Snapshot(snapshot) => Some(snapshot.id),
        Record::Removed(id) | Record::Extended { id, .. } | Record::Checkpoint { id, .. } => {
            Some(*id)
        }
        _ => None,
    }
}
