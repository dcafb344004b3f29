//! What a worker over HTTP does: lease, beat, settle.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use haulier_core::{Beat, Directive, Error, LeaseKey, Settlement, WorkerAbout, WorkerId, limits};

use super::body::JsonBody;
use super::delivery::Delivery;
use super::problem::Fault;
use super::{check_items, one};
use crate::api::{self, Ending};
use crate::decide::{Undecided, decide};
use crate::shared::Shared;

/// Leases tasks to a worker; waits, if asked to, until there is one.
#[utoipa::path(
    post, path = "/api/v1/leases", tag = "work", request_body = api::Want,
    responses((status = 200, description = "The leases; none if no task came.", body = api::Leases))
)]
pub(super) async fn lease(
    State(shared): State<Shared>,
    JsonBody(request): JsonBody<api::Want>,
) -> Result<Response, Fault> {
    shared.check_not_draining()?;
    let want = request.to_core();
    let items_max = u32::try_from(limits::ITEMS_MAX).unwrap_or(u32::MAX);
    if !(1..=items_max).contains(&want.max) {
        let text = format!("is {}; it goes from 1 to {items_max}", want.max);
        return Err(Error::invalid("max", text).into());
    }
    want.check()?;
    let wait = request.wait.map_or(Duration::ZERO, |wait| wait.0).min(limits::WAIT_MAX);
    let about = request.about.map(|about| Arc::new(about.into_core()));
    let worker = want.worker.clone();
    let directive = hear(&shared, &worker, about, want.ttl).await?;
    if directive != Directive::Run {
        // A quiet worker that goes on asking must not go round in circles.
        if directive == Directive::Quiet {
            shared.unless_draining(shared.store.watch(worker.clone(), wait)).await.transpose()?;
        }
        let directive = hear(&shared, &worker, None, want.ttl).await?;
        return Ok(Json(none(directive)).into_response());
    }
    match shared.unless_draining(shared.store.lease(vec![want], wait)).await {
        None => Ok(Json(none(directive)).into_response()),
        Some(granted) => {
            let leases = one(granted?)?;
            // From here on the leases are in somebody's hands: no await between the two lines.
            Ok(Delivery::response(&shared, &leases, directive))
        }
    }
}

fn none(directive: Directive) -> api::Leases {
    api::Leases { leases: Vec::new(), directive: api::Word(directive) }
}

/// A sign of life that renews nothing; brings back what operators want of the worker.
async fn hear(
    shared: &Shared,
    worker: &WorkerId,
    about: Option<Arc<WorkerAbout>>,
    ttl: Duration,
) -> Result<Directive, Fault> {
    let beat = Beat { worker: worker.clone(), about, ttl, leases: Vec::new() };
    Ok(one(shared.store.beat(vec![beat]).await?)?.directive)
}

/// A worker's sign of life: renews the leases that it lists.
#[utoipa::path(
    post, path = "/api/v1/beats", tag = "work", request_body = api::Beat,
    responses((status = 200, description = "One answer a lease, in order.", body = api::BeatReply))
)]
pub(super) async fn beat(
    State(shared): State<Shared>,
    JsonBody(request): JsonBody<api::Beat>,
) -> Result<Json<api::BeatReply>, Fault> {
    check_items("leases", request.leases.len())?;
    let beat = request.into_core()?;
    let keys: Vec<LeaseKey> = beat.leases.iter().map(|lease| lease.key).collect();
    let reply = one(shared.store.beat(vec![beat]).await?)?;
    Ok(Json(api::BeatReply::new(&reply, &keys)))
}

/// Ends leases. A superseded fence changes nothing and answers stale.
#[utoipa::path(
    post, path = "/api/v1/settlements", tag = "work", request_body = api::Settle,
    responses(
        (status = 200, description = "One answer a settlement, in order.", body = api::Settled),
    )
)]
pub(super) async fn settle(
    State(shared): State<Shared>,
    JsonBody(request): JsonBody<api::Settle>,
) -> Result<Json<api::Settled>, Fault> {
    check_items("settlements", request.settlements.len())?;
    let mut ends = Vec::with_capacity(request.settlements.len());
    let mut undecided = Vec::new();
    for (at, settlement) in request.settlements.into_iter().enumerate() {
        let key = settlement.key();
        match settlement.into_ending(&format!("settlements[{at}]"))? {
            Ending::Decided(outcome) => ends.push((key, Some(outcome))),
            Ending::Undecided(failure) => {
                undecided.push(Undecided { key, failure, proposed: None });
                ends.push((key, None));
            }
        }
    }
    // The decisions come back in the order of the gaps that they fill.
    let mut decided = decide(&shared, undecided).await?.into_iter();
    let settlements: Vec<Settlement> = ends
        .into_iter()
        .filter_map(|(key, outcome)| {
            outcome.or_else(|| decided.next()).map(|outcome| (key, outcome))
        })
        .map(|(key, outcome)| Settlement { key, outcome })
        .collect();
    let keys: Vec<LeaseKey> = settlements.iter().map(|settlement| settlement.key).collect();
    let answers = keys.into_iter().zip(shared.store.settle(settlements).await?);
    Ok(Json(api::Settled {
        answers: answers.map(|(key, settled)| api::SettleAnswer::new(key, settled)).collect(),
    }))
}
