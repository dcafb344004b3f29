//! Why a store cannot be opened, and why an open one had to stop.

use std::io;

use haulier_core::{Code, Error};

/// Why a directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{place} is open in another process; stop that one, or use another directory")]
    Locked {
        /// The directory's lock.
        place: String,
    },
    /// Something that was durable is not there any more.
    #[error(
        "{file} is damaged at byte {offset}: {why}; nothing was changed: run `haulier verify` on the \
         directory, and restore it from a backup"
    )]
    Damaged {
        /// The file.
        file: String,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        why: String,
    },
    /// A newer version wrote it.
    #[error("{file} has format {found}; this version reads up to {known}; use a newer haulier")]
    NewerFormat {
        /// The file.
        file: String,
        /// Its format.
        found: u32,
        /// The newest format that is known.
        known: u32,
    },
    /// A restore into it was interrupted.
    #[error(
        "a restore into {place} was interrupted; run `haulier restore` again with the same backup"
    )]
    Unfinished {
        /// The directory.
        place: String,
    },
    /// An option makes no sense.
    #[error("{0}")]
    Options(String),
    /// The file system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, and where.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

impl OpenError {
    /// Something that the file system refused.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        Self::new(Code::Unavailable, error.to_string()).caused_by(error)
    }
}

/// Why an open store had to stop. It answers no more calls; the next start finds out what is
/// durable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fatal {
    /// Writing or syncing failed: what the disk holds is not known. Exit code 74.
    #[error("the log cannot be written: {0}; the next start finds out what is durable")]
    Write(String),
    /// Something that was durable is not there any more. Exit code 65.
    #[error("the log is damaged: {0}; run `haulier verify` on the directory")]
    Damaged(String),
}
