//! The few pages for people: where to look, and what each error code means. HTML for browsers, text
//! for others. Nothing in them comes from users.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use haulier_core::{Code, Error};
use http::{HeaderMap, HeaderValue, header};

use super::guard::accepts;
use super::problem::{Fault, status_of};
use crate::api::Problem;

/// Where to look.
pub(super) async fn root(headers: HeaderMap) -> Response {
    let version = env!("CARGO_PKG_VERSION");
    page(
        &headers,
        &format!("Haulier {version}"),
        &[
            "A durable distributed task queue. This is its interface over HTTP and JSON, below \
             /api/v1; gRPC is served at the same address.",
            "What it offers: /openapi.json",
            "What it is and what it allows: /api/v1/about",
            "Whether it takes calls: /readyz?verbose",
            "A first task: curl -X POST -H 'Content-Type: application/json' \
             -d '{\"kind\":\"hello\"}' ADDRESS/api/v1/tasks",
        ],
    )
}

/// What an error code means.
pub(super) async fn error(headers: HeaderMap, Path(name): Path<String>) -> Response {
    let Some(code) = Code::parse(&name) else {
        let known: Vec<&str> = Code::ALL.into_iter().map(Code::as_str).collect();
        let text = format!("there is no such code; known are {}", known.join(", "));
        return Fault::from(Error::new(Code::NotFound, text)).into_response();
    };
    let yes_no = |yes| if yes { "yes" } else { "no" };
    page(
        &headers,
        &format!("Error code: {code}"),
        &[
            Problem::explain(code),
            &format!("HTTP status: {}", status_of(code)),
            &format!("May be repeated with the same ids: {}", yes_no(code.is_retryable())),
            &format!("May have taken effect: {}", yes_no(code.may_have_applied())),
        ],
    )
}

fn page(headers: &HeaderMap, title: &str, paragraphs: &[&str]) -> Response {
    let wants_html = headers.contains_key(header::ACCEPT) && accepts_html(headers);
    let (kind, body) = if wants_html {
        let paragraphs: Vec<String> = paragraphs.iter().map(|text| escape(text)).collect();
        let paragraphs = paragraphs.join("</p>\n<p>");
        let title = escape(title);
        let body = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <title>{title}</title>\n<h1>{title}</h1>\n<p>{paragraphs}</p>\n</html>\n"
        );
        ("text/html; charset=utf-8", body)
    } else {
        ("text/plain; charset=utf-8", format!("{title}\n\n{}\n", paragraphs.join("\n\n")))
    };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    );
    response
}

/// Browsers name HTML; `curl` and its like say only that they take everything.
fn accepts_html(headers: &HeaderMap) -> bool {
    let everything = headers
        .get_all(header::ACCEPT)
        .iter()
        .all(|value| value.to_str().is_ok_and(|value| value.trim() == "*/*"));
    !everything && accepts(headers, &["text/html"])
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
