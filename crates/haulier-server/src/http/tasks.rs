//! Handing tasks over and looking at them.

use std::time::Duration;

use axum::extract::State;
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::{Extension, Json};
use haulier_core::{Error, Filter, Include, PageRequest, State as TaskState, TaskId, limits};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use utoipa::IntoParams;

use super::body::{JsonBody, Params, Segment};
use super::problem::Fault;
use super::{BASE, check_items, one, request};
use crate::api;
use crate::shared::Shared;

/// Hands one task over.
#[utoipa::path(
    post, path = "/api/v1/tasks", tag = "tasks", request_body = api::NewTask,
    responses(
        (status = 201, description = "Stored.", body = api::Enqueued),
        (status = 200, description = "It was here already, or another task holds its unique key.",
            body = api::Enqueued),
    )
)]
pub(super) async fn enqueue(
    State(shared): State<Shared>,
    headers: HeaderMap,
    JsonBody(new): JsonBody<api::NewTask>,
) -> Result<Response, Fault> {
    let mut task = new.into_core("", || shared.new_id())?;
    request::carry_trace(&headers, &mut task);
    let id = task.id;
    let (status, answer) = match one(shared.enqueue(vec![task]).await?)? {
        haulier_core::Enqueued::Refused(refusal) => return Err(refusal.into()),
        answer @ haulier_core::Enqueued::Inserted { .. } => (StatusCode::CREATED, answer),
        answer @ haulier_core::Enqueued::Existing { .. } => (StatusCode::OK, answer),
    };
    let answer = api::Enqueued::new(id, answer);
    let location = AppendHeaders([(header::LOCATION, format!("{BASE}/tasks/{}", answer.id.0))]);
    Ok((status, location, Json(answer)).into_response())
}

/// Hands several tasks over; each is accepted or refused for itself.
#[utoipa::path(
    post, path = "/api/v1/tasks:batch", tag = "tasks", request_body = api::EnqueueMany,
    responses(
        (status = 200, description = "One answer a task, in order.", body = api::EnqueuedMany),
    )
)]
pub(super) async fn enqueue_many(
    State(shared): State<Shared>,
    headers: HeaderMap,
    JsonBody(many): JsonBody<api::EnqueueMany>,
) -> Result<Json<api::EnqueuedMany>, Fault> {
    check_items("tasks", many.tasks.len())?;
    let mut tasks = Vec::with_capacity(many.tasks.len());
    for (at, new) in many.tasks.into_iter().enumerate() {
        let mut task = new.into_core(&format!("tasks[{at}]"), || shared.new_id())?;
        request::carry_trace(&headers, &mut task);
        tasks.push(task);
    }
    let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
    let answers = shared.enqueue(tasks).await?;
    let answers = ids.into_iter().zip(answers);
    Ok(Json(api::EnqueuedMany {
        answers: answers.map(|(id, answer)| api::Enqueued::new(id, answer)).collect(),
    }))
}

/// How to look at one task.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ShowParams {
    /// How long to wait until the task is final, at most 30 s.
    #[param(value_type = Option<String>, example = "20s")]
    wait: Option<api::Span>,
    /// Large parts to read along, with commas: payload, result, checkpoints. All if left out.
    include: Option<String>,
}

/// Shows a task with its newest deliveries; waits, if asked to, until it is final.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}", tag = "tasks", operation_id = "show_task",
    params(("id" = api::IdText, Path), ShowParams),
    responses((status = 200, description = "The task.", body = api::TaskView))
)]
pub(super) async fn show(
    State(shared): State<Shared>,
    segment: Segment,
    Params(params): Params<ShowParams>,
) -> Result<Response, Fault> {
    let id: TaskId = segment.parse_whole("id")?;
    let include = params.include.as_deref().map_or(Ok(Include::ALL), parse_include)?;
    let wait = params.wait.map_or(Duration::ZERO, |wait| wait.0).min(limits::WAIT_MAX);
    if !wait.is_zero() {
        // Whoever waits takes no room yet. The drain ends the wait, not the call.
        let waited = shared.store.get(vec![id], Include::default(), wait);
        shared.unless_draining(waited).await.transpose()?;
    }
    let held = shared.room_for_tasks(include).await?;
    let view = one(shared.store.get(vec![id], include, Duration::ZERO).await?)?;
    let view = view.ok_or_else(|| no_such_task(id))?;
    Ok((Extension(held), Json(api::TaskView::full(&view, include))).into_response())
}

/// Which tasks to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    /// Terms joined by "and"; every task if left out.
    #[param(example = "queue:mail kind:email.* state:dead,retryable age:>1h")]
    filter: Option<String>,
    /// Tasks on the page, 1 to 1,000; 50 if left out. Large ones make a page short.
    limit: Option<usize>,
    /// Where the page before ended.
    page_token: Option<String>,
    /// Large parts to read along, with commas: payload, result. None if left out.
    include: Option<String>,
}

/// Lists tasks, newest first. A page may be short and still have a next one.
#[utoipa::path(
    get, path = "/api/v1/tasks", tag = "tasks", operation_id = "list_tasks", params(ListParams),
    responses((status = 200, description = "A page of tasks.", body = api::TaskPage))
)]
pub(super) async fn list(
    State(shared): State<Shared>,
    Params(params): Params<ListParams>,
) -> Result<Response, Fault> {
    list_within(&shared, params, Filter::default()).await
}

/// Lists dead tasks, newest first, with reason and last error.
#[utoipa::path(
    get, path = "/api/v1/dead", tag = "dead", params(ListParams),
    responses((status = 200, description = "A page of dead tasks.", body = api::TaskPage))
)]
pub(super) async fn list_dead(
    State(shared): State<Shared>,
    Params(params): Params<ListParams>,
) -> Result<Response, Fault> {
    list_within(&shared, params, Filter::states([TaskState::Dead])).await
}

async fn list_within(
    shared: &Shared,
    params: ListParams,
    within: Filter,
) -> Result<Response, Fault> {
    let filter = parse_filter(params.filter.as_deref().unwrap_or_default())?;
    let include = params.include.as_deref().map_or(Ok(Include::default()), parse_include)?;
    let size = parse_limit(params.limit)?;
    let page = PageRequest { size, after: params.page_token, include };
    let held = shared.room_for_tasks(include).await?;
    let page = shared.store.list(filter.and(within), page).await?;
    let page = api::TaskPage {
        tasks: page.tasks.iter().map(|view| api::TaskView::row(view, include)).collect(),
        next_page_token: page.next,
    };
    Ok((Extension(held), Json(page)).into_response())
}

/// There is no such task.
pub(super) fn no_such_task(id: TaskId) -> Fault {
    let text = format!("there is no task {id}, or it is no longer remembered");
    Error::new(haulier_core::Code::NotFound, text).into()
}

/// A page's size.
pub(super) fn parse_limit(limit: Option<usize>) -> Result<usize, Fault> {
    let limit = limit.unwrap_or(PageRequest::default().size);
    if (1..=limits::PAGE_MAX).contains(&limit) {
        return Ok(limit);
    }
    Err(Error::invalid("limit", format!("is {limit}; it goes from 1 to {}", limits::PAGE_MAX))
        .into())
}

fn parse_filter(text: &str) -> Result<Filter, Fault> {
    Filter::parse(text).map_err(|refusal| Error::invalid("filter", refusal.message).into())
}

fn parse_include(text: &str) -> Result<Include, Fault> {
    let mut include = Include::default();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        match part {
            "payload" => include.payload = true,
            "result" => include.result = true,
            "checkpoints" => include.checkpoints = true,
            _ => {
                let known = "known are payload, result, checkpoints";
                return Err(Error::invalid("include", known).into());
            }
        }
    }
    Ok(include)
}
