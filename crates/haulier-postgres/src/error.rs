//! Why a store could not be opened, and why an open one had to stop.

use std::error::Error as _;
use std::fmt;

use haulier_core::{Code, Error};
use tokio_postgres::error::SqlState;

/// Why the store in a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL, or an option, makes no sense.
    #[error("{0}")]
    Options(Error),
    /// The database cannot be used as it is: a setting, the schema, the rights. The text names the
    /// setting, its value and the cure.
    #[error("{0}")]
    Refused(Error),
    /// The database cannot be reached, or not now.
    #[error("{0}")]
    Away(Error),
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Options(error) | OpenError::Refused(error) | OpenError::Away(error) => error,
        }
    }
}

impl OpenError {
    /// What a program tells apart when it asks a database for the first time: what waiting may
    /// cure, and what it does not.
    pub(crate) fn from_call(error: Error) -> Self {
        let state = state(&error);
        let named = state.as_ref().map(|state| state.code().to_owned());
        match named.as_deref() {
            Some("28P01" | "28000" | "3D000" | "42501" | "25006") => Self::Refused(error),
            _ if Self::is_missing(&error) || is_about_tls(&error) => Self::Refused(error),
            _ => match error.code() {
                Code::Invalid => Self::Options(error),
                Code::Unavailable | Code::Throttled | Code::UnknownOutcome => Self::Away(error),
                _ => Self::Refused(error),
            },
        }
    }

    /// Whether the database said that a table or a schema is not there.
    pub(crate) fn is_missing(error: &Error) -> bool {
        state(error).is_some_and(|state| {
            state == SqlState::UNDEFINED_TABLE || state == SqlState::INVALID_SCHEMA_NAME
        })
    }
}

/// What the database itself said, if it said anything.
fn state(error: &Error) -> Option<SqlState> {
    causes(error).find_map(|cause| {
        cause.downcast_ref::<tokio_postgres::Error>().and_then(|error| error.code().cloned())
    })
}

/// Neither an outage nor a word of the database: both sides do not agree on how to talk.
fn is_about_tls(error: &Error) -> bool {
    causes(error).any(|cause| {
        let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause.is::<rustls::Error>()
            || inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
    }) || causes(error).any(|cause| {
        cause.downcast_ref::<tokio_postgres::Error>().is_some_and(|error| {
            // The driver's own complaints, about passwords and TLS: no connection was lost.
            error.code().is_none()
                && !error.is_closed()
                && error.source().is_some_and(|source| !source.is::<std::io::Error>())
        })
    })
}

fn causes(error: &Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

/// Why an open store had to stop: what it stands on is not there any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fatal {
    /// Tables, or what they remembered, are gone.
    Damaged(String),
    /// The database does not keep any more what acknowledgements promise.
    Refused(String),
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Damaged(why) | Self::Refused(why)) = self;
        f.write_str(why)
    }
}

impl std::error::Error for Fatal {}
