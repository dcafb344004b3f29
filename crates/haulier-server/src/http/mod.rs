//! The HTTP calls: routes, and the layers around all of them.
//!
//! A handler reads its request, asks the store and writes the answer; it decides nothing that the
//! store or the policy should. Paths below [`BASE`] are the interface; health, description and
//! pages stand beside it.

mod backup;
mod body;
mod change;
mod delivery;
mod guard;
mod health;
mod openapi;
mod pages;
mod problem;
mod queues;
mod request;
mod tasks;
mod work;

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRef, Request};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use haulier_core::{Code, Error, limits};
use http::{Method, StatusCode};
use tower_http::catch_panic::CatchPanicLayer;

use crate::door::door;
use crate::grpc;
use crate::leave::leave;
use crate::rates::Readings;
use crate::shared::Shared;
use problem::Fault;

pub use openapi::openapi;

/// Where the interface begins.
const BASE: &str = "/api/v1";

/// What handlers share.
#[derive(Debug, Clone)]
struct App {
    shared: Shared,
    readings: Arc<Readings>,
}

impl FromRef<App> for Shared {
    fn from_ref(app: &App) -> Self {
        app.shared.clone()
    }
}

/// Every HTTP call, without the layers of [`around`].
pub(crate) fn router(shared: &Shared, readings: Arc<Readings>) -> Router {
    let app = App { shared: shared.clone(), readings };
    Router::new()
        .nest(BASE, interface().layer(from_fn(guard::check_accept)))
        .layer(from_fn_with_state(shared.clone(), request::limit_time))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/openapi.json", get(openapi::serve))
        .route("/errors/{code}", get(pages::error))
        .route("/", get(pages::root))
        .fallback(no_such_path)
        .method_not_allowed_fallback(async |method: Method| wrong_method(&method))
        .with_state(app)
}

/// The calls below [`BASE`]. The router matches whole segments: the verb behind the colon of
/// `/tasks/{id}:cancel` is taken apart by [`body::Segment`].
fn interface() -> Router<App> {
    Router::new()
        .route("/tasks", get(tasks::list).post(tasks::enqueue))
        .route("/tasks:batch", post(tasks::enqueue_many))
        .route("/tasks:cancel", post(change::cancel_many))
        .route("/tasks:rerun", post(change::rerun_many))
        .route("/tasks:delete", post(change::delete_many))
        .route("/tasks/{id}", get(tasks::show).post(change::act).delete(change::delete))
        .route("/leases", post(work::lease))
        .route("/beats", post(work::beat))
        .route("/settlements", post(work::settle))
        .route("/dead", get(tasks::list_dead))
        .route("/dead:rerun", post(change::rerun_dead))
        .route("/dead:delete", post(change::delete_dead))
        .route("/queues", get(queues::list))
        .route("/queues/{queue}", get(queues::show).patch(queues::configure))
        .route("/workers", get(queues::list_workers))
        .route("/workers/{worker}", post(queues::direct))
        .route("/about", get(health::about))
        .route("/backup", post(backup::take))
}

/// Wraps every call, of whichever protocol: id and errors outermost, then panics, then the
/// guard, then the door and the way out.
pub(crate) fn around(router: Router, shared: &Shared) -> Router {
    router
        .layer(from_fn_with_state(shared.clone(), leave))
        .layer(from_fn_with_state(shared.clone(), door))
        .layer(from_fn(guard::guard))
        .layer(CatchPanicLayer::custom(request::panicked))
        .layer(from_fn_with_state(shared.clone(), request::identify))
}

async fn no_such_path(request: Request) -> Response {
    if grpc::is_grpc(request.headers()) {
        return grpc::unimplemented();
    }
    let shown: String = request.uri().path().chars().take(80).collect();
    let text =
        format!("there is nothing at {shown:?}; the interface is described by /openapi.json");
    Fault::from(Error::new(Code::NotFound, text)).into_response()
}

fn wrong_method(method: &Method) -> Fault {
    Fault::new(
        StatusCode::METHOD_NOT_ALLOWED,
        Code::Invalid,
        format!("{method} is not allowed here; the header Allow lists what is"),
    )
}

/// The one answer to one item.
fn one<T>(answers: Vec<T>) -> Result<T, Error> {
    match <[T; 1]>::try_from(answers) {
        Ok([answer]) => Ok(answer),
        Err(answers) => {
            Err(Error::internal(format!("the store gave {} answers to one item", answers.len())))
        }
    }
}

/// Refuses calls with more items than a store takes at once.
fn check_items(field: &str, count: usize) -> Result<(), Error> {
    if count <= limits::ITEMS_MAX {
        return Ok(());
    }
    let text =
        format!("{field} has {count} items; at most {} a call are allowed", limits::ITEMS_MAX);
    Err(Error::new(Code::TooLarge, text))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use futures_util::StreamExt as _;
    use haulier_core::{ManualClock, SeededEntropy};
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_panic_ends_one_call_and_tells_nothing() {
        let clock = Arc::new(ManualClock::new());
        let store = Arc::new(haulier_memory::MemoryStore::new(clock.clone()));
        let shared = Shared::new(store, clock, Arc::new(SeededEntropy::from_u64(1)));
        let panics = async || -> &str { panic!("the secret is 42") };
        let router = around(Router::new().route("/", get(panics)), &shared);
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let mut body = response.into_body().into_data_stream();
        let text = String::from_utf8(body.next().await.unwrap().unwrap().to_vec()).unwrap();
        assert!(text.contains(r#""code":"internal""#) && !text.contains("42"), "{text}");
    }
}
