//! What a worker tells of its attempts: one line at the start, one at the end. Never a payload.

use std::time::Duration;

use haulier_core::{Outcome, WorkerId, clock, span};

use crate::ctx::Ctx;

macro_rules! line {
    ($level:ident, $worker:expr, $ctx:expr, $took:expr, $($rest:tt)+) => {
        tracing::$level!(
            target: "haulier::worker",
            task = %$ctx.id(),
            kind = %$ctx.task().kind,
            queue = %$ctx.task().queue,
            attempt = $ctx.attempt(),
            epoch = $ctx.epoch().0,
            worker = %$worker,
            millis = clock::millis($took),
            $($rest)+
        )
    };
}

pub(crate) fn started(worker: &WorkerId, ctx: &Ctx) {
    tracing::info!(
        target: "haulier::worker",
        task = %ctx.id(),
        kind = %ctx.task().kind,
        queue = %ctx.task().queue,
        attempt = ctx.attempt(),
        epoch = ctx.epoch().0,
        worker = %worker,
        "started"
    );
}

/// The attempt ended, and this is what it leads to. Texts of failures are written with their
/// control characters escaped.
pub(crate) fn ended(worker: &WorkerId, ctx: &Ctx, outcome: &Outcome, took: Duration) {
    match outcome {
        Outcome::Complete { .. } => line!(info, worker, ctx, took, "completed"),
        Outcome::Fail { failure, retry_in: Some(pause) } => line!(
            warn, worker, ctx, took,
            cause = failure.cause.as_str(), error = ?failure.message,
            retry_in = %span::format(*pause),
            "failed, and is tried again"
        ),
        Outcome::Fail { failure, retry_in: None } => line!(
            warn, worker, ctx, took,
            cause = failure.cause.as_str(), error = ?failure.message,
            "failed, and its attempts are used up"
        ),
        Outcome::Reject { failure } => {
            line!(warn, worker, ctx, took, error = ?failure.message, "rejected");
        }
        Outcome::Snooze { delay } => {
            line!(info, worker, ctx, took, delay = %span::format(*delay), "snoozed");
        }
        Outcome::Release => line!(info, worker, ctx, took, "released"),
        Outcome::Cancelled => line!(info, worker, ctx, took, "cancelled"),
    }
}

/// The lease was lost: what the handler did is not settled.
pub(crate) fn lost(worker: &WorkerId, ctx: &Ctx, took: Duration) {
    line!(warn, worker, ctx, took, "lost its lease; somebody else may have the task");
}
