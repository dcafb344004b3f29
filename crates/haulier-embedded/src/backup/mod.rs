//! Backups: everything of a log that is durable at one moment, in one file that shows by itself
//! whether it is whole.
//!
//! The log only grows at its end and is given back at its beginning, so a backup is every segment
//! up to the durable end: no pause, no copy on write. The segments are held while they are read
//! ([`crate::log::pin`]); commits go on beside. A backup is no data directory, so that nobody
//! serves one by mistake: only [`restore()`] makes a store of it, with a generation that no store
//! before had (I2).
//!
//! | where | what |
//! |---|---|
//! | `manifest` | the outer form |
//! | `source` | taking one, piece by piece |
//! | `archive` | reading one back, as a disk |
//! | `restore` | making a store of one |

mod archive;
mod manifest;
mod restore;
mod source;

use std::io;
use std::path::Path;

pub use archive::Archive;
pub use manifest::Manifest;
pub use restore::{RESTORING, Raise, Restored, restore, restore_on};
pub use source::{Backup, backup_directory};

use crate::error::OpenError;
use crate::verify::{Report, verify_archive};

/// Why a backup cannot be used, or not be restored there.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file is something else.
    #[error("{0} is no backup")]
    Foreign(String),
    /// A newer version wrote it.
    #[error(
        "{file} is a backup of form {found}; this version reads up to {known}; use a newer haulier"
    )]
    Newer {
        /// The file.
        file: String,
        /// Its form.
        found: u32,
        /// The newest form that is known.
        known: u32,
    },
    /// Something in it does not hold.
    #[error("{file} is damaged at byte {offset}: {why}; use another backup")]
    Damaged {
        /// The file.
        file: String,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        why: String,
    },
    /// It holds, but the log in it does not: it was damaged when the backup was taken.
    #[error(
        "the log in {file} is damaged: {why}; run `haulier verify` on it, and use another backup"
    )]
    Unsound {
        /// The file.
        file: String,
        /// The first finding.
        why: String,
    },
    /// There is something in the directory.
    #[error("{0} is not empty; restore into a new directory, or move what is there out of the way")]
    Taken(String),
    /// The machine's calendar is behind the backup.
    #[error(
        "the backup was taken {0} s after what this machine takes for now; set its clock: epochs go \
         on rising only if it runs forward"
    )]
    ClockBehind(u64),
    /// A generation was given that may have been used.
    #[error(
        "generation {given} may have been used already; give {least} or more, and to each restore \
         of this backup another one"
    )]
    GenerationLow {
        /// What was given.
        given: u32,
        /// What may be given.
        least: u32,
    },
    /// The directory cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, and where.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

impl BackupError {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// Checks a whole backup: every piece of it, and the log in it as `verify` checks a directory's.
///
/// # Errors
/// It cannot be read, is newer, or is not whole. What is wrong with the log in it is in the report.
pub fn verify_backup(file: &Path) -> Result<(Manifest, Report), BackupError> {
    let archive = Archive::open(file)?;
    archive.check()?;
    let report = verify_archive(&archive)?;
    Ok((archive.manifest().clone(), report))
}
