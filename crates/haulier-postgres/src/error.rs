//! Why a store could not be opened, and why an open one had to stop.

use std::fmt;

use haulier_core::{Code, Error};

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
    /// What a program tells apart when it asks a database for the first time: what waiting cures,
    /// and what it does not.
    pub(crate) fn from_call(error: Error) -> Self {
        match error.code() {
            Code::Invalid => Self::Options(error),
            Code::Unavailable | Code::Throttled | Code::UnknownOutcome => Self::Away(error),
            _ => Self::Refused(error),
        }
    }
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
