//! What a stream asks of the store without waiting for it: several settlements may be under way
//! while the next frame is read. A job borrows nothing of its session; the session takes in what
//! it brings.

use std::sync::Arc;
use std::time::Duration;

use foldhash::HashSet;
use haulier_core::{
    Beat, Directive, Held, Include, LeaseBeat, LeaseKey, Result, Settled, State, WorkerId, limits,
};
use haulier_wire::pb;
use haulier_wire::pb::server_frame::Frame;
use haulier_wire::status::to_problem;
use haulier_wire::{beat, settle};

use crate::grpc::queue;
use crate::shared::Shared;

/// What a job brings.
pub(super) enum Done {
    /// A batch of settlements was answered; these leases are over.
    Settled { frame: Frame, over: Vec<LeaseKey> },
    /// A beat was answered; these leases are lost, and these were called off.
    Beaten {
        frame: Frame,
        lost: Vec<LeaseKey>,
        cancelled: Vec<LeaseKey>,
        directive: Option<Directive>,
    },
    /// What the worker should know before its next beat; `None` if the store could not be asked.
    News(Option<News>),
}

/// What the worker should know.
pub(super) struct News {
    pub directive: Directive,
    pub cancelled: Vec<LeaseKey>,
}

/// Settles a batch.
pub(super) async fn settle(shared: Shared, frame: pb::SettleFrame) -> Done {
    let batch = frame.batch;
    let (answers, problem, over) = match queue::settle(&shared, frame.settlements).await {
        Ok((keys, answers)) => {
            let ended = |answer: &Settled| !matches!(answer, Settled::Refused(_));
            let over = keys.into_iter().zip(&answers).filter(|(_, answer)| ended(answer));
            let over = over.map(|(key, _)| key).collect();
            (answers.into_iter().map(settle::encode_settled).collect(), None, over)
        }
        Err(error) => (Vec::new(), Some(to_problem(&error)), Vec::new()),
    };
    Done::Settled { frame: Frame::Settled(pb::SettledFrame { batch, answers, problem }), over }
}

/// Beats for a worker.
pub(super) async fn beat(shared: Shared, batch: u64, beat: Beat) -> Done {
    let keys: Vec<LeaseKey> = beat.leases.iter().map(|lease| lease.key).collect();
    match one_reply(&shared, beat).await {
        Ok(reply) => {
            let told = |held: Held| {
                let pairs = keys.iter().zip(&reply.held);
                pairs.filter(|(_, told)| **told == held).map(|(key, _)| *key).collect()
            };
            Done::Beaten {
                lost: told(Held::Stale),
                cancelled: told(Held::Cancel),
                directive: Some(reply.directive),
                frame: Frame::Beaten(pb::BeatenFrame {
                    batch,
                    reply: Some(beat::encode_reply(&reply)),
                    problem: None,
                }),
            }
        }
        Err(error) => Done::Beaten {
            lost: Vec::new(),
            cancelled: Vec::new(),
            directive: None,
            frame: Frame::Beaten(pb::BeatenFrame {
                batch,
                reply: None,
                problem: Some(to_problem(&error)),
            }),
        },
    }
}

/// Asks the store for the reply to one beat.
pub(super) async fn one_reply(shared: &Shared, beat: Beat) -> Result<haulier_core::BeatReply> {
    let mut replies = shared.store.beat(vec![beat]).await?;
    replies.pop().ok_or_else(|| haulier_core::Error::internal("the store answered no beat"))
}

/// Finds out what is new for a worker. It renews nothing: only the worker's own beats do.
pub(super) async fn news(shared: Shared, worker: WorkerId, held: Vec<LeaseKey>) -> Done {
    match find_news(&shared, worker, held).await {
        Ok(news) => Done::News(Some(news)),
        Err(error) => {
            tracing::debug!("news for a worker could not be read: {error:#}");
            Done::News(None)
        }
    }
}

async fn find_news(shared: &Shared, worker: WorkerId, held: Vec<LeaseKey>) -> Result<News> {
    let ttl = limits::LEASE_TTL_DEFAULT;
    let silent = Beat { worker, about: None, ttl, leases: Vec::new() };
    let directive = one_reply(shared, silent).await?.directive;
    let mut cancelled = Vec::new();
    for keys in held.chunks(limits::ITEMS_MAX) {
        let ids = keys.iter().map(|key| key.task).collect();
        let views = shared.store.get(ids, Include::default(), Duration::ZERO).await?;
        for (key, view) in keys.iter().zip(views) {
            let called_off = view.is_some_and(|view| {
                let standing = view.standing;
                view.epoch == key.epoch
                    && standing.state == State::Running
                    && standing.cancel_requested
            });
            if called_off {
                cancelled.push(*key);
            }
        }
    }
    Ok(News { directive, cancelled })
}

/// Shortens the leases of a stream that is gone, so that others need not wait for their ttl. The
/// same worker can still take them back.
pub(super) async fn shorten(
    shared: &Shared,
    worker: &WorkerId,
    ttl: Duration,
    held: HashSet<LeaseKey>,
) {
    let held: Vec<LeaseKey> = held.into_iter().collect();
    for keys in held.chunks(limits::ITEMS_MAX) {
        let beat = Beat {
            worker: worker.clone(),
            about: None,
            ttl: ttl.min(limits::DISCONNECT_GRACE),
            leases: keys.iter().copied().map(LeaseBeat::renew).collect(),
        };
        if let Err(error) = shared.store.beat(vec![beat]).await {
            tracing::warn!(%worker, "leases of a lost stream keep their ttl: {error:#}");
        }
    }
}

/// A wait for news.
pub(super) fn watch(
    shared: &Shared,
    worker: &WorkerId,
) -> futures_util::future::BoxFuture<'static, Result<bool>> {
    let (store, worker) = (Arc::clone(&shared.store), worker.clone());
    Box::pin(async move { store.watch(worker, limits::WAIT_MAX).await })
}
