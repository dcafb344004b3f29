//! Making a store of a backup. Everything is checked before anything is written; then a mark is
//! made durable, with which no store opens; then the segments, and a generation above every other;
//! and last the mark goes. A crash anywhere leaves an empty directory, the mark, or a whole store.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use haulier_core::{Clock, Timestamp};

use super::manifest::Manifest;
use super::{Archive, BackupError};
use crate::codec::wide;
use crate::disk::{Disk, RealDisk};
use crate::error::OpenError;
use crate::log::frame::{FrameHeader, RawRecord};
use crate::log::recover::{Hear, recover};
use crate::log::{Chunk, Resume, SPARE, Tail, segment_name, segment_number};
use crate::place::Position;
use crate::record::Record;
use crate::verify::{Report, verify_archive};

/// The mark of a directory into which a backup is being restored: no store opens it.
pub const RESTORING: &str = "restoring";
/// How far the generation is raised where the calendar says nothing: no store starts as often.
const GENERATIONS: u32 = 1_000_000;
/// Room behind the log's end for the record of the new generation.
const ROOM: u32 = 4_096;
/// Bytes that are copied at a time.
const COPY_BYTES: u32 = 1024 * 1024;

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// What the backup says of itself.
    pub manifest: Manifest,
    /// What was found in it.
    pub report: Report,
    /// The generation that the store goes on from: every epoch of it is larger than any before.
    pub generation: u32,
    /// Whose turn it is to take a generation from the calendar.
    turn: Option<Turn>,
}

/// The right to restore a backup by the calendar, which one has at a time: the backup is locked.
#[derive(Debug)]
struct Turn {
    _locked: File,
    /// When the second is over whose number the generation is.
    over_at: Timestamp,
}

impl Restored {
    /// How long this has to be kept yet, so that the next restore of the same backup on this
    /// machine finds another second.
    pub fn turn_left(&self, now: Timestamp) -> Duration {
        self.turn.as_ref().map_or(Duration::ZERO, |turn| turn.over_at.since(now))
    }
}

/// Where the generation of a restored store comes from.
#[derive(Debug, Clone, Copy)]
pub enum Raise<'a> {
    /// From the machine's calendar, once it is this restore's turn.
    By(&'a dyn Clock),
    /// From whoever restores one backup several times at once, on several machines. It has to be at
    /// least what the calendar would give.
    To(u32, &'a dyn Clock),
}

impl Raise<'_> {
    /// The generation, once nobody else restores that backup by the calendar.
    fn generation(self, archive: &Archive) -> Result<(u32, Option<Turn>), BackupError> {
        let Manifest { generation: before, taken_at, .. } = *archive.manifest();
        match self {
            Self::By(clock) => {
                let what = format!(
                    "{} cannot be locked, so that another restore of it might take the same \
                     generation; give each one of its own (--generation)",
                    archive.name()
                );
                let locked = archive.lock().map_err(BackupError::io(what))?;
                let now = clock.wall();
                let over_at = Timestamp((now.0 / 1_000 + 1) * 1_000);
                let turn = Turn { _locked: locked, over_at };
                Ok((raised(before, taken_at, now)?, Some(turn)))
            }
            Self::To(given, clock) => {
                let least = raised(before, taken_at, clock.wall().max(taken_at))?;
                if given < least {
                    return Err(BackupError::GenerationLow { given, least });
                }
                Ok((given, None))
            }
        }
    }
}

/// The generation of a restored store. It has to be above those of the store that was backed up,
/// also of the times that it started after the backup, and above those of every earlier restore of
/// the same backup. The calendar knows them all: the seconds since 1970 are more than any store has
/// started, and more at each restore than at the one before.
///
/// # Errors
/// The calendar is behind the backup.
pub fn raised(generation: u32, taken_at: Timestamp, now: Timestamp) -> Result<u32, BackupError> {
    let (taken, now) = (taken_at.0 / 1_000, now.0 / 1_000);
    if now < taken {
        return Err(BackupError::ClockBehind(taken - now));
    }
    let seconds = u32::try_from(now).unwrap_or(u32::MAX - GENERATIONS);
    if seconds > generation {
        return Ok(seconds);
    }
    // Only a store that was restored by a calendar that ran ahead has got there already.
    let since = u32::try_from(now - taken).unwrap_or(u32::MAX);
    Ok(generation.saturating_add(GENERATIONS).saturating_add(since))
}

/// Makes a store of a backup in a directory, which is made if it is missing. The generation comes
/// from the calendar, or is given. By the calendar one backup is restored once at a time on a
/// machine: whoever calls keeps what is returned until [`Restored::turn_left`] is over.
///
/// # Errors
/// The backup is not whole, the generation too low, or the directory is not empty, or cannot be
/// written. What was written then opens as no store; the same call begins again.
pub fn restore(file: &Path, directory: &Path, raise: Raise<'_>) -> Result<Restored, BackupError> {
    let archive = Archive::open(file)?;
    archive.check()?;
    let report = verify_archive(&archive)?;
    if let Some(why) = report.findings().next() {
        return Err(BackupError::Unsound { file: archive.name().to_owned(), why });
    }
    let manifest = archive.manifest().clone();
    let (generation, turn) = raise.generation(&archive)?;
    let shown = directory.display();
    let disk =
        RealDisk::create(directory).map_err(BackupError::io(format!("{shown} cannot be made")))?;
    let above = match directory.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    };
    let synced = File::open(above).and_then(|above| above.sync_all());
    synced.map_err(BackupError::io(format!("{} cannot be synced", above.display())))?;
    restore_on(&archive, &disk, generation)?;
    Ok(Restored { manifest, report, generation, turn })
}

/// Writes a backup that was checked to a disk, as a store that goes on from that generation.
///
/// # Errors
/// The disk is taken or in use, or does not take it.
pub fn restore_on(archive: &Archive, disk: &dyn Disk, generation: u32) -> Result<(), BackupError> {
    let io = |what: &str| BackupError::io(format!("{}: {what}", disk.place("")));
    let lock = disk.lock().map_err(io("the lock cannot be taken"))?;
    let Some(_lock) = lock else {
        return Err(OpenError::Locked { place: disk.place("lock") }.into());
    };
    let names = disk.list().map_err(io("the directory cannot be read"))?;
    let began = names.iter().any(|name| name == RESTORING);
    let ours = |name: &str| ["lock", RESTORING, "lost+found"].contains(&name);
    let others = names.iter().filter(|name| !ours(name));
    if began {
        // Another restore was interrupted. What it wrote is in the way; anything else is not ours.
        for name in others {
            if segment_number(name).is_none() && !name.starts_with(SPARE) {
                return Err(BackupError::Taken(disk.place("")));
            }
            disk.remove(name).map_err(io("what an interrupted restore left cannot be removed"))?;
        }
    } else if others.count() > 0 {
        return Err(BackupError::Taken(disk.place("")));
    } else {
        disk.create(RESTORING, 0).map_err(io("the mark of the restore cannot be made"))?;
    }
    disk.sync_names().map_err(io("the directory cannot be synced"))?;
    copy(archive, disk, generation).map_err(io("the restore cannot be written"))?;
    disk.remove(RESTORING).map_err(io("the mark of the restore cannot be removed"))?;
    disk.sync_names().map_err(io("the directory cannot be synced"))
}

fn copy(archive: &Archive, disk: &dyn Disk, generation: u32) -> io::Result<()> {
    let last = archive.manifest().segments.last().map(|(number, _)| *number);
    for (number, bytes) in &archive.manifest().segments {
        let name = segment_name(*number);
        let from = archive.open(&name)?;
        let room = if Some(*number) == last { ROOM } else { 0 };
        let to = disk.create(&name, u64::from(*bytes) + u64::from(room))?;
        let mut offset = 0;
        while offset < *bytes {
            let mut piece = vec![0; wide((*bytes - offset).min(COPY_BYTES))];
            from.read_at(&mut piece, u64::from(offset))?;
            to.write_at(&piece, u64::from(offset))?;
            offset = offset.saturating_add(COPY_BYTES);
        }
        to.sync()?;
    }
    raise(archive, disk, generation)?;
    disk.sync_names()
}

/// Listens to nothing: only where the log ends is asked for.
struct Deaf;

impl Hear for Deaf {
    fn hear(&mut self, _: u32, _: &RawRecord<'_>) -> Result<(), String> {
        Ok(())
    }
}

/// Writes the first record of the new generation behind the end of the log.
fn raise(archive: &Archive, disk: &dyn Disk, generation: u32) -> io::Result<()> {
    let found = recover(archive, &mut Deaf).map_err(io::Error::other)?;
    let Some(found) = found else { return Err(io::Error::other("the backup holds no log")) };
    let end = found.end;
    let file = disk.open(&segment_name(end.segment()))?;
    let resume = Resume {
        generation,
        sequence: found.sequence,
        end: Position::new(end.segment(), end.offset()),
        capacity: end.offset().saturating_add(ROOM),
        oldest: found.oldest,
    };
    let mut tail = Tail::new(resume);
    tail.push(&Record::Opened, &[], archive.manifest().taken_at, 0);
    for chunk in tail.take().0 {
        if let Chunk::Write { offset, mut bytes, .. } = chunk {
            FrameHeader::sign(&mut bytes);
            file.write_at(&bytes, u64::from(offset))?;
        }
    }
    file.sync()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restored_store_goes_on_above_every_generation_that_there_was() {
        let at = |seconds: u64| Timestamp(seconds * 1_000);
        let first = raised(3, at(1_700_000_000), at(1_700_000_060)).unwrap();
        // The store that was backed up may have started a thousand times since.
        assert!(first > 3 + 1_000);
        // The same backup, restored again a second later, after the first one had started.
        let again = raised(3, at(1_700_000_000), at(1_700_000_061)).unwrap();
        assert!(again > first);
        // A backup of the restored store.
        let next = raised(first + 5, at(1_700_000_070), at(1_700_000_080)).unwrap();
        assert!(next > first + 5);
    }

    #[test]
    fn a_calendar_that_ran_ahead_once_does_not_lower_the_generation() {
        let at = |seconds: u64| Timestamp(seconds * 1_000);
        let ahead = raised(1, at(10), at(1_900_000_000)).unwrap();
        let next = raised(ahead, at(1_700_000_000), at(1_700_000_001)).unwrap();
        assert_eq!(next, ahead + GENERATIONS + 1);
        let later = raised(ahead, at(1_700_000_000), at(1_700_000_002)).unwrap();
        assert!(later > next, "restores differ by that calendar, too");
    }

    #[test]
    fn a_calendar_behind_the_backup_is_refused() {
        let refused = raised(1, Timestamp(5_000), Timestamp(2_000));
        assert!(matches!(refused, Err(BackupError::ClockBehind(3))), "{refused:?}");
    }
}
