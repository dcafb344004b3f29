//! What may be repaired: what a start would do in any case, and hints, which are only shortcuts.
//! Damage is never repaired: what is gone can only come from a backup.

use std::path::Path;

use super::report::HintState;
use super::walk::{self, Walk};
use crate::disk::{Disk, RealDisk};
use crate::engine::{Context, Engine};
use crate::error::OpenError;
use crate::log::hint;
use crate::log::recover::{Replay, recover};
use crate::open::refuse_unfinished;

/// What was repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Repaired {
    /// Unfinished writes of a crash were cut from behind the log's end.
    pub cut: bool,
    /// Hints that were written anew from their segments.
    pub hints: u32,
}

/// Cuts the unfinished writes of a crash behind the log's end, as a start would, and writes hints
/// anew that are missing or damaged.
///
/// # Errors
/// Somebody has the directory open, it is damaged, or the file system refused.
pub fn repair(path: &Path) -> Result<Repaired, OpenError> {
    let disk = RealDisk::at(path);
    let io = |what: &str| OpenError::io(format!("{}: {what}", disk.place("")));
    let lock = disk.lock().map_err(io("the lock cannot be taken"))?;
    if lock.is_none() {
        return Err(OpenError::Locked { place: disk.place("lock") });
    }
    refuse_unfinished(&disk)?;
    let mut engine = Engine::new(usize::MAX, 0);
    let mut replay = Replay { engine: &mut engine, context: Context::default() };
    let Some(found) = recover(&disk, &mut replay)? else { return Ok(Repaired::default()) };
    let mut repaired = Repaired { cut: found.cut, hints: 0 };
    let last = found.end;
    for (number, end) in found.ends.range(..last.segment()) {
        let bytes = walk::read(&disk, &found.files, *number, *end)?;
        let state = Walk::begin(*number, &bytes).hint_state(&disk)?;
        // A segment that is damaged itself has the hint to thank for what is still known of it.
        let unsound = matches!(state, HintState::Missing | HintState::Damaged);
        if unsound && let Some(should) = hint::of(*number, &bytes) {
            hint::write(&disk, *number, &should).map_err(io("a hint cannot be written"))?;
            repaired.hints += 1;
        }
    }
    if let Some(file) = found.files.get(&last.segment()).filter(|_| found.cut) {
        let len = file.size().map_err(io("the last segment cannot be read"))?;
        let behind = len.saturating_sub(u64::from(last.offset()));
        let zeros = vec![0; usize::try_from(behind).unwrap_or(0)];
        file.write_at(&zeros, u64::from(last.offset()))
            .and_then(|()| file.sync())
            .map_err(io("the last segment cannot be written"))?;
    }
    Ok(repaired)
}
