//! What a failure means: whether the same may be tried again, whether it may have happened, and
//! what to do next.

use std::time::Duration;

use haulier_core::probe::{failpoint, planted};
use haulier_core::{Code, Error};
use tokio_postgres::error::{DbError, SqlState};

/// Why a transaction's body came to no end.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The database said so, or is away.
    Db(tokio_postgres::Error),
    /// The same, while the transaction's end was on the way: it may have been kept.
    Ending(tokio_postgres::Error),
    /// The database has not answered for longer than anything takes: it, or the way to it, stands
    /// still.
    Late {
        /// Whether the transaction's end was on the way.
        ending: bool,
    },
    /// The body itself gave up: nothing is kept, and this is the answer.
    Abort(Error),
    /// The body wants to begin again, as if the database had undone it.
    Again,
}

/// How long any answer may take. A database that stands still must not hold its callers for ever;
/// one that only works hard must not be given up.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// An answer, or that it does not come. What was sent is still on its way.
pub(crate) async fn in_time<T>(
    asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Failed> {
    match tokio::time::timeout(ANSWER_MAX, asked).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Failed::Late { ending: false }),
    }
}

impl Failed {
    /// The same, while the transaction's end was on the way.
    pub(super) fn ending(self) -> Self {
        match self {
            Self::Db(error) => Self::Ending(error),
            Self::Late { .. } => Self::Late { ending: true },
            other => other,
        }
    }

    /// What it means in somebody else's transaction. It is never tried again here: that is for
    /// whoever began it.
    pub(crate) fn told(self, verb: &str) -> Error {
        match judge(verb, self) {
            Verdict::Again(error) | Verdict::Tell(error) => error,
        }
    }
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Abort(error)
    }
}

/// Where tests make a process fail that is about to have something kept.
pub(super) fn before_commit() -> Result<(), Failed> {
    failpoint("before commit").map_err(|error| {
        let text = "a test made it fail before anything was kept; try again";
        Error::new(Code::Unavailable, text).caused_by(error).into()
    })
}

/// Where tests make a process fail that has had something kept, and has told nobody.
pub(super) fn after_commit() -> Result<(), Failed> {
    failpoint("after commit").map_err(|error| {
        let text = "a test made it fail after everything was kept; ask again with the same ids";
        Error::new(Code::UnknownOutcome, text).caused_by(error).into()
    })
}

/// What is wrong with a proxy that hands connections around, and what to do about it.
pub(crate) const SHARED: &str = "a proxy before the database hands its connections to others after \
                                 each transaction, and with them what was prepared and who listens; \
                                 add notify=off&prepare=off to the URL, or let it pool sessions";

/// What to do about a failure.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Nothing happened; the same can succeed at once.
    Again(Error),
    /// To be told to the caller.
    Tell(Error),
}

pub(crate) fn judge(verb: &str, failed: Failed) -> Verdict {
    match failed {
        Failed::Abort(error) => Verdict::Tell(error),
        Failed::Again => Verdict::Again(Error::new(
            Code::Unavailable,
            format!("{verb}: others changed the same tasks again and again; try again later"),
        )),
        Failed::Late { ending: false } => Verdict::Tell(
            Error::new(
                Code::Unavailable,
                format!("{verb}: the database does not answer; try again later"),
            )
            .retry_after(Duration::from_secs(1)),
        ),
        Failed::Late { ending: true } => Verdict::Tell(Error::new(
            Code::UnknownOutcome,
            format!(
                "{verb}: the database does not answer; it may happen yet, and asking again with \
                 the same ids is safe"
            ),
        )),
        Failed::Db(error) => answered(verb, error, false),
        Failed::Ending(error) => answered(verb, error, true),
    }
}

/// What the database answered, or that it did not. `ending`: what was asked for may have been kept
/// if the answer did not come.
fn answered(verb: &str, error: tokio_postgres::Error, ending: bool) -> Verdict {
    let Some(told) = error.as_db_error() else {
        return match is_away(&error) {
            true if ending && planted("unknown-told-as-refused") => {
                Verdict::Tell(away(verb, error))
            }
            true if ending => Verdict::Tell(unknown(verb, error)),
            true => Verdict::Again(away(verb, error)),
            false => Verdict::Tell(
                Error::internal(format!("{verb}: the database's answer is not understood"))
                    .caused_by(error),
            ),
        };
    };
    let state = told.code();
    if *state == SqlState::T_R_SERIALIZATION_FAILURE || *state == SqlState::T_R_DEADLOCK_DETECTED {
        let text = format!("{verb}: others changed the same tasks again and again; try again");
        return Verdict::Again(Error::new(Code::Unavailable, text).caused_by(error));
    }
    // The server ends the connection with these; what was on the way may have been kept.
    if matches!(told.severity(), "FATAL" | "PANIC") || is_passing(state) {
        if ending {
            return Verdict::Tell(unknown(verb, error));
        }
        if is_passing(state) {
            return Verdict::Again(away(verb, error));
        }
    }
    Verdict::Tell(explain(verb, told).caused_by(error))
}

/// A state that goes away by itself, so that another connection may do better.
fn is_passing(state: &SqlState) -> bool {
    let code = state.code();
    code.starts_with("57P") || code.starts_with("08") || code == "25P03"
}

/// The server's complaint, with what to do next.
pub(crate) fn explain(verb: &str, told: &DbError) -> Error {
    let state = told.code();
    let said = told.message();
    let (code, next) = match state.code() {
        "53100" => (Code::StorageFull, "free room on its disk, or delete finished tasks"),
        "53300" => {
            (Code::Throttled, "raise max_connections, or lower `pool` in the URLs of the servers")
        }
        "53200" | "53000" | "53400" => (Code::Unavailable, "the database has no more resources"),
        "57014" => (
            Code::Unavailable,
            "a statement was cancelled; look at statement_timeout of the role and the database",
        ),
        "25P03" | "57P05" => {
            (Code::Unavailable, "the database cut an idle connection; look at its idle time-outs")
        }
        "55P03" => (Code::Unavailable, "a lock was not got in time; look at lock_timeout"),
        "25006" => (
            Code::Unavailable,
            "the database only reads; connect to the primary (target_session_attrs=read-write)",
        ),
        "42501" => (
            Code::Internal,
            "grant the role the rights on schema, tables and sequences; whoever migrates needs \
             CREATE on the database",
        ),
        "28P01" | "28000" => {
            (Code::Unavailable, "look at user and password in the URL, and at pg_hba.conf")
        }
        "3D000" => (Code::Unavailable, "create the database, or name another one in the URL"),
        // A statement is prepared at a backend that is another session's by now.
        "26000" | "42P05" => (Code::Unavailable, SHARED),
        "42P01" | "3F000" | "42703" | "42883" => (
            Code::Internal,
            "the tables are not there, or not of this version: haulier migrate status",
        ),
        code if code.starts_with("57P") => (Code::Unavailable, "try again"),
        code if code.starts_with("08") => (
            Code::Unavailable,
            "look at the log of the database, and of the proxy if there is one before it",
        ),
        code if code.starts_with("58") || code.starts_with("XX") => {
            (Code::Internal, "the database has trouble of its own: look at its log")
        }
        _ => (Code::Internal, "this should not happen: please report it"),
    };
    let state = state.code();
    let error = Error::new(code, format!("{verb}: PostgreSQL said {said:?} ({state}); {next}"));
    if error.is_retryable() { error.retry_after(Duration::from_secs(1)) } else { error }
}

pub(super) fn is_away(error: &tokio_postgres::Error) -> bool {
    use std::error::Error as _;
    error.is_closed() || error.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
}

/// The database could not be reached, or its connection was lost; nothing happened.
pub(crate) fn away(verb: &str, error: tokio_postgres::Error) -> Error {
    let text = format!("{verb}: the database is away; try again");
    Error::new(Code::Unavailable, text).retry_after(Duration::from_secs(1)).caused_by(error)
}

/// The connection was lost while the end of the transaction was on the way.
fn unknown(verb: &str, error: tokio_postgres::Error) -> Error {
    let text = format!(
        "{verb}: the connection to the database was lost before it answered; it may have \
         happened, and asking again with the same ids is safe"
    );
    Error::new(Code::UnknownOutcome, text).caused_by(error)
}
