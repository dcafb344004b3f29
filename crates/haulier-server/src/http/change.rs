//! Cancel, rerun, delete: of one task, of a list of ids, of all that a filter matches.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use haulier::bulk::{self, Action};
use haulier_core::{Changed, Code, Filter, Include, Refusal, State as TaskState, TaskId, TaskView};
use http::Method;

use super::body::{JsonBody, Segment, no_such_verb};
use super::problem::Fault;
use super::tasks::no_such_task;
use super::{check_items, one, wrong_method};
use crate::api;
use crate::shared::Shared;

/// `POST /tasks/{id}:cancel` and its like.
pub(super) async fn act(
    shared: State<Shared>,
    method: Method,
    segment: Segment,
) -> Result<Json<api::Changed>, Fault> {
    match segment.verb.as_deref() {
        Some("cancel") => cancel(shared, segment).await,
        Some("rerun") => rerun(shared, segment).await,
        Some(verb) => Err(no_such_verb(verb)),
        None => Err(wrong_method(&method)),
    }
}

/// Calls a task off. A running one is told at its next beat.
#[utoipa::path(
    post, path = "/api/v1/tasks/{id}:cancel", tag = "tasks",
    operation_id = "cancel_task", params(("id" = api::IdText, Path)),
    responses(
        (status = 200, description = "Cancelled, or marked while it runs.", body = api::Changed),
    )
)]
pub(super) async fn cancel(
    State(shared): State<Shared>,
    segment: Segment,
) -> Result<Json<api::Changed>, Fault> {
    change(&shared, Action::Cancel, segment.parse("id")?).await
}

/// Makes a final task available again, with all its attempts.
#[utoipa::path(
    post, path = "/api/v1/tasks/{id}:rerun", tag = "tasks",
    operation_id = "rerun_task", params(("id" = api::IdText, Path)),
    responses((status = 200, description = "Available again.", body = api::Changed))
)]
pub(super) async fn rerun(
    State(shared): State<Shared>,
    segment: Segment,
) -> Result<Json<api::Changed>, Fault> {
    change(&shared, Action::Rerun, segment.parse("id")?).await
}

/// Forgets a task that does not run.
#[utoipa::path(
    delete, path = "/api/v1/tasks/{id}", tag = "tasks",
    operation_id = "delete_task", params(("id" = api::IdText, Path)),
    responses(
        (status = 200, description = "Forgotten; the state that it had.", body = api::Changed),
    )
)]
pub(super) async fn delete(
    State(shared): State<Shared>,
    segment: Segment,
) -> Result<Json<api::Changed>, Fault> {
    change(&shared, Action::Delete, segment.parse_whole("id")?).await
}

async fn change(shared: &Shared, action: Action, id: TaskId) -> Result<Json<api::Changed>, Fault> {
    match one(bulk::by_ids(&*shared.store, action, vec![id]).await?)? {
        Changed::Done(state) => {
            Ok(Json(api::Changed { id: api::Text(id), state: api::Word(state) }))
        }
        Changed::NotFound => Err(no_such_task(id)),
        Changed::Refused(refusal) => Err(refusal.into()),
    }
}

macro_rules! bulk_call {
    (
        $(#[doc = $doc:literal])*
        $name:ident, $path:literal, $tag:literal, $action:expr, $within:expr
    ) => {
        $(#[doc = $doc])*
        #[utoipa::path(
            post, path = $path, tag = $tag, request_body = api::Bulk,
            responses((status = 200, description = "What came of it.", body = api::BulkChanged))
        )]
        pub(super) async fn $name(
            State(shared): State<Shared>,
            JsonBody(bulk): JsonBody<api::Bulk>,
        ) -> Result<Json<api::BulkChanged>, Fault> {
            change_many(&shared, $action, bulk, $within).await
        }
    };
}

bulk_call! {
    /// Calls tasks off, by ids or by filter; at most 1,000 a call.
    cancel_many, "/api/v1/tasks:cancel", "tasks", Action::Cancel, None
}
bulk_call! {
    /// Makes final tasks available again, by ids or by filter; at most 1,000 a call.
    rerun_many, "/api/v1/tasks:rerun", "tasks", Action::Rerun, None
}
bulk_call! {
    /// Forgets tasks that do not run, by ids or by filter; at most 1,000 a call.
    delete_many, "/api/v1/tasks:delete", "tasks", Action::Delete, None
}
bulk_call! {
    /// Makes dead tasks available again, by ids or by filter; at most 1,000 a call.
    rerun_dead, "/api/v1/dead:rerun", "dead", Action::Rerun, Some(TaskState::Dead)
}
bulk_call! {
    /// Forgets dead tasks, by ids or by filter; at most 1,000 a call.
    delete_dead, "/api/v1/dead:delete", "dead", Action::Delete, Some(TaskState::Dead)
}

/// One call's worth of a change: `within` leaves tasks in other states alone.
async fn change_many(
    shared: &Shared,
    action: Action,
    request: api::Bulk,
    within: Option<TaskState>,
) -> Result<Json<api::BulkChanged>, Fault> {
    let dry_run = request.dry_run;
    match request.choose()? {
        api::Chosen::Ids(ids) => change_ids(shared, action, ids, within, dry_run).await,
        api::Chosen::Matching(filter, after) => {
            let filter = match within {
                Some(state) => filter.and(Filter::states([state])),
                None => filter,
            };
            let stores = (&*shared.store as _, &*shared.store as _);
            let done = bulk::slice(stores, action, &filter, after, dry_run).await?;
            let refused = done.refused.into_iter().map(|(id, refusal)| {
                let changed = refusal.map_or(Changed::NotFound, Changed::Refused);
                api::BulkAnswer::new(id, changed)
            });
            Ok(Json(api::BulkChanged {
                matched: done.matched,
                changed: done.changed,
                answers: refused.collect(),
                next_page_token: done.next,
            }))
        }
    }
}

async fn change_ids(
    shared: &Shared,
    action: Action,
    ids: Vec<TaskId>,
    within: Option<TaskState>,
    dry_run: bool,
) -> Result<Json<api::BulkChanged>, Fault> {
    check_items("ids", ids.len())?;
    let views = if dry_run || within.is_some() {
        shared.store.get(ids.clone(), Include::default(), Duration::ZERO).await?
    } else {
        Vec::new()
    };
    let outside = |view: &Option<TaskView>| {
        view.as_ref().is_some_and(|view| within.is_some_and(|state| view.state() != state))
    };
    let known = |view: &Option<TaskView>| view.is_some() && !outside(view);
    if dry_run {
        return Ok(Json(api::BulkChanged {
            matched: views.iter().filter(|view| known(view)).count() as u64,
            changed: 0,
            answers: Vec::new(),
            next_page_token: None,
        }));
    }
    // What stands elsewhere is answered here; the rest goes to the store in one call.
    let asked: Vec<TaskId> = match within {
        None => ids.clone(),
        Some(_) => ids.iter().zip(&views).filter(|(_, v)| !outside(v)).map(|(id, _)| *id).collect(),
    };
    let mut done = bulk::by_ids(&*shared.store, action, asked).await?.into_iter();
    let mut answers = Vec::with_capacity(ids.len());
    for (at, id) in ids.into_iter().enumerate() {
        let changed = if views.get(at).is_some_and(outside) {
            Changed::Refused(Refusal::new(
                Code::Final,
                "the task is not dead; use /tasks for others",
            ))
        } else {
            done.next().unwrap_or(Changed::NotFound)
        };
        answers.push(api::BulkAnswer::new(id, changed));
    }
    let count = |is: fn(&api::ChangeAnswer) -> bool| {
        answers.iter().filter(|answer| is(&answer.answer)).count() as u64
    };
    let matched = count(|answer| *answer != api::ChangeAnswer::NotFound);
    let changed = count(|answer| *answer == api::ChangeAnswer::Done);
    Ok(Json(api::BulkChanged { matched, changed, answers, next_page_token: None }))
}
