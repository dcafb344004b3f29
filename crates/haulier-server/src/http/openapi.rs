//! The description of the interface, made from the types and handlers.
//! `docs/reference/openapi.json` is a copy of it that a test compares.

use axum::Json;
use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::{Content, Ref, RefOr, Response, Schema};

use super::{backup, change, health, queues, tasks, work};
use crate::api;

/// What the description is made from.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Haulier",
        description = "A durable distributed task queue: enqueue, lease, beat, settle, and all \
            that operators need. Durations go in as \"30s\", \"1h30m\" or seconds and come out as \
            seconds. Unknown fields are refused on write and must be ignored on read.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    paths(
        tasks::enqueue, tasks::enqueue_many, tasks::show, tasks::list,
        change::cancel, change::rerun, change::delete,
        change::cancel_many, change::rerun_many, change::delete_many,
        work::lease, work::beat, work::settle,
        tasks::list_dead, change::rerun_dead, change::delete_dead,
        queues::list, queues::show, queues::configure,
        queues::list_workers, queues::run_worker, queues::quiet_worker, queues::stop_worker,
        health::about, health::live, health::ready, backup::take,
    ),
    components(schemas(api::Problem)),
    tags(
        (name = "tasks", description = "Handing tasks over, looking at them, changing them."),
        (name = "work", description = "What workers do."),
        (name = "dead", description = "Tasks that were given up."),
        (name = "queues", description = "Lines of tasks."),
        (name = "workers", description = "Processes that run tasks."),
        (name = "server", description = "The server itself."),
    )
)]
struct Described;

/// The description of the HTTP interface.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut description = Described::openapi();
    for item in description.paths.paths.values_mut() {
        for operation in operations(item) {
            operation.responses.responses.insert("default".to_owned(), problem());
        }
    }
    description
}

/// Serves the description.
pub(super) async fn serve() -> Json<utoipa::openapi::OpenApi> {
    Json(openapi())
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete].into_iter().flatten()
}

/// Every call can fail, and says so in one way.
fn problem() -> RefOr<Response> {
    let schema: RefOr<Schema> = Ref::from_schema_name("Problem").into();
    let content = Content::new(Some(schema));
    let mut response = Response::new("It failed; `code` says why.");
    response.content.insert("application/problem+json".to_owned(), content.into());
    response.into()
}
