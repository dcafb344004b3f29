//! What failures of Redis mean, and the errors of opening and of the end.

use std::fmt;

use haulier_core::{Code, Error};
use redis::{ErrorKind, RedisError, ServerErrorKind};

/// What the prelude says when the store's keys are not there any more.
const GONE: &str = "HAULIERGONE";

/// Why the store could not be opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenError {
    /// The options make no sense.
    #[error("{0}")]
    Options(Error),
    /// Redis is not what it must be, or refuses us.
    #[error("{0}")]
    Refused(Error),
    /// Redis cannot be reached, or not now.
    #[error("{0}")]
    Away(Error),
}

impl OpenError {
    /// What a failed call means while the store is opened.
    pub(crate) fn from_call(error: Error) -> Self {
        match error.code() {
            Code::Invalid => Self::Options(error),
            Code::Unavailable | Code::Throttled | Code::UnknownOutcome => Self::Away(error),
            _ => Self::Refused(error),
        }
    }

    /// What it means for a call of a store that is open: not now, whatever has to be done.
    pub(crate) fn into_call(self) -> Error {
        match self {
            Self::Options(error) | Self::Refused(error) | Self::Away(error) => {
                if error.code() == Code::Unavailable {
                    return error;
                }
                let text = error.message().to_owned();
                Error::new(Code::Unavailable, text).caused_by(error)
            }
        }
    }

    /// The error itself.
    pub fn error(&self) -> &Error {
        match self {
            Self::Options(error) | Self::Refused(error) | Self::Away(error) => error,
        }
    }
}

/// Why an open store had to stop: what it stands on is not there any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fatal {
    /// Keys, or what they held, are gone.
    Damaged(String),
    /// Redis does not keep any more what acknowledgements promise.
    Refused(String),
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Damaged(why) | Self::Refused(why)) = self;
        f.write_str(why)
    }
}

impl std::error::Error for Fatal {}

/// Whether Redis says that the store is not there any more.
pub(crate) fn is_gone(error: &RedisError) -> bool {
    error.code() == Some(GONE)
}

/// What a failed command means for whoever asked. `writes`: it may have changed something before
/// its answer was lost.
pub(crate) fn translate(verb: &str, writes: bool, error: RedisError) -> Error {
    let code = match error.kind() {
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly
            | ServerErrorKind::Moved
            | ServerErrorKind::Ask,
        )
        | ErrorKind::ClusterConnectionNotFound
        | ErrorKind::MasterNameNotFoundBySentinel => Code::Unavailable,
        ErrorKind::Server(ServerErrorKind::NoPerm) | ErrorKind::AuthenticationFailed => {
            Code::Internal
        }
        ErrorKind::Io if error.is_connection_refusal() || !writes => Code::Unavailable,
        ErrorKind::Io => Code::UnknownOutcome,
        _ => match error.code() {
            Some("OOM") => Code::StorageFull,
            Some("BUSY" | "MISCONF" | "NOREPLICAS" | GONE) => Code::Unavailable,
            _ => Code::Internal,
        },
    };
    let text = match code {
        Code::StorageFull => "Redis has reached its maxmemory: nothing new is stored until tasks \
                              are done or removed, or the limit is raised"
            .to_owned(),
        Code::UnknownOutcome => {
            format!("the answer to {verb} was lost: it may or may not have happened; ask again")
        }
        Code::Unavailable => format!("Redis does not serve {verb} now; try again"),
        _ if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => format!(
            "the user that we are in Redis lacks a right for {verb} ({}): grant it with ACL \
             SETUSER; the guide on Redis lists all that are needed",
            error.detail().unwrap_or_default()
        ),
        _ => format!("Redis refused {verb}"),
    };
    Error::new(code, text).caused_by(error)
}
