//! How a command ends: an exit code that scripts can rely on, and for people what is wrong, why,
//! and what to do next. Nothing else in the program decides a number.

use std::error::Error as _;
use std::fmt;
use std::process::ExitCode;

use haulier_core::{Code, Error, Refusal};
use haulier_embedded::{BackupError, OpenError};
use haulier_server::StartError;

use crate::{output, text};

/// The numbers that `haulier` exits with. Stable: scripts and unit files stand on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// The answer is no: not found, refused by state, a task that did not complete.
    No = 1,
    /// The command line, or what it hands over, breaks a rule.
    Usage = 2,
    /// Stored data is damaged.
    Damage = 65,
    /// Nobody answers, or not now.
    Unavailable = 69,
    /// A defect of Haulier.
    Bug = 70,
    /// Reading or writing failed.
    Io = 74,
    /// The same command may succeed later.
    TryAgain = 75,
    /// No, or not enough, rights.
    NotAllowed = 77,
    /// Configuration or a check at start-up.
    Config = 78,
}

impl Exit {
    /// The exit code of an error code, by the table of the reference.
    pub const fn of(code: Code) -> Self {
        match code {
            Code::Invalid | Code::TooLarge => Self::Usage,
            Code::Unauthenticated | Code::Forbidden => Self::NotAllowed,
            Code::NotFound
            | Code::NotSupported
            | Code::IdConflict
            | Code::UniqueConflict
            | Code::Final => Self::No,
            Code::QueueFull | Code::Throttled | Code::StorageFull | Code::UnknownOutcome => {
                Self::TryAgain
            }
            Code::Unavailable => Self::Unavailable,
            Code::Internal => Self::Bug,
        }
    }

    /// The exit code of that number; a number that is none of ours is a defect.
    pub fn from_number(number: u8) -> Self {
        let known = [
            Self::Done,
            Self::No,
            Self::Usage,
            Self::Damage,
            Self::Unavailable,
            Self::Io,
            Self::TryAgain,
            Self::NotAllowed,
            Self::Config,
        ];
        known.into_iter().find(|exit| *exit as u8 == number).unwrap_or(Self::Bug)
    }
}

/// Why a command ended without having done its work.
#[derive(Debug)]
pub struct Failed {
    exit: Exit,
    what: String,
    next: Option<String>,
}

/// What a command returns.
pub type Result<T, E = Failed> = std::result::Result<T, E>;

impl Failed {
    /// What is wrong, and why.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), next: None }
    }

    /// The reader of our output has gone, as in `haulier tasks list | head`. Nothing to say.
    pub fn reader_gone() -> Self {
        Self::new(Exit::Done, "")
    }

    /// Something was to be read or written and could not be.
    pub fn io(what: impl fmt::Display, error: &std::io::Error) -> Self {
        Self::new(Exit::Io, format!("{what}: {error}"))
    }

    /// A text that names the remedy itself, after a semicolon.
    fn told(exit: Exit, text: &str) -> Self {
        match text.rsplit_once("; ") {
            Some((what, next)) => Self::new(exit, what).next(next),
            None => Self::new(exit, text),
        }
    }

    /// Says what to do next.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// The code that it leads to.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        let (what, remedy) = match error.message().split_once("; ") {
            // Whoever is away is told with what to start instead.
            Some((what, remedy)) if error.code() == Code::Unavailable => (what, Some(remedy)),
            _ => (error.message(), None),
        };
        let what = match root(&error) {
            Some(cause) => format!("{what} ({cause})"),
            None => what.to_owned(),
        };
        let next = match error.code() {
            _ if remedy.is_some() => remedy,
            Code::UnknownOutcome => {
                Some("it may have happened: look, or repeat it with the same ids")
            }
            Code::Internal => Some("this is a defect: please report it with the server's log"),
            // Most messages name the remedy themselves, after a semicolon.
            code if code.is_retryable() && !what.contains(';') => Some("repeat the command later"),
            _ => None,
        };
        let failed = Self::new(Exit::of(error.code()), what);
        match next {
            Some(next) => failed.next(next),
            None => failed,
        }
    }
}

/// Where an error began: what lies between says the same in other words.
fn root(error: &Error) -> Option<String> {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.last().map(ToString::to_string)
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self::new(Exit::of(refusal.code), refusal.message)
    }
}

impl From<StartError> for Failed {
    fn from(error: StartError) -> Self {
        let exit = Exit::from_number(haulier_server::run::exit_code(&error));
        match error {
            StartError::Store(error) => error.into(),
            _ => Self::told(exit, &error.to_string()),
        }
    }
}

/// The codes are those of a server that cannot start for the same reason.
impl From<OpenError> for Failed {
    fn from(error: OpenError) -> Self {
        let exit = match error {
            OpenError::Locked { .. }
            | OpenError::NewerFormat { .. }
            | OpenError::Unfinished { .. }
            | OpenError::Options(_) => Exit::Config,
            OpenError::Damaged { .. } => Exit::Damage,
            OpenError::Io { .. } => Exit::Io,
        };
        Self::told(exit, &error.to_string())
    }
}

/// As a server that cannot open the same store.
impl From<haulier::store::OpenError> for Failed {
    fn from(error: haulier::store::OpenError) -> Self {
        let exit = Exit::from_number(haulier_server::run::store_exit_code(&error));
        match error {
            // What it knows is no remedy.
            haulier::store::OpenError::Url(_) => Self::new(exit, error.to_string()),
            _ => Self::told(exit, &error.to_string()),
        }
    }
}

/// The codes are those of a directory in the same state.
impl From<BackupError> for Failed {
    fn from(error: BackupError) -> Self {
        let exit = match error {
            BackupError::Open(error) => return error.into(),
            BackupError::Damaged { .. } | BackupError::Unsound { .. } => Exit::Damage,
            BackupError::Foreign(_) | BackupError::Io { .. } => Exit::Io,
            BackupError::Newer { .. }
            | BackupError::Taken(_)
            | BackupError::ClockBehind(_)
            | BackupError::GenerationLow { .. } => Exit::Config,
        };
        Self::told(exit, &error.to_string())
    }
}

/// Ends the process: says what failed on standard error and gives the code.
pub fn end(result: Result<Exit>) -> ExitCode {
    let exit = match result {
        Ok(exit) => exit,
        Err(failed) => {
            if !failed.what.is_empty() {
                output::say(format_args!(
                    "{}error:{} {}",
                    output::BAD,
                    output::PLAIN,
                    text::line(&failed.what)
                ));
            }
            if let Some(next) = &failed.next {
                output::say(format_args!("  next: {}", text::line(next)));
            }
            failed.exit()
        }
    };
    ExitCode::from(exit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_leads_to_the_exit_code_of_the_reference() {
        let numbers: Vec<u8> = Code::ALL.into_iter().map(|code| Exit::of(code) as u8).collect();
        assert_eq!(numbers, [2, 2, 77, 77, 1, 1, 1, 1, 1, 75, 75, 75, 69, 75, 70]);
    }

    #[test]
    fn a_retryable_error_without_a_remedy_gets_one() {
        let bare = Failed::from(Error::new(Code::Throttled, "too many calls"));
        assert_eq!(bare.next.as_deref(), Some("repeat the command later"));
        let full = Failed::from(Error::new(Code::Unavailable, "away; start it"));
        assert_eq!((full.what.as_str(), full.next.as_deref()), ("away", Some("start it")));
        let locked = Failed::from(OpenError::Locked { place: "data/lock".to_owned() });
        assert_eq!(locked.what, "data/lock is open in another process");
        assert_eq!(locked.next.as_deref(), Some("stop that one, or use another directory"));
        let refused = Failed::from(Error::new(Code::Final, "it is completed"));
        assert_eq!(refused.next, None);
    }
}
