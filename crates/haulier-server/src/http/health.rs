//! What the server is and whether it takes calls.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use haulier_core::Include;
use http::StatusCode;
use serde::Deserialize;

use super::body::Params;
use crate::api;
use crate::shared::Shared;

/// The longest that a store may take to say that it is there.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// What the server is, what its store can keep, what is allowed.
#[utoipa::path(
    get, path = "/api/v1/about", tag = "server",
    responses((status = 200, description = "The server.", body = api::About))
)]
pub(super) async fn about(State(shared): State<Shared>) -> Json<api::About> {
    Json(api::About::new(&shared.capabilities(), shared.body_bytes_max()))
}

/// Whether the process is there at all.
#[utoipa::path(
    get, path = "/livez", tag = "server",
    responses((status = 200, description = "It is.", body = String, content_type = "text/plain"))
)]
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// How to ask for readiness.
#[derive(Debug, Deserialize)]
pub(super) struct ReadyParams {
    verbose: Option<String>,
}

/// Whether the server takes calls: not while it drains, nor while its store is away.
#[utoipa::path(
    get, path = "/readyz", tag = "server",
    params(("verbose" = Option<String>, Query, description = "Tells what was looked at, as JSON.")),
    responses(
        (status = 200, description = "It does.", body = api::Ready),
        (status = 503, description = "It does not.", body = api::Ready),
    )
)]
pub(super) async fn ready(
    State(shared): State<Shared>,
    Params(params): Params<ReadyParams>,
) -> Response {
    let checks = vec![check_drain(&shared), check_store(&shared).await];
    let ready = checks.iter().all(|check| check.ok);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if params.verbose.is_some_and(|verbose| verbose != "false") {
        return (status, Json(api::Ready { ready, checks })).into_response();
    }
    (status, if ready { "ok\n" } else { "no\n" }).into_response()
}

fn check_drain(shared: &Shared) -> api::Check {
    let ok = !shared.is_draining();
    let detail = if ok { "serving" } else { "draining: it ends once running calls are answered" };
    api::Check { name: "drain", ok, detail: detail.to_owned() }
}

/// Asks the store for nothing, which it can only answer if it is there.
async fn check_store(shared: &Shared) -> api::Check {
    let answer = tokio::select! {
        answer = shared.store.get(Vec::new(), Include::default(), Duration::ZERO) => answer.err(),
        () = shared.clock.sleep(STORE_TIMEOUT) => {
            Some(haulier_core::Error::new(haulier_core::Code::Unavailable, "no answer in 2 s"))
        }
    };
    let ok = answer.is_none();
    let detail = answer.map_or_else(|| "answers".to_owned(), |error| error.message().to_owned());
    api::Check { name: "store", ok, detail }
}
