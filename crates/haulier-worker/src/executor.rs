//! One attempt, from its lease to its settlement: a line of total steps.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use haulier_core::Settlement;

use crate::ctx::Ctx;
use crate::logs;
use crate::shared::Shared;
use crate::verdict::{self, End};

/// Runs one attempt and hands its settlement to the settler. Never panics because the handler did.
pub(crate) async fn attempt(shared: Arc<Shared>, ctx: Ctx) {
    logs::started(&shared.id, &ctx);
    let began = shared.link.clock.monotonic();
    let end = run(&shared, &ctx).await;
    let entropy = &*shared.link.entropy;
    let outcome = verdict::decide(ctx.task(), ctx.attempt(), end, ctx.why(), entropy);
    let took = shared.link.clock.monotonic().saturating_sub(began);
    // The table has the last word: a lease can be lost while its handler ends by itself.
    let kept = shared.held.settling(ctx.key());
    match outcome {
        Some(outcome) if kept => {
            logs::ended(&shared.id, &ctx, &outcome, took);
            shared.settler.push(Settlement { key: ctx.key(), outcome });
        }
        _ => {
            shared.held.remove(ctx.key());
            logs::lost(&shared.id, &ctx, took);
        }
    }
}

/// The handler with its layers, until it ends or is dropped.
async fn run(shared: &Shared, ctx: &Ctx) -> End {
    // Reading the payload and the arguments belongs to what may panic; so do making the future and
    // dropping it.
    let attempt = AssertUnwindSafe(async {
        tokio::select! {
            biased;
            returned = shared.handlers.call(ctx.clone()) => End::Returned(returned),
            () = ctx.aborted() => End::Dropped,
        }
    });
    let ended = attempt.catch_unwind().await;
    ended.unwrap_or_else(|panic| End::Panicked(verdict::panic_message(&*panic)))
}
