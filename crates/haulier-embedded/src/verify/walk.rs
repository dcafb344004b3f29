//! The walk over the segments of a log that a start would take: every frame, record and part of
//! them, whatever their hints say, and then the hints.

use haulier_core::{TaskId, Timestamp};

use super::report::{Damage, HintState, Report, SegmentReport};
use crate::codec::wide;
use crate::disk::Disk;
use crate::engine::Engine;
use crate::error::OpenError;
use crate::log::frame::{
    self, FRAME_HEADER, FrameHeader, RawRecord, SEGMENT_HEADER, SegmentHeader,
};
use crate::log::hint;
use crate::log::recover::Found;
use crate::log::{Files, read_part, segment_name};
use crate::record::Record;

/// Walks every segment and tells what it found.
pub fn walk(
    disk: &dyn Disk,
    found: &Found,
    engine: &Engine,
    report: &mut Report,
) -> Result<(), OpenError> {
    for (number, end) in &found.ends {
        let bytes = read(disk, &found.files, *number, *end)?;
        let mut walk = Walk::begin(*number, &bytes);
        walk.frames(report);
        for (from, to, what) in std::mem::take(&mut walk.broken) {
            report.damage.push(Damage {
                file: disk.place(&segment_name(*number)),
                from: u64::from(from),
                to: u64::from(to),
                what,
                tasks: hit(&found.files, engine, *number, (from, to)),
            });
        }
        let open = *number == found.end.segment();
        walk.report.hint = if open { HintState::None } else { walk.hint_state(disk)? };
        report.segments.push(walk.report);
    }
    Ok(())
}

/// The bytes of a segment up to its end.
pub fn read(disk: &dyn Disk, files: &Files, number: u32, end: u32) -> Result<Vec<u8>, OpenError> {
    let io = || OpenError::io(format!("{} cannot be read", disk.place(&segment_name(number))));
    let file = files.get(&number).ok_or_else(|| io()(std::io::ErrorKind::NotFound.into()))?;
    let mut bytes = vec![0; wide(end)];
    file.read_at(&mut bytes, 0).map_err(io())?;
    Ok(bytes)
}

/// The tasks that need a part in a stretch of a segment which does not hold there.
fn hit(files: &Files, engine: &Engine, segment: u32, (from, to): (u32, u32)) -> Vec<TaskId> {
    let mut tasks: Vec<TaskId> = engine
        .owners(segment, from, to)
        .into_iter()
        .filter(|(_, part)| read_part(files, *part).is_err())
        .map(|(task, _)| task)
        .collect();
    tasks.sort_unstable();
    tasks.dedup();
    tasks
}

/// The way through one segment.
pub struct Walk<'a> {
    bytes: &'a [u8],
    /// What is told of it.
    pub report: SegmentReport,
    /// Stretches that do not hold, and why.
    pub broken: Vec<(u32, u32, String)>,
    now: Timestamp,
}

impl<'a> Walk<'a> {
    /// A walk over the bytes of a segment up to its end.
    pub fn begin(number: u32, bytes: &'a [u8]) -> Self {
        let header = SegmentHeader::decode(bytes.get(..wide(SEGMENT_HEADER)).unwrap_or(bytes));
        let end = crate::codec::narrow(bytes.len());
        let mut broken = Vec::new();
        if header.is_err() {
            broken.push((0, SEGMENT_HEADER.min(end), "the header does not hold".to_owned()));
        }
        Self {
            bytes,
            report: SegmentReport { number, end, ..SegmentReport::default() },
            broken,
            now: Timestamp::default(),
        }
    }

    /// Reads every frame; what does not hold is passed over up to the next one that does.
    pub fn frames(&mut self, report: &mut Report) {
        let (mut at, end) = (SEGMENT_HEADER, self.report.end);
        while at < end {
            let Some((header, records)) = FrameHeader::read(&self.bytes[wide(at)..]) else {
                let next = next_frame(self.bytes, at + 8).unwrap_or(end);
                self.broken.push((at, next, "a frame's checksum does not hold".to_owned()));
                at = next;
                continue;
            };
            self.report.frames += 1;
            for raw in frame::records(records, at + FRAME_HEADER) {
                let taken = raw.map_err(|error| error.to_string());
                if let Err(why) = taken.and_then(|raw| self.record(&raw, report)) {
                    self.broken.push((at, at + header.stride(), why));
                }
            }
            at += header.stride();
        }
    }

    fn record(&mut self, raw: &RawRecord<'_>, report: &mut Report) -> Result<(), String> {
        let record = Record::decode(raw.kind, raw.meta, self.now);
        let record = record.map_err(|malformed| malformed.to_string())?;
        if let Record::Time { now, .. } = record {
            self.now = now;
        } else {
            report.closed = matches!(record, Record::Closed);
        }
        *report.records.entry(record.name()).or_default() += 1;
        self.report.records += 1;
        let parts = raw.parts(self.report.number).map_err(|malformed| malformed.to_string())?;
        for part in parts {
            if !holds(self.bytes, part.offset, part.len) {
                return Err("the checksum of a part does not hold".to_owned());
            }
            self.report.parts += 1;
        }
        Ok(())
    }

    /// How the segment's hint is, compared with what stands in the segment.
    pub fn hint_state(&self, disk: &dyn Disk) -> Result<HintState, OpenError> {
        let name = hint::name(self.report.number);
        let io = || OpenError::io(format!("{} cannot be read", disk.place(&name)));
        let file = match disk.open(&name) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(HintState::Missing);
            }
            Err(error) => return Err(io()(error)),
        };
        let len = file.size().map_err(io())?;
        let mut has = vec![0; usize::try_from(len).unwrap_or(0)];
        file.read_at(&mut has, 0).map_err(io())?;
        // Of a segment that does not hold nobody knows what its hint should say.
        let sound = match hint::of(self.report.number, self.bytes) {
            Some(should) => has == should,
            None => hint::holds(&has),
        };
        Ok(if sound { HintState::Sound } else { HintState::Damaged })
    }
}

/// Whether the part at that offset holds.
pub fn holds(bytes: &[u8], offset: u32, len: u32) -> bool {
    let part = bytes.get(wide(offset)..).and_then(|rest| rest.get(..4 + wide(len)));
    part.is_some_and(|part| part[..4] == crc32c::crc32c(&part[4..]).to_le_bytes())
}

/// Where the next sound frame stands, from there on.
pub fn next_frame(bytes: &[u8], from: u32) -> Option<u32> {
    let end = crate::codec::narrow(bytes.len());
    let mut candidates = (from.next_multiple_of(8)..end).step_by(8);
    candidates.find(|at| FrameHeader::read(&bytes[wide(*at)..]).is_some())
}
