//! The gRPC services: the storage traits as calls, and the worker's stream.
//!
//! A service reads its request, asks the store and writes the answer. Limits of a call (items,
//! bytes) are checked here, before the store sees anything; limits of an item are the store's.
//! What a stream does beyond calls is in [`work`].

mod control;
mod inspect;
mod queue;
mod work;

use axum::Router;
use haulier_core::{Error, LeaseKey, Outcome, Result, Settlement, Store, limits};
use haulier_wire::pb::control_server::ControlServer;
use haulier_wire::pb::inspect_server::InspectServer;
use haulier_wire::pb::queue_server::QueueServer;
use haulier_wire::status::to_status;
use http::{HeaderMap, header};
use tonic::service::Routes;
use tonic::{Response, Status};
use tonic_health::ServingStatus;

use crate::leave::Held;
use crate::shared::Shared;

/// What every reader of gRPC knows as "there is no such method".
const UNIMPLEMENTED: &str = "12";

/// The routes of every service, health and reflection among them. They have no fallback: what is
/// none of them is for the rest of the server ([`is_grpc`], [`unimplemented`]).
///
/// # Errors
/// [`haulier_core::Code::Internal`] if the descriptors cannot be read.
pub fn router(shared: &Shared) -> Result<Router> {
    let queue = QueueServer::new(queue::Service::new(shared.clone()))
        .max_decoding_message_size(limits::MESSAGE_BYTES_MAX);
    let inspect = InspectServer::new(inspect::Service::new(shared.clone()));
    let control = ControlServer::new(control::Service::new(shared.clone()));
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(haulier_wire::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|error| Error::internal("the descriptors are damaged").caused_by(error))?;
    let (reporter, health) = tonic_health::server::health_reporter();
    let draining = shared.draining.clone();
    tokio::spawn(async move {
        reporter.set_service_status("", ServingStatus::Serving).await;
        reporter.set_serving::<QueueServer<queue::Service>>().await;
        draining.cancelled().await;
        reporter.set_service_status("", ServingStatus::NotServing).await;
        reporter.set_not_serving::<QueueServer<queue::Service>>().await;
    });
    Ok(Routes::from(Router::new())
        .add_service(queue)
        .add_service(inspect)
        .add_service(control)
        .add_service(reflection)
        .add_service(health)
        .into_axum_router())
}

/// Whether a request speaks gRPC.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// The answer to a gRPC call that no service knows.
pub fn unimplemented() -> axum::response::Response {
    let headers = [
        (header::CONTENT_TYPE.as_str(), "application/grpc"),
        ("grpc-status", UNIMPLEMENTED),
        ("grpc-message", "there is no such method"),
    ];
    axum::response::IntoResponse::into_response((headers, ()))
}

/// An answer, or the status that tells its error.
fn answer<T>(result: Result<T>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(|error| to_status(&error))
}

/// An answer that keeps its room until it has left.
fn keeping<T>(held: Held, message: T) -> Response<T> {
    let mut response = Response::new(message);
    response.extensions_mut().insert(held);
    response
}

/// Hands leases back that will not reach their worker: their attempts do not count, and others can
/// have the tasks at once. If the store is away, they run out instead.
async fn release(store: &dyn Store, keys: Vec<LeaseKey>) {
    for keys in keys.chunks(limits::ITEMS_MAX) {
        let release = |key: &LeaseKey| Settlement { key: *key, outcome: Outcome::Release };
        if let Err(error) = store.settle(keys.iter().map(release).collect()).await {
            tracing::warn!(leases = keys.len(), "leases could not be handed back: {error:#}");
        }
    }
}
