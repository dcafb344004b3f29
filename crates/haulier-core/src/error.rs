//! One error for every call, and the refusal of a single item.
//!
//! An error answers two questions before it says a word: may I retry ([`Error::is_retryable`]), and
//! may it have happened ([`Error::may_have_applied`])? Programs act on those two and on the
//! [`Code`]; the text is for people and is never compared.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What a call returns: an answer for each item, or why the call failed as a whole.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. Stable: a code is never renamed and never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// A field is missing, malformed or out of range.
    Invalid,
    /// Something exceeds its limit.
    TooLarge,
    /// No proof, or no valid proof, of who is calling.
    Unauthenticated,
    /// The caller may not do this.
    Forbidden,
    /// There is no such task, queue or worker, or it is no longer remembered.
    NotFound,
    /// This store cannot do that: see [`crate::Capabilities`].
    NotSupported,
    /// The task id is taken by a task with another payload.
    IdConflict,
    /// The unique key is taken, and the task asked to be refused in that case.
    UniqueConflict,
    /// The task is in a state that does not allow this.
    Final,
    /// The queue holds as many tasks as its settings allow.
    QueueFull,
    /// Too many calls at once.
    Throttled,
    /// No room left for new tasks; settling, cancelling and deleting still work.
    StorageFull,
    /// Not now: starting, draining, or the store is away.
    Unavailable,
    /// The answer was lost: it may or may not have happened.
    UnknownOutcome,
    /// A defect of Haulier or of what it stands on.
    Internal,
}

impl Code {
    /// Every code, in the order of the documentation.
    pub const ALL: [Self; 15] = [
        Self::Invalid,
        Self::TooLarge,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::NotSupported,
        Self::IdConflict,
        Self::UniqueConflict,
        Self::Final,
        Self::QueueFull,
        Self::Throttled,
        Self::StorageFull,
        Self::Unavailable,
        Self::UnknownOutcome,
        Self::Internal,
    ];

    /// The code as it stands on every wire: `queue_full`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::NotSupported => "not_supported",
            Self::IdConflict => "id_conflict",
            Self::UniqueConflict => "unique_conflict",
            Self::Final => "final",
            Self::QueueFull => "queue_full",
            Self::Throttled => "throttled",
            Self::StorageFull => "storage_full",
            Self::Unavailable => "unavailable",
            Self::UnknownOutcome => "unknown_outcome",
            Self::Internal => "internal",
        }
    }

    /// The code of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == name)
    }

    /// Whether the same call, with the same ids, can succeed later.
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::QueueFull
                | Self::Throttled
                | Self::StorageFull
                | Self::Unavailable
                | Self::UnknownOutcome
                | Self::Internal
        )
    }

    /// Whether the call may have taken effect although it failed.
    pub const fn may_have_applied(self) -> bool {
        matches!(self, Self::UnknownOutcome | Self::Internal)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why one item of a batch was not accepted. Nothing of that item was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What is wrong, for programs.
    pub code: Code,
    /// What is wrong and what to do about it, for people.
    pub message: String,
}

impl Refusal {
    /// A refusal with its reason; `message` says what is wrong and what is allowed.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// Why a call failed as a whole.
///
/// ```
/// use haulier_core::{Code, Error};
/// let error = Error::new(Code::Unavailable, "the server is draining; try another one");
/// assert!(error.is_retryable() && !error.may_have_applied());
/// ```
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: Code,
    message: String,
    retry_after: Option<Duration>,
    fields: Vec<FieldError>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// One field of a request and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Path of the field, as in `tasks[3].queue`.
    pub field: String,
    /// What is wrong with it.
    pub detail: String,
}

impl Error {
    /// An error with its code and, for people, what is wrong and what to do next.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            message: message.into(),
            retry_after: None,
            fields: Vec::new(),
            source: None,
        }))
    }

    /// Input that does not follow the rules; `field` is its path.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        let field = FieldError { field: field.into(), detail: detail.into() };
        let mut error = Self::new(Code::Invalid, format!("{}: {}", field.field, field.detail));
        error.0.fields.push(field);
        error
    }

    /// A defect: something that the code promised itself did not hold.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }

    /// Keeps what caused it; shown by `{:#}` and by [`std::error::Error::source`].
    #[must_use]
    pub fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// Proposes when to try again.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Names the fields that are wrong.
    #[must_use]
    pub fn with_fields(mut self, fields: Vec<FieldError>) -> Self {
        self.0.fields = fields;
        self
    }

    /// What went wrong, for programs.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What went wrong, for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Whether the same call with the same ids can succeed later.
    pub fn is_retryable(&self) -> bool {
        self.0.code.is_retryable()
    }

    /// Whether the call may have taken effect although it failed. Repeating it with the same ids is
    /// always safe.
    pub fn may_have_applied(&self) -> bool {
        self.0.code.may_have_applied()
    }

    /// When to try again, if the answer said so.
    pub fn retry_delay(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The fields that are wrong, if input was.
    pub fn fields(&self) -> &[FieldError] {
        &self.0.fields
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code, refusal.message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        match &self.0.source {
            Some(source) if f.alternate() => write!(f, ": {source:#}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self:#}", self.0.code)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_name_of_its_own_that_reads_back() {
        for code in Code::ALL {
            assert_eq!(Code::parse(code.as_str()), Some(code));
        }
        assert_eq!(Code::parse("no_such_code"), None);
    }

    #[test]
    fn what_may_have_applied_can_always_be_retried() {
        for code in Code::ALL {
            assert!(!code.may_have_applied() || code.is_retryable(), "{code}");
        }
    }
}
