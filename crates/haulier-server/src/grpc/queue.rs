//! The service of producers and workers.

use std::sync::Arc;
use std::time::Duration;

use haulier_core::{Error, Lease, LeaseKey, Outcome, Result, Settled, Settlement, limits};
use haulier_wire::frames::{check_items, length};
use haulier_wire::pb::queue_server::Queue;
use haulier_wire::settle::Ending;
use haulier_wire::status::to_status;
use haulier_wire::task::Pen;
use haulier_wire::{beat, capabilities, enqueue, lease, pb, settle};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::work::{Sessions, session};
use super::{answer, keeping, release};
use crate::decide::{Undecided, decide};
use crate::leave::Held;
use crate::shared::Shared;

/// Frames that may wait for a worker's connection; beyond it the stream stops reading. A worker
/// that reads nothing costs no more than these.
const FRAMES_WAITING: usize = 8;

/// The service, with what all streams share.
pub(super) struct Service {
    shared: Shared,
    sessions: Arc<Sessions>,
}

impl Service {
    pub(super) fn new(shared: Shared) -> Self {
        Self { shared, sessions: Arc::default() }
    }

    async fn lease(&self, request: pb::LeaseRequest) -> Result<(pb::LeaseResponse, Held)> {
        check_items(request.wants.len(), "wants")?;
        self.shared.check_not_draining()?;
        let wants = lease::decode_wants(request.wants)?;
        let nothing = vec![Vec::new(); wants.len()];
        let wait = Duration::from_millis(request.wait_ms);
        let got = self.shared.unless_draining(self.shared.store.lease(wants, wait)).await;
        let got = got.unwrap_or(Ok(nothing))?;
        let keys = |leases: &[Lease]| leases.iter().map(|lease| lease.key).collect();
        let bytes = got.iter().flatten().map(|lease| lease.task.payload.bytes.len()).sum::<usize>();
        let held = match self.shared.room_for_leases(bytes.min(limits::MESSAGE_BYTES_MAX)) {
            Ok(held) => held,
            Err(full) => {
                release(&*self.shared.store, keys(&got.concat())).await;
                return Err(full);
            }
        };
        let (answers, rest) = fit(got);
        if !rest.is_empty() {
            release(&*self.shared.store, keys(&rest)).await;
        }
        Ok((pb::LeaseResponse { answers }, held))
    }

    async fn enqueue(&self, request: pb::EnqueueRequest) -> Result<pb::EnqueueResponse> {
        check_items(request.tasks.len(), "tasks")?;
        let answers = self.shared.enqueue(enqueue::decode_tasks(request)?).await?;
        Ok(pb::EnqueueResponse { answers: enqueue::encode_answers(answers) })
    }

    async fn beat(&self, request: pb::BeatRequest) -> Result<pb::BeatResponse> {
        check_items(request.beats.len(), "beats")?;
        check_items(request.beats.iter().map(|beat| beat.leases.len()).sum(), "leases")?;
        let replies = self.shared.store.beat(beat::decode_beats(request.beats)?).await?;
        Ok(pb::BeatResponse { replies: replies.iter().map(beat::encode_reply).collect() })
    }

    async fn watch(&self, request: pb::WatchRequest) -> Result<pb::WatchResponse> {
        let worker = lease::decode_worker(&request.worker)?;
        let wait = Duration::from_millis(request.wait_ms);
        let news = self.shared.unless_draining(self.shared.store.watch(worker, wait)).await;
        Ok(pb::WatchResponse { news: news.unwrap_or(Ok(false))? })
    }
}

/// Decides what is undecided, and settles. The keys of the leases come with the answers.
pub(super) async fn settle(
    shared: &Shared,
    ends: Vec<pb::Settlement>,
) -> Result<(Vec<LeaseKey>, Vec<Settled>)> {
    check_items(ends.len(), "settlements")?;
    let ends = decided(shared, settle::decode_settlements(ends)?).await?;
    let keys: Vec<LeaseKey> = ends.iter().map(|end| end.key).collect();
    let answers = shared.store.settle(ends).await?;
    if answers.len() != keys.len() {
        return Err(Error::internal("the store did not answer every settlement"));
    }
    Ok((keys, answers))
}

async fn decided(shared: &Shared, endings: Vec<Ending>) -> Result<Vec<Settlement>> {
    let mut open = Vec::new();
    let mut ends: Vec<Settlement> = Vec::with_capacity(endings.len());
    for (at, ending) in endings.into_iter().enumerate() {
        ends.push(match ending {
            Ending::Decided(end) => end,
            Ending::Undecided { key, failure } => {
                open.push((at, Undecided { key, failure, proposed: None }));
                Settlement { key, outcome: Outcome::Release }
            }
        });
    }
    if !open.is_empty() {
        let (places, undecided): (Vec<_>, Vec<_>) = open.into_iter().unzip();
        for (at, outcome) in places.into_iter().zip(decide(shared, undecided).await?) {
            ends[at].outcome = outcome;
        }
    }
    Ok(ends)
}

/// What fits one message, in order, and the leases that do not. The first always does.
fn fit(got: Vec<Vec<Lease>>) -> (Vec<pb::Leases>, Vec<Lease>) {
    let mut bytes = 0;
    let mut rest = Vec::new();
    let mut pen = Pen::for_items(got.iter().map(Vec::len).sum());
    let answers = got.into_iter().map(|leases| {
        let mut kept = Vec::with_capacity(leases.len());
        for lease in leases {
            let encoded = lease::encode_lease(&lease, &mut pen);
            let taken = length(&encoded) + 8;
            if bytes > 0 && bytes + taken > limits::MESSAGE_BYTES_MAX - 1024 {
                rest.push(lease);
            } else {
                bytes += taken;
                kept.push(encoded);
            }
        }
        pb::Leases { leases: kept }
    });
    (answers.collect(), rest)
}

#[tonic::async_trait]
impl Queue for Service {
    async fn enqueue(
        &self,
        request: Request<pb::EnqueueRequest>,
    ) -> Result<Response<pb::EnqueueResponse>, Status> {
        answer(self.enqueue(request.into_inner()).await)
    }

    async fn lease(
        &self,
        request: Request<pb::LeaseRequest>,
    ) -> Result<Response<pb::LeaseResponse>, Status> {
        let leased = self.lease(request.into_inner()).await;
        let (answers, held) = leased.map_err(|error| to_status(&error))?;
        Ok(keeping(held, answers))
    }

    async fn beat(
        &self,
        request: Request<pb::BeatRequest>,
    ) -> Result<Response<pb::BeatResponse>, Status> {
        answer(self.beat(request.into_inner()).await)
    }

    async fn watch(
        &self,
        request: Request<pb::WatchRequest>,
    ) -> Result<Response<pb::WatchResponse>, Status> {
        answer(self.watch(request.into_inner()).await)
    }

    async fn settle(
        &self,
        request: Request<pb::SettleRequest>,
    ) -> Result<Response<pb::SettleResponse>, Status> {
        let settled = settle(&self.shared, request.into_inner().settlements).await;
        answer(settled.map(|(_, answers)| pb::SettleResponse {
            answers: answers.into_iter().map(settle::encode_settled).collect(),
        }))
    }

    async fn capabilities(
        &self,
        _: Request<pb::CapabilitiesRequest>,
    ) -> Result<Response<pb::CapabilitiesResponse>, Status> {
        answer(Ok(capabilities::encode(self.shared.capabilities())))
    }

    type WorkStream = ReceiverStream<Result<pb::ServerFrame, Status>>;

    async fn work(
        &self,
        request: Request<Streaming<pb::WorkerFrame>>,
    ) -> Result<Response<Self::WorkStream>, Status> {
        self.shared.check_not_draining().map_err(|error| to_status(&error))?;
        let (down, frames) = mpsc::channel(FRAMES_WAITING);
        let up = request.into_inner();
        let sessions = Arc::clone(&self.sessions);
        tokio::spawn(session::serve(self.shared.clone(), sessions, up, down));
        Ok(Response::new(ReceiverStream::new(frames)))
    }
}
