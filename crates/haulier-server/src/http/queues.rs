//! Queues and workers: how they stand, and what operators set on them.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use haulier_core::{
    Code, Directive, Error, QueueName, QueueSettings, QueueStats, StateCounts, WorkerId,
};
use http::Method;
use serde::Deserialize;
use utoipa::IntoParams;

use super::body::{JsonBody, Params, Segment, no_such_verb};
use super::problem::Fault;
use super::tasks::parse_limit;
use super::{App, one, wrong_method};
use crate::api;
use crate::shared::Shared;

/// Which queues to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct QueuesParams {
    /// Queues on the page, 1 to 1,000; 50 if left out.
    limit: Option<usize>,
    /// Where the page before ended.
    page_token: Option<String>,
}

/// Lists queues, by name.
#[utoipa::path(
    get, path = "/api/v1/queues", tag = "queues",
    operation_id = "list_queues", params(QueuesParams),
    responses((status = 200, description = "A page of queues.", body = api::QueuePage))
)]
pub(super) async fn list(
    State(app): State<App>,
    Params(params): Params<QueuesParams>,
) -> Result<Json<api::QueuePage>, Fault> {
    let limit = parse_limit(params.limit)?;
    let after = params.page_token.map(QueueName::new).transpose();
    let after = after.map_err(|_| Error::invalid("page_token", "is none of this server's"))?;
    let mut queues = all(&app).await?;
    queues.retain(|queue| after.as_ref().is_none_or(|after| queue.queue.0 > *after));
    let has_more = queues.len() > limit;
    queues.truncate(limit);
    let last = queues.last().filter(|_| has_more);
    let next_page_token = last.map(|queue| queue.queue.0.to_string());
    Ok(Json(api::QueuePage { queues, next_page_token }))
}

/// Shows a queue. A queue exists as soon as it is named.
#[utoipa::path(
    get, path = "/api/v1/queues/{queue}", tag = "queues",
    operation_id = "show_queue", params(("queue" = api::QueueText, Path)),
    responses((status = 200, description = "The queue.", body = api::Queue))
)]
pub(super) async fn show(
    State(app): State<App>,
    segment: Segment,
) -> Result<Json<api::Queue>, Fault> {
    let name: QueueName = segment.parse_whole("queue")?;
    let queues = all(&app).await?;
    let known = queues.into_iter().find(|queue| queue.queue.0 == name);
    Ok(Json(known.unwrap_or_else(|| api::Queue::new(&empty(name), None, 0))))
}

/// Changes a queue's settings; what is left out stays as it is.
#[utoipa::path(
    patch, path = "/api/v1/queues/{queue}", tag = "queues",
    operation_id = "configure_queue", params(("queue" = api::QueueText, Path)),
    request_body = api::SettingsPatch,
    responses((status = 200, description = "All its settings now.", body = api::Settings))
)]
pub(super) async fn configure(
    State(shared): State<Shared>,
    segment: Segment,
    JsonBody(patch): JsonBody<api::SettingsPatch>,
) -> Result<Json<api::Settings>, Fault> {
    let name: QueueName = segment.parse_whole("queue")?;
    let settings = shared.store.configure(name, patch.into()).await?;
    Ok(Json(api::Settings::from(&settings)))
}

/// Every queue with its rates and workers, by name.
async fn all(app: &App) -> Result<Vec<api::Queue>, Fault> {
    let store = &app.shared.store;
    let stats = store.queues().await?;
    let rates = app.readings.take(app.shared.clock.monotonic(), &stats);
    let workers = store.workers().await?;
    let mut serving: HashMap<&QueueName, usize> = HashMap::new();
    for about in workers.iter().filter_map(|worker| worker.about.as_deref()) {
        for queue in &about.queues {
            *serving.entry(queue).or_default() += 1;
        }
    }
    let with = |(queue, rates): (&QueueStats, _)| {
        api::Queue::new(queue, rates, serving.get(&queue.queue).copied().unwrap_or_default())
    };
    Ok(stats.iter().zip(rates).map(with).collect())
}

/// A queue that nobody has used yet.
fn empty(queue: QueueName) -> QueueStats {
    QueueStats {
        queue,
        counts: StateCounts::default(),
        oldest_available: None,
        settings: QueueSettings::default(),
        accepted: 0,
        removed: 0,
        finished: 0,
    }
}

/// Lists the workers that were heard of lately, by id.
#[utoipa::path(
    get, path = "/api/v1/workers", tag = "workers",
    responses((status = 200, description = "The workers.", body = api::Workers))
)]
pub(super) async fn list_workers(
    State(shared): State<Shared>,
) -> Result<Json<api::Workers>, Fault> {
    let workers = shared.store.workers().await?;
    Ok(Json(api::Workers { workers: workers.iter().map(api::Worker::from).collect() }))
}

/// `POST /workers/{id}:quiet` and its like.
pub(super) async fn direct(
    shared: State<Shared>,
    method: Method,
    segment: Segment,
) -> Result<Json<api::Directed>, Fault> {
    match segment.verb.as_deref() {
        Some("run") => run_worker(shared, segment).await,
        Some("quiet") => quiet_worker(shared, segment).await,
        Some("stop") => stop_worker(shared, segment).await,
        Some(verb) => Err(no_such_verb(verb)),
        None => Err(wrong_method(&method)),
    }
}

macro_rules! direct_call {
    ($(#[doc = $doc:literal])* $name:ident, $path:literal, $directive:expr) => {
        $(#[doc = $doc])*
        #[utoipa::path(
            post, path = $path, tag = "workers", params(("worker" = api::WorkerText, Path)),
            responses((status = 200, description = "It hears of it at its next beat.",
                body = api::Directed))
        )]
        pub(super) async fn $name(
            State(shared): State<Shared>,
            segment: Segment,
        ) -> Result<Json<api::Directed>, Fault> {
            tell(&shared, segment.parse("worker")?, $directive).await
        }
    };
}

direct_call! {
    /// Tells a worker to lease and run tasks.
    run_worker, "/api/v1/workers/{worker}:run", Directive::Run
}
direct_call! {
    /// Tells a worker to finish what runs and to lease no more.
    quiet_worker, "/api/v1/workers/{worker}:quiet", Directive::Quiet
}
direct_call! {
    /// Tells a worker to finish what runs and to end.
    stop_worker, "/api/v1/workers/{worker}:stop", Directive::Stop
}

async fn tell(
    shared: &Shared,
    worker: WorkerId,
    directive: Directive,
) -> Result<Json<api::Directed>, Fault> {
    if one(shared.store.direct(vec![worker.clone()], directive).await?)? {
        let directive = api::Word(directive);
        return Ok(Json(api::Directed { worker: api::Text(worker), directive }));
    }
    let text = format!("no worker {worker} was heard of lately; GET /api/v1/workers lists them");
    Err(Error::new(Code::NotFound, text).into())
}
