//! Errors on the wire: the gRPC status of the documented table, with `google.rpc` details that
//! carry the code and both answers (may I retry, may it have happened).
//!
//! A status without our details was made by a transport or a proxy. If the request surely never
//! left, it is [`Code::Unavailable`]; otherwise nobody knows: [`Code::UnknownOutcome`].

use std::collections::HashMap;
use std::time::Duration;

use haulier_core::clock::millis;
use haulier_core::error::FieldError;
use haulier_core::{Code, Error, Result};
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

use crate::pb;

/// The domain of our codes in `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "haulier";

/// The gRPC code of one of ours.
pub const fn grpc_code(code: Code) -> tonic::Code {
    match code {
        Code::Invalid | Code::TooLarge => tonic::Code::InvalidArgument,
        Code::Unauthenticated => tonic::Code::Unauthenticated,
        Code::Forbidden => tonic::Code::PermissionDenied,
        Code::NotFound => tonic::Code::NotFound,
        Code::NotSupported => tonic::Code::Unimplemented,
        Code::IdConflict | Code::UniqueConflict => tonic::Code::AlreadyExists,
        Code::Final => tonic::Code::FailedPrecondition,
        Code::QueueFull | Code::Throttled | Code::StorageFull => tonic::Code::ResourceExhausted,
        Code::Unavailable => tonic::Code::Unavailable,
        Code::UnknownOutcome => tonic::Code::Unknown,
        Code::Internal => tonic::Code::Internal,
    }
}

/// The status that tells an error.
pub fn to_status(error: &Error) -> Status {
    let metadata = HashMap::from([
        ("retryable".to_owned(), error.is_retryable().to_string()),
        ("may_have_applied".to_owned(), error.may_have_applied().to_string()),
    ]);
    let mut details = ErrorDetails::with_error_info(error.code().as_str(), DOMAIN, metadata);
    if let Some(delay) = error.retry_delay() {
        details.set_retry_info(Some(delay));
    }
    for field in error.fields() {
        details.add_bad_request_violation(field.field.as_str(), field.detail.as_str());
    }
    Status::with_error_details(grpc_code(error.code()), error.message(), details)
}

/// The error that a status tells.
pub fn from_status(status: Status) -> Error {
    let details = status.get_error_details();
    let info = details.error_info().filter(|info| info.domain == DOMAIN);
    let Some(code) = info.and_then(|info| Code::parse(&info.reason)) else {
        return without_details(status);
    };
    let mut error = Error::new(code, status.message());
    if let Some(delay) = details.retry_info().and_then(|retry| retry.retry_delay) {
        error = error.retry_after(delay);
    }
    if let Some(request) = details.bad_request() {
        let fields = request.field_violations.iter().map(|violation| FieldError {
            field: violation.field.clone(),
            detail: violation.description.clone(),
        });
        error = error.with_fields(fields.collect());
    }
    error
}

/// What a transport, a proxy or a server that is no Haulier said.
fn without_details(status: Status) -> Error {
    if never_sent(&status) {
        return Error::new(Code::Unavailable, "the server cannot be reached").caused_by(status);
    }
    let (code, what) = match status.code() {
        tonic::Code::InvalidArgument => (Code::Invalid, "the server cannot read the request"),
        tonic::Code::OutOfRange | tonic::Code::ResourceExhausted => {
            (Code::TooLarge, "the message is larger than the receiver allows")
        }
        tonic::Code::Unauthenticated => (Code::Unauthenticated, "the caller is not known"),
        tonic::Code::PermissionDenied => (Code::Forbidden, "the caller may not do this"),
        tonic::Code::Unimplemented => {
            (Code::NotSupported, "the server does not know this call: is it a Haulier server?")
        }
        _ => (Code::UnknownOutcome, "the answer was lost; the same call may be repeated"),
    };
    Error::new(code, format!("{what} ({})", status.message())).caused_by(status)
}

/// Whether a connection could not even be made.
fn never_sent(status: &Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// An error that fails one frame of a stream.
pub fn to_problem(error: &Error) -> pb::Problem {
    pb::Problem {
        code: error.code().as_str().to_owned(),
        message: error.message().to_owned(),
        retry_after_ms: error.retry_delay().map(millis),
    }
}

/// The error that failed one frame of a stream, if one did.
///
/// # Errors
/// That error. A code that this release does not know counts as internal: the frame may have
/// applied.
pub fn check_problem(problem: Option<pb::Problem>) -> Result<()> {
    let Some(problem) = problem else { return Ok(()) };
    let code = Code::parse(&problem.code).unwrap_or(Code::Internal);
    let error = Error::new(code, problem.message);
    Err(match problem.retry_after_ms {
        Some(ms) => error.retry_after(Duration::from_millis(ms)),
        None => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_wire_with_both_answers() {
        for code in Code::ALL {
            let error = Error::new(code, "no").retry_after(Duration::from_millis(1_500));
            let status = to_status(&error);
            assert_eq!(status.code(), grpc_code(code));
            let back = from_status(status);
            assert_eq!((back.code(), back.message()), (code, "no"));
            assert_eq!(back.retry_delay(), Some(Duration::from_millis(1_500)));
            let info = to_status(&error).get_error_details().error_info().cloned().unwrap();
            assert_eq!(info.metadata["retryable"], code.is_retryable().to_string());
            assert_eq!(info.metadata["may_have_applied"], code.may_have_applied().to_string());
            assert_eq!(check_problem(Some(to_problem(&error))).unwrap_err().code(), code);
        }
    }

    #[test]
    fn fields_that_are_wrong_are_named_on_the_other_side() {
        let back = from_status(to_status(&Error::invalid("tasks[3].kind", "is empty")));
        assert_eq!(back.fields()[0].field, "tasks[3].kind");
        assert_eq!(back.fields()[0].detail, "is empty");
    }

    #[test]
    fn a_status_without_our_details_is_of_unknown_outcome_unless_it_surely_was_not_applied() {
        let cases = [
            (tonic::Code::Unavailable, Code::UnknownOutcome),
            (tonic::Code::Cancelled, Code::UnknownOutcome),
            (tonic::Code::Internal, Code::UnknownOutcome),
            (tonic::Code::Unimplemented, Code::NotSupported),
            (tonic::Code::OutOfRange, Code::TooLarge),
        ];
        for (grpc, code) in cases {
            assert_eq!(from_status(Status::new(grpc, "proxy")).code(), code, "{grpc}");
        }
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let status = Status::from_error(Box::new(tonic::ConnectError(Box::new(refused))));
        assert_eq!(from_status(status).code(), Code::Unavailable);
        let foreign = ErrorDetails::with_error_info("final", "example.com", HashMap::new());
        let status = Status::with_error_details(tonic::Code::Unknown, "", foreign);
        assert_eq!(from_status(status).code(), Code::UnknownOutcome);
    }
}
