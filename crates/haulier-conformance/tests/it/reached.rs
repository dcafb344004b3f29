//! Random histories are worth what they reach: every answer and every rare state must occur in
//! them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use haulier_conformance::model::{self, Plan};
use haulier_core::{
    Beat, BeatReply, DeadReason, Enqueued, Include, Lease, NewTask, Result, Settled, Settlement,
    TaskId, TaskView, Want,
};

use crate::buggy::{Bug, BuggyRig, Inner};

/// How often something was seen.
static SEEN: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

fn all() -> MutexGuard<'static, BTreeMap<String, u64>> {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn saw(what: impl Into<String>) {
    *all().entry(what.into()).or_default() += 1;
}

/// No bug at all: it only counts.
struct Counting;

#[async_trait]
impl Bug for Counting {
    async fn enqueue(inner: &Inner, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
        let answers = inner.queue.enqueue(tasks).await?;
        for answer in &answers {
            saw(match answer {
                Enqueued::Inserted { state, .. } => format!("inserted {state}"),
                Enqueued::Existing { state, .. } => format!("existing {state:?}"),
                Enqueued::Refused(refusal) => format!("not stored: {}", refusal.code),
            });
        }
        Ok(answers)
    }

    async fn lease(inner: &Inner, wants: Vec<Want>, wait: Duration) -> Result<Vec<Vec<Lease>>> {
        let shares = inner.queue.lease(wants, wait).await?;
        if shares.iter().filter(|share| !share.is_empty()).count() > 1 {
            saw("tasks shared");
        }
        for lease in shares.iter().flatten() {
            saw("leased");
            for (what, is_so) in [
                ("leased again", lease.attempt > 1),
                ("leased after a loss", lease.losses > 0),
                ("leased with checkpoints", !lease.checkpoints.is_empty()),
            ] {
                if is_so {
                    saw(what);
                }
            }
        }
        Ok(shares)
    }

    async fn beat(inner: &Inner, beats: Vec<Beat>) -> Result<Vec<BeatReply>> {
        let replies = inner.queue.beat(beats).await?;
        for held in replies.iter().flat_map(|reply| &reply.held) {
            saw(format!("held {}", held.as_str()));
        }
        Ok(replies)
    }

    async fn settle(inner: &Inner, ends: Vec<Settlement>) -> Result<Vec<Settled>> {
        let answers = inner.queue.settle(ends).await?;
        for answer in &answers {
            saw(match answer {
                Settled::Applied { state, late: false } => format!("settled {state}"),
                Settled::Applied { state, late: true } => format!("settled late {state}"),
                Settled::Cancelled => "settled, but cancelled".to_owned(),
                Settled::Stale => "settled stale".to_owned(),
                Settled::Refused(_) => "settlement refused".to_owned(),
            });
        }
        Ok(answers)
    }

    async fn get(
        inner: &Inner,
        ids: Vec<TaskId>,
        include: Include,
        wait: Duration,
    ) -> Result<Vec<Option<TaskView>>> {
        let views = inner.inspect.get(ids, include, wait).await?;
        for view in views.iter().flatten() {
            if let Some(reason) = view.standing.reason {
                saw(format!("dead {reason}"));
            }
            if view.standing.cancel_requested && view.lease.is_some() {
                saw("running, cancelled");
            }
            if view.deliveries.len() > 5 {
                saw("delivered more than five times");
            }
        }
        Ok(views)
    }
}

#[test]
fn random_histories_reach_every_answer_and_every_rare_state() {
    model::check::<BuggyRig<Counting>>(Plan {
        histories: 300,
        length: 200,
        seed: 1,
        reopening: false,
    });
    let mut expected: Vec<String> = DeadReason::ALL.map(|reason| format!("dead {reason}")).into();
    expected.extend(
        [
            "inserted available",
            "inserted scheduled",
            "existing None",
            "existing Some(Available)",
            "existing Some(Scheduled)",
            "existing Some(Running)",
            "existing Some(Retryable)",
            "existing Some(Completed)",
            "existing Some(Cancelled)",
            "existing Some(Dead)",
            "not stored: id_conflict",
            "not stored: unique_conflict",
            "not stored: queue_full",
            "tasks shared",
            "leased again",
            "leased after a loss",
            "leased with checkpoints",
            "held yes",
            "held cancel",
            "held stale",
            "settled completed",
            "settled retryable",
            "settled scheduled",
            "settled available",
            "settled cancelled",
            "settled dead",
            "settled late completed",
            "settled late retryable",
            "settled late available",
            "settled, but cancelled",
            "settled stale",
            "settlement refused",
            "running, cancelled",
            "delivered more than five times",
        ]
        .map(str::to_owned),
    );
    let seen = all();
    let missing: Vec<&String> = expected.iter().filter(|what| !seen.contains_key(*what)).collect();
    assert!(missing.is_empty(), "never reached: {missing:?}; reached: {seen:#?}");
}
