//! The HTTP calls: routes, and the layers around all of them.
//!
//! A handler reads its request, asks the store and writes the answer; it decides nothing that the store
//! or the policy should. Paths below [`BASE`] are the interface; health, description and pages stand
//! beside it.

mod body;
mod guard;
mod problem;
mod request;

use axum::Router;
use axum::extract::{FromRef, Request};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use haulier_core::{Code, Error};
use http::StatusCode;
use tower_http::catch_panic::CatchPanicLayer;

use crate::shared::Shared;
use problem::Fault;

/// Where the interface begins.
pub(crate) const BASE: &str = "/api/v1";

/// What handlers share.
#[derive(Debug, Clone)]
struct App {
    shared: Shared,
}

impl FromRef<App> for Shared {
    fn from_ref(app: &App) -> Self {
        app.shared.clone()
    }
}

/// Every HTTP call, without the layers of [`around`].
pub(crate) fn router(shared: &Shared) -> Router {
    let app = App { shared: shared.clone() };
    Router::new().fallback(no_such_path).method_not_allowed_fallback(wrong_method).with_state(app)
}

/// Wraps every call, of whichever protocol: id and errors outermost, then panics, then the guard.
pub(crate) fn around(router: Router, shared: &Shared) -> Router {
    router
        .layer(from_fn(guard::guard))
        .layer(CatchPanicLayer::custom(request::panicked))
        .layer(from_fn_with_state(shared.clone(), request::identify))
}

async fn no_such_path(request: Request) -> Response {
    let shown: String = request.uri().path().chars().take(80).collect();
    let text =
        format!("there is nothing at {shown:?}; the interface is described by /openapi.json");
    Fault::from(Error::new(Code::NotFound, text)).into_response()
}

async fn wrong_method(request: Request) -> Response {
    Fault::new(
        StatusCode::METHOD_NOT_ALLOWED,
        Code::Invalid,
        format!("{} is not allowed here; the header Allow lists what is", request.method()),
    )
    .into_response()
}
