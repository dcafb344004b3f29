//! Errors on their way out. A handler returns a [`Fault`]; the outermost layer writes it as
//! `application/problem+json`, since only that layer knows the request's id.

use axum::response::{IntoResponse, Response};
use haulier_core::{Code, Error, Refusal};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::api::Problem;

/// Why a call failed, with its status.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    status: StatusCode,
    error: Error,
}

impl Fault {
    /// A fault of HTTP itself, whose status is finer than its code.
    pub(crate) fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self { status, error: Error::new(code, message) }
    }

    /// The error.
    pub(crate) fn error(&self) -> &Error {
        &self.error
    }

    /// The response that a client gets.
    pub(super) fn render(
        self,
        request_id: &str,
        trace_id: Option<String>,
        to: &mut HeaderMap,
    ) -> Vec<u8> {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let mut problem = Problem::of(&self.error, self.status.as_u16(), title);
        request_id.clone_into(&mut problem.request_id);
        problem.trace_id = trace_id;
        to.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_seconds() {
            to.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        // Serialising texts and numbers does not fail.
        serde_json::to_vec(&problem).unwrap_or_default()
    }

    /// `Retry-After` knows whole seconds; 429 and 503 always have one.
    fn retry_after_seconds(&self) -> Option<u64> {
        let always =
            matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        match self.error.retry_delay() {
            Some(delay) => Some(delay.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX)),
            None => always.then_some(1),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self { status: status_of(error.code()), error }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Error::from(refusal).into()
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The status of a code.
pub(crate) const fn status_of(code: Code) -> StatusCode {
    match code {
        Code::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::NotSupported => StatusCode::NOT_IMPLEMENTED,
        Code::IdConflict | Code::UniqueConflict | Code::Final => StatusCode::CONFLICT,
        Code::QueueFull | Code::Throttled => StatusCode::TOO_MANY_REQUESTS,
        Code::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::UnknownOutcome => StatusCode::GATEWAY_TIMEOUT,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
