//! Reading requests: a JSON body within its limit, a query, a path. Each says what is wrong and
//! where.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRef, FromRequest, FromRequestParts, Path, Query, Request};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use haulier_core::{Code, Error};
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use super::problem::Fault;
use crate::door::Stopped;
use crate::shared::Shared;

/// A JSON body.
pub(super) struct JsonBody<T>(pub T);

impl<S, T> FromRequest<S> for JsonBody<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
    Shared: FromRef<S>,
{
    type Rejection = Fault;

    async fn from_request(request: Request, state: &S) -> Result<Self, Fault> {
        let shared = Shared::from_ref(state);
        let limit = shared.body_bytes_max();
        let (parts, body) = request.into_parts();
        check_headers(&parts.headers, limit)?;
        let bytes = read(body, limit).await?;
        parse(&bytes).map(Self)
    }
}

/// What can be refused before a byte of the body was read.
fn check_headers(headers: &HeaderMap, limit: usize) -> Result<(), Fault> {
    let text = |name| {
        headers.get(name).map(|value: &http::HeaderValue| value.to_str().unwrap_or_default())
    };
    let kind = text(header::CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind != "application/json" {
        return Err(Fault::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Code::Invalid,
            "send the body as JSON, with the header `Content-Type: application/json`",
        ));
    }
    if text(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(Fault::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Code::Invalid,
            "compressed bodies are not read; send it as it is",
        ));
    }
    let length = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    if length.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    Ok(())
}

fn too_large(limit: usize) -> Fault {
    Error::new(
        Code::TooLarge,
        format!("a body may have at most {limit} bytes; send fewer tasks at once"),
    )
    .into()
}

/// Reads a body: not a byte beyond the limit.
async fn read(body: Body, limit: usize) -> Result<Bytes, Fault> {
    let mut chunks = body.into_data_stream();
    let mut all = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| cut_short(&error))?;
        if all.len() + chunk.len() > limit {
            return Err(too_large(limit));
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all.freeze())
}

/// Why a body has no end.
fn cut_short(error: &axum::Error) -> Fault {
    match Stopped::of(error) {
        Some(late @ Stopped::Late) => {
            Fault::new(StatusCode::REQUEST_TIMEOUT, Code::Invalid, late.to_string())
        }
        Some(Stopped::NoRoom(refused)) => refused.clone().into(),
        None => Error::new(Code::Invalid, format!("the body ended before its end: {error}")).into(),
    }
}

/// Reads JSON; only what is wrong is read twice, to learn its path.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    // Derived readers would take a list as the fields of an object, in their order.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        return Err(Error::invalid("body", "is a list; send a JSON object").into());
    }
    serde_json::from_slice(bytes).or_else(|plain| {
        let (path, detail) = match Json::<T>::from_bytes(bytes) {
            Ok(Json(value)) => return Ok(value),
            Err(rejection) => explain(&rejection).unwrap_or((String::new(), plain.to_string())),
        };
        let field = if path.is_empty() { "body".to_owned() } else { path };
        Err(Error::invalid(field, detail).into())
    })
}

/// Path, and what is wrong there with line and column: both stand in the text of the cause.
fn explain(rejection: &JsonRejection) -> Option<(String, String)> {
    let text = std::error::Error::source(rejection).or(Some(rejection))?.to_string();
    let (path, detail) = text.split_once(": ").unwrap_or(("", &text));
    let is_path = !path.is_empty() && !path.contains(' ') && path != ".";
    Some(if is_path { (path.to_owned(), detail.to_owned()) } else { (String::new(), text.clone()) })
}

/// The query of the address. Parameters that are not known are ignored.
pub(super) struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Fault> {
        let query = Query::<T>::try_from_uri(&parts.uri)
            .map_err(|rejection| Error::invalid("query", rejection.body_text()))?;
        Ok(Self(query.0))
    }
}

/// The one variable segment of a path, with the verb behind its colon: `/tasks/{id}:cancel`.
///
/// The router matches whole segments only, so the colon is taken apart here.
pub(super) struct Segment {
    /// What stands before the colon.
    pub name: String,
    /// What stands behind it.
    pub verb: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
        let Path(segment) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| Error::invalid("path", rejection.body_text()))?;
        Ok(match segment.split_once(':') {
            Some((name, verb)) => Self { name: name.to_owned(), verb: Some(verb.to_owned()) },
            None => Self { name: segment, verb: None },
        })
    }
}

impl Segment {
    /// What stands before the colon, as a name or an id.
    pub(super) fn parse<T>(&self, field: &str) -> Result<T, Fault>
    where
        T: std::str::FromStr<Err = haulier_core::Refusal>,
    {
        self.name
            .parse()
            .map_err(|refusal: haulier_core::Refusal| Error::invalid(field, refusal.message).into())
    }

    /// The same, of a call that has no verb.
    pub(super) fn parse_whole<T>(&self, field: &str) -> Result<T, Fault>
    where
        T: std::str::FromStr<Err = haulier_core::Refusal>,
    {
        match &self.verb {
            None => self.parse(field),
            Some(verb) => Err(no_such_verb(verb)),
        }
    }
}

/// There is no such call.
pub(super) fn no_such_verb(verb: &str) -> Fault {
    let shown: String = verb.chars().take(40).collect();
    Error::new(Code::NotFound, format!("there is no call {shown:?} here; see /openapi.json")).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api;

    fn refused<T: DeserializeOwned>(json: &str) -> (String, String) {
        let fault = parse::<T>(json.as_bytes()).err().unwrap();
        let field = fault.error().fields()[0].clone();
        (field.field, field.detail)
    }

    #[test]
    fn what_cannot_be_read_is_named_by_path_line_and_column() {
        for (json, path, hint) in [
            (r#"{"tasks":[{"kind":"a"},{"kind":"a b"}]}"#, "tasks[1].kind", "not a name"),
            (r#"{"tasks":[{"kind":"a","color":1}]}"#, "tasks[0].color", "unknown field `color`"),
            (r#"{"tasks":[{}]}"#, "tasks[0]", "missing field `kind`"),
            (r#"{"tasks":[{"kind":"a","delay":"soon"}]}"#, "tasks[0].delay", "not a duration"),
            (r#"{"tasks":[{"kind":"a","priority":-1}]}"#, "tasks[0].priority", "-1"),
            ("{\"tasks\":[\n  {\"kind\":}]}", "tasks[0].kind", "line 2 column 11"),
            ("{\"tasks\":[", "tasks", "EOF"),
            ("", "body", "EOF"),
            ("{} {}", "body", "line 1"),
            (" [[]]", "body", "JSON object"),
        ] {
            let (field, detail) = refused::<api::EnqueueMany>(json);
            assert_eq!(field, path, "{json}: {detail}");
            assert!(detail.contains(hint), "{json}: {detail}");
        }
    }
}
