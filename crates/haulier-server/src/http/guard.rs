//! What is refused before a handler is asked: calls meant for another host, and changes that a page
//! of another origin would make through a user's browser.
//!
//! On loopback there is no authentication, so a browser on the same machine is the way in for
//! strangers. A foreign name that was made to point here (DNS rebinding) is told by its `Host`; a
//! foreign page by `Sec-Fetch-Site`, or by `Origin` in browsers that are too old for it. There is
//! no CORS.

use std::net::IpAddr;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use haulier_core::Code;
use http::{HeaderMap, Method, StatusCode, Uri, header};

use super::problem::Fault;

/// Refuses calls for foreign hosts and from foreign pages.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    match check(request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(fault) => fault.into_response(),
    }
}

fn check(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Fault> {
    let host = headers.get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    let named = uri.authority().map(http::uri::Authority::as_str);
    if let Some(foreign) = host.into_iter().chain(named).find(|name| !is_loopback(name)) {
        let shown: String = foreign.chars().take(80).collect();
        return Err(Fault::new(
            StatusCode::MISDIRECTED_REQUEST,
            Code::Invalid,
            format!("{shown:?} is not this server; on this machine call it localhost or 127.0.0.1"),
        ));
    }
    if method.is_safe() || is_from_here(headers, named.or(host)) {
        return Ok(());
    }
    Err(Fault::new(
        StatusCode::FORBIDDEN,
        Code::Forbidden,
        "a page of another origin may not change anything here",
    ))
}

/// Whether a host, with or without port, means this machine.
fn is_loopback(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<http::uri::Authority>() else { return false };
    let host = authority.host();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether a call is no browser's, or comes from a page of this server.
fn is_from_here(headers: &HeaderMap, host: Option<&str>) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = text("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    match (text("origin"), host) {
        (None, _) => true,
        (Some(origin), Some(host)) => {
            origin.split_once("://").is_some_and(|(_, from)| from.eq_ignore_ascii_case(host))
        }
        (Some(_), None) => false,
    }
}

/// Refuses callers that cannot read JSON.
pub(super) async fn check_accept(request: Request, next: Next) -> Response {
    if accepts(request.headers(), &["application/json", "application/problem+json"]) {
        return next.run(request).await;
    }
    Fault::new(
        StatusCode::NOT_ACCEPTABLE,
        Code::Invalid,
        "answers are application/json; accept that, or leave Accept out",
    )
    .into_response()
}

/// Whether the caller takes one of these media types, all of one family.
pub(super) fn accepts(headers: &HeaderMap, types: &[&str]) -> bool {
    let mut ranges = headers
        .get_all(header::ACCEPT)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .map(|range| range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
        .peekable();
    if ranges.peek().is_none() {
        return true;
    }
    ranges.any(|range| {
        let family = range.strip_suffix('*').filter(|family| family.ends_with('/'));
        types.iter().any(|kind| {
            range == *kind
                || range == "*/*"
                || family.is_some_and(|family| kind.starts_with(family))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (http::HeaderName::from_static(name), http::HeaderValue::from_str(value).unwrap())
            })
            .collect()
    }

    #[test]
    fn a_host_is_this_machine_or_misdirected() {
        let uri = Uri::from_static("/");
        let ok = |host: &str| check(&Method::GET, &uri, &headers(&[("host", host)])).is_ok();
        for fine in ["localhost", "LOCALHOST:7420", "127.0.0.1:7420", "127.8.9.1", "[::1]:7420"] {
            assert!(ok(fine), "{fine}");
        }
        for foreign in
            ["evil.example", "evil.example:7420", "localhost.evil.example", "10.0.0.1", "", "a b"]
        {
            assert!(!ok(foreign), "{foreign}");
        }
        assert!(check(&Method::GET, &uri, &HeaderMap::new()).is_ok(), "no browser leaves it out");
        let absolute = Uri::from_static("http://evil.example/");
        assert!(check(&Method::GET, &absolute, &headers(&[("host", "localhost")])).is_err());
    }

    #[test]
    fn a_foreign_page_may_look_and_not_change() {
        let uri = Uri::from_static("/api/v1/tasks");
        let ok = |method: &Method, more: &[(&'static str, &str)]| {
            let mut all = headers(&[("host", "localhost:7420")]);
            all.extend(headers(more));
            check(method, &uri, &all).is_ok()
        };
        for (fine, more) in [
            (true, &[][..]),
            (true, &[("sec-fetch-site", "same-origin")]),
            (true, &[("sec-fetch-site", "none")]),
            (true, &[("origin", "http://localhost:7420")]),
            (false, &[("sec-fetch-site", "cross-site")]),
            (false, &[("sec-fetch-site", "same-site")]),
            (false, &[("origin", "http://localhost:3000")]),
            (false, &[("origin", "null")]),
        ] {
            assert_eq!(ok(&Method::POST, more), fine, "{more:?}");
            assert!(ok(&Method::GET, more), "{more:?}");
        }
    }

    #[test]
    fn a_media_type_is_accepted_by_name_family_or_star() {
        let json = |accept| accepts(&headers(&[("accept", accept)]), &["application/json"]);
        assert!(json("*/*") && json("application/*") && json("text/html, application/json;q=0.9"));
        assert!(!json("text/html") && !json("text/*"));
        assert!(accepts(&HeaderMap::new(), &["application/json"]));
    }
}
