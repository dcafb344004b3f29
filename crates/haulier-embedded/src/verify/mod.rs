//! The offline check: what a start would find, and everything besides that no start looks at. Every
//! frame, record and part is read, hints are compared with their segments, and the state that
//! results is counted. It changes nothing; [`repair`] does what a start does, and says so.

mod repair;
mod report;
mod walk;
mod wreck;

use std::path::Path;

pub use repair::{Repaired, repair};
pub use report::{Damage, HintState, Report, SegmentReport};

use crate::backup::Archive;
use crate::disk::{Disk, RealDisk};
use crate::engine::{Context, Engine};
use crate::error::OpenError;
use crate::log::recover::{Found, Replay, recover};
use crate::log::segment_name;
use crate::open::refuse_unfinished;

/// Checks the directory at a path, without changing anything.
///
/// # Errors
/// Somebody has it open, a newer version wrote it, a restore into it is not finished, or it cannot
/// be read. Damage is no error but a finding.
pub fn verify(path: &Path) -> Result<Report, OpenError> {
    let disk = RealDisk::at(path);
    let _lock = hold(&disk)?;
    refuse_unfinished(&disk)?;
    verify_on(&disk)
}

/// Keeps a directory from being opened meanwhile. One that may only be read cannot be locked; no
/// server can have it open for writing either.
fn hold(disk: &dyn Disk) -> Result<Option<Box<dyn Send + Sync>>, OpenError> {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    match disk.lock() {
        Ok(Some(lock)) => Ok(Some(lock)),
        Ok(None) => Err(OpenError::Locked { place: disk.place("lock") }),
        Err(error) if matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem) => Ok(None),
        Err(error) => {
            Err(OpenError::io(format!("{}: the lock cannot be taken", disk.place("")))(error))
        }
    }
}

/// Checks the log on a disk.
///
/// # Errors
/// As [`verify()`].
pub fn verify_on(disk: &dyn Disk) -> Result<Report, OpenError> {
    let (report, _) = check(disk)?;
    Ok(report)
}

/// Checks the log in a backup: it has to end where the backup says, and to have no hints and no
/// tail.
///
/// # Errors
/// As [`verify()`].
pub fn verify_archive(archive: &Archive) -> Result<Report, OpenError> {
    let (mut report, found) = check(archive)?;
    let last = archive.manifest().segments.last().copied();
    let Some(found) = found else { return Ok(report) };
    report.segments.iter_mut().for_each(|segment| segment.hint = HintState::None);
    if Some((found.end.segment(), found.end.offset())) != last || found.cut {
        report.damage.push(Damage {
            file: archive.place(&segment_name(found.end.segment())),
            from: u64::from(found.end.offset()),
            to: last.map_or(0, |(_, bytes)| u64::from(bytes)),
            what: "the log ends before the backup does".to_owned(),
            tasks: Vec::new(),
        });
    }
    Ok(report)
}

/// What a start would do, and then the walk over every byte.
fn check(disk: &dyn Disk) -> Result<(Report, Option<Found>), OpenError> {
    let mut engine = Engine::new(usize::MAX, 0);
    let mut replay = Replay { engine: &mut engine, context: Context::default() };
    let found = match recover(disk, &mut replay) {
        Ok(Some(found)) => found,
        Ok(None) => return Ok((Report::default(), None)),
        Err(OpenError::Damaged { file, offset, why }) => {
            let damage = wreck::look(disk, &file, offset, &why)?;
            let report = Report { refused: true, damage: vec![damage], ..Report::default() };
            return Ok((report, None));
        }
        Err(other) => return Err(other),
    };
    let mut report =
        Report { generation: found.generation, unfinished_tail: found.cut, ..Report::default() };
    walk::walk(disk, &found, &engine, &mut report)?;
    let audit = engine.audit();
    report.tasks = audit.counts;
    report.contradictions = audit.findings;
    Ok((report, Some(found)))
}
