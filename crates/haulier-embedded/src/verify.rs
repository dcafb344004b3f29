//! The offline check of a directory: what a start would find, and every part's checksum besides. It
//! changes nothing; [`repair`] cuts a crash's tail, and nothing else.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use haulier_core::Timestamp;

use crate::disk::{Disk, RealDisk};
use crate::error::OpenError;
use crate::log::frame::RawRecord;
use crate::log::recover::{Hear, recover};
use crate::log::{Files, read_part};
use crate::place::Extent;
use crate::record::Record;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The segments, by number.
    pub segments: Vec<SegmentReport>,
    /// The generation that wrote last.
    pub generation: u32,
    /// Records by kind.
    pub records: BTreeMap<&'static str, u64>,
    /// Parts whose checksum was looked at.
    pub parts: u64,
    /// Whether unfinished writes of a crash stand behind the log's end; a start cuts them.
    pub unfinished_tail: bool,
    /// Whether the log was closed in good order.
    pub closed: bool,
    /// Damage that a start would not notice: parts that could not be delivered.
    pub damage: Vec<String>,
}

/// One segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SegmentReport {
    /// Its number.
    pub number: u32,
    /// Records that it holds.
    pub records: u64,
    /// Where it ends.
    pub end: u32,
}

impl Report {
    /// Whether everything holds.
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records: u64 = self.records.values().sum();
        let (segments, parts) = (self.segments.len(), self.parts);
        writeln!(f, "{segments} segments, {records} records, {parts} parts")?;
        writeln!(f, "generation {}", self.generation)?;
        for (kind, count) in &self.records {
            writeln!(f, "  {kind}: {count}")?;
        }
        if self.unfinished_tail {
            writeln!(f, "unfinished writes of a crash stand at the end; a start cuts them")?;
        } else if !self.closed {
            writeln!(f, "it was not closed in good order, or is open")?;
        }
        for damage in &self.damage {
            writeln!(f, "damaged: {damage}")?;
        }
        f.write_str(if self.is_sound() { "sound" } else { "DAMAGED" })
    }
}

/// Counts records and remembers where parts stand.
#[derive(Default)]
struct Check {
    now: Timestamp,
    records: BTreeMap<&'static str, u64>,
    by_segment: BTreeMap<u32, u64>,
    parts: Vec<Extent>,
    closed: bool,
}

impl Hear for Check {
    fn hear(&mut self, segment: u32, raw: &RawRecord<'_>) -> Result<(), String> {
        let record = Record::decode(raw.kind, raw.meta, self.now);
        let record = record.map_err(|malformed| malformed.to_string())?;
        if let Record::Time { now, .. } = record {
            self.now = now;
        } else {
            self.closed = matches!(record, Record::Closed);
        }
        *self.records.entry(record.name()).or_default() += 1;
        *self.by_segment.entry(segment).or_default() += 1;
        let parts = raw.parts(segment).map_err(|malformed| malformed.to_string())?;
        self.parts.extend(parts);
        Ok(())
    }
}

/// Checks the directory at a path, without changing anything. The store must not be open, or the
/// end of its log is seen while it moves.
///
/// # Errors
/// A start would refuse the directory, for this reason.
pub fn verify(path: &Path) -> Result<Report, OpenError> {
    verify_on(&RealDisk::at(path))
}

/// Checks a directory on a disk.
///
/// # Errors
/// As [`verify()`].
pub fn verify_on(disk: &dyn Disk) -> Result<Report, OpenError> {
    let mut check = Check::default();
    let Some(found) = recover(disk, &mut check)? else { return Ok(Report::default()) };
    let damage = check.parts.iter().filter_map(|part| damage_of(&found.files, *part)).collect();
    let segments = found.ends.iter().map(|(number, end)| SegmentReport {
        number: *number,
        records: check.by_segment.get(number).copied().unwrap_or(0),
        end: *end,
    });
    Ok(Report {
        segments: segments.collect(),
        generation: found.generation,
        records: check.records,
        parts: check.parts.len() as u64,
        unfinished_tail: found.cut,
        closed: check.closed,
        damage,
    })
}

fn damage_of(files: &Files, part: Extent) -> Option<String> {
    read_part(files, part).err().map(|unreadable| unreadable.to_string())
}

/// Cuts the unfinished writes of a crash behind the log's end, as a start would. `false`: there
/// were none. Damage is never repaired: what is gone can only come from a backup.
///
/// # Errors
/// Somebody has the directory open, it is damaged, or the file system refused.
pub fn repair(path: &Path) -> Result<bool, OpenError> {
    let disk = RealDisk::at(path);
    let io = |what: &str| OpenError::io(format!("{}: {what}", disk.place("")));
    let lock = disk.lock().map_err(io("the lock cannot be taken"))?;
    if lock.is_none() {
        return Err(OpenError::Locked { place: disk.place("lock") });
    }
    let mut check = Check::default();
    let Some(found) = recover(&disk, &mut check)?.filter(|found| found.cut) else {
        return Ok(false);
    };
    let end = found.end;
    if let Some(file) = found.files.get(&end.segment()) {
        let len = file.size().map_err(io("the last segment cannot be read"))?;
        let behind = len.saturating_sub(u64::from(end.offset()));
        let zeros = vec![0; usize::try_from(behind).unwrap_or(0)];
        file.write_at(&zeros, u64::from(end.offset()))
            .and_then(|()| file.sync())
            .map_err(io("the last segment cannot be written"))?;
    }
    Ok(true)
}
