//! The outermost layer: gives each call an id, writes errors, logs what is the server's own fault.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use haulier_core::{Code, Error};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::problem::Fault;
use crate::shared::Shared;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_BYTES_MAX: usize = 128;

/// The longest that a call may take: a body's time, a wait, and as much again for the store.
const CALL_TIMEOUT: Duration = Duration::from_mins(2);

/// Gives up on a call that a store does not answer: the caller must not hang with it.
pub(super) async fn limit_time(
    State(shared): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    tokio::select! {
        response = next.run(request) => response,
        () = shared.clock.sleep(CALL_TIMEOUT) => {
            let text = "the store gave no answer in time; repeat the call with the same ids";
            Fault::from(Error::new(Code::UnknownOutcome, text)).into_response()
        }
    }
}

/// Takes or makes the call's id, and writes what went wrong.
pub(super) async fn identify(
    State(shared): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    let id = taken_id(request.headers()).unwrap_or_else(|| shared.new_id().to_string());
    let trace = trace_id(request.headers());
    let call = format!("{} {}", request.method(), request.uri().path());
    let mut response = next.run(request).await;
    if let Some(fault) = response.extensions_mut().remove::<Fault>() {
        let error = fault.error();
        if error.code() == Code::Internal {
            tracing::error!(code = %error.code(), request_id = id, call, "call failed: {error:#}");
        } else {
            tracing::debug!(code = %error.code(), request_id = id, call, "call refused: {error}");
        }
        let body = fault.render(&id, trace, response.headers_mut());
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = Body::from(body);
    }
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // What was taken is printable, what was made is hexadecimal.
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

/// A panic ends one call: its text stays in the log.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands it over so")]
pub(super) fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no text");
    tracing::error!(panic = text, "a call panicked");
    Fault::from(Error::internal("the server made a mistake; its log has more under the request id"))
        .into_response()
}

/// The caller's id for the call, if it is short and printable: it goes into logs.
fn taken_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let fine = !id.is_empty()
        && id.len() <= REQUEST_ID_BYTES_MAX
        && id.bytes().all(|byte| byte.is_ascii_graphic());
    fine.then(|| id.to_owned())
}

/// The caller's trace, from `traceparent`: version, 32 hexadecimal digits, parent, flags.
fn trace_id(headers: &HeaderMap) -> Option<String> {
    let mut parts = headers.get("traceparent")?.to_str().ok()?.split('-');
    let (_version, trace) = (parts.next()?, parts.next()?);
    let hex = trace.len() == 32 && trace.bytes().all(|byte| byte.is_ascii_hexdigit());
    (hex && parts.next().is_some()).then(|| trace.to_ascii_lowercase())
}

/// The headers of the call that are kept with its tasks, unless a task has its own.
pub(super) fn carry_trace(headers: &HeaderMap, task: &mut haulier_core::NewTask) {
    let carried: Vec<(&str, &str)> = ["traceparent", "tracestate"]
        .into_iter()
        .filter(|name| task.headers.get(name).is_none())
        .filter_map(|name| Some((name, headers.get(name)?.to_str().ok()?)))
        .collect();
    if !carried.is_empty() {
        task.headers = task.headers.iter().chain(carried).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(
            HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        )])
    }

    #[test]
    fn an_id_is_taken_only_if_it_is_short_and_printable() {
        let taken = |id: &str| taken_id(&headers("x-request-id", id)).is_some();
        assert!(taken("order-17/attempt:2") && taken(&"x".repeat(REQUEST_ID_BYTES_MAX)));
        assert!(!taken("") && !taken("a b") && !taken(&"x".repeat(REQUEST_ID_BYTES_MAX + 1)));
    }

    #[test]
    fn a_trace_is_read_from_a_well_formed_traceparent_only() {
        let of = |value: &str| trace_id(&headers("traceparent", value));
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(of(&format!("00-{trace}-00f067aa0ba902b7-01")).as_deref(), Some(trace));
        assert_eq!(of("00-xyz-00f067aa0ba902b7-01"), None);
        assert_eq!(of(trace), None);
    }
}
