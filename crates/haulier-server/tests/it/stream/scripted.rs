//! A client of a server that says what the test wants: what a real one says rarely.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use haulier_core::{Capabilities, Code, Durability, Error, ManualClock, Queue as _, limits};
use haulier_core::{Lease, LeaseKey, NewTask, Payload, QueueName, Result, Store, Want, WorkerId};
use haulier_memory::MemoryStore;
use haulier_remote::RemoteStore;
use haulier_wire::pb::queue_server::{Queue, QueueServer};
use haulier_wire::pb::server_frame::Frame as Down;
use haulier_wire::pb::worker_frame::Frame as Up;
use haulier_wire::status::to_problem;
use haulier_wire::{capabilities, lease, pb, task};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use super::worker::key;
use crate::remote::connect;
use crate::site::within;

/// A worker's stream, as its server has it.
struct Stream {
    up: Streaming<pb::WorkerFrame>,
    down: mpsc::Sender<Result<pb::ServerFrame, Status>>,
    seq: u64,
}

/// Hands every stream to the test.
struct Scripted(mpsc::UnboundedSender<Stream>);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Queue for Scripted {
    type WorkStream = ReceiverStream<Result<pb::ServerFrame, Status>>;

    async fn work(
        &self,
        request: Request<Streaming<pb::WorkerFrame>>,
    ) -> Result<Response<Self::WorkStream>, Status> {
        let (down, frames) = mpsc::channel(16);
        let mut stream = Stream { up: request.into_inner(), down, seq: 0 };
        assert!(matches!(stream.hear().await, Up::Hello(_)));
        stream.say(Down::Welcome(pb::Welcome::default())).await;
        self.0.send(stream).unwrap();
        Ok(Response::new(ReceiverStream::new(frames)))
    }

    async fn capabilities(
        &self,
        _: Request<pb::CapabilitiesRequest>,
    ) -> Answer<pb::CapabilitiesResponse> {
        Ok(Response::new(capabilities::encode(Capabilities::full("scripted", Durability::D2))))
    }

    async fn enqueue(&self, _: Request<pb::EnqueueRequest>) -> Answer<pb::EnqueueResponse> {
        Err(Status::unimplemented("no part of this"))
    }

    async fn lease(&self, _: Request<pb::LeaseRequest>) -> Answer<pb::LeaseResponse> {
        Err(Status::unimplemented("no part of this"))
    }

    async fn beat(&self, _: Request<pb::BeatRequest>) -> Answer<pb::BeatResponse> {
        Err(Status::unimplemented("no part of this"))
    }

    async fn watch(&self, _: Request<pb::WatchRequest>) -> Answer<pb::WatchResponse> {
        Err(Status::unimplemented("no part of this"))
    }

    async fn settle(&self, _: Request<pb::SettleRequest>) -> Answer<pb::SettleResponse> {
        Err(Status::unimplemented("no part of this"))
    }
}

impl Stream {
    async fn hear(&mut self) -> Up {
        within(self.up.message()).await.unwrap().unwrap().frame.unwrap()
    }

    /// The number of the next credit, and how much it wants.
    async fn credit(&mut self) -> (u64, u32) {
        match self.hear().await {
            Up::Credit(credit) => (credit.number, credit.want.unwrap().max),
            other => panic!("no credit: {other:?}"),
        }
    }

    async fn say(&mut self, frame: Down) {
        self.seq += 1;
        let frame = pb::ServerFrame { seq: self.seq, seen: self.seq, frame: Some(frame) };
        self.down.send(Ok(frame)).await.unwrap();
    }

    async fn deliver(&mut self, deliver: pb::Deliver) {
        self.say(Down::Deliver(deliver)).await;
    }
}

/// A client, and the streams that it opens.
async fn scripted() -> (RemoteStore, mpsc::UnboundedReceiver<Stream>) {
    let (told, streams) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let routes = Routes::new(QueueServer::new(Scripted(told))).into_axum_router();
    let server = axum_server::from_tcp(listener).unwrap().serve(routes.into_make_service());
    tokio::spawn(server);
    let remote = connect(&format!("http://{address}"), &ManualClock::new()).await.unwrap();
    (remote, streams)
}

fn want(max: u32) -> Want {
    Want::new(WorkerId::new("w").unwrap(), QueueName::default(), max)
}

/// Leases as a store grants them.
async fn granted(count: u8) -> Vec<Lease> {
    let store = MemoryStore::new(Arc::new(ManualClock::new()));
    let task = |number: u8| {
        let id = haulier_core::TaskId::from_bytes([number; 16]);
        NewTask::new(id, "a".parse().unwrap(), Payload::json("1"))
    };
    store.enqueue((1..=count).map(task).collect()).await.unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    store.lease(vec![want(u32::from(count))], std::time::Duration::ZERO).await.unwrap().remove(0)
}

#[tokio::test]
async fn thousands_of_callers_that_go_at_a_time_cost_no_stream() {
    let (remote, mut streams) = scripted().await;
    let ask = || {
        let remote = remote.clone();
        Box::pin(async move { remote.lease(vec![want(1)], limits::WAIT_MAX).await })
    };
    let mut callers: FuturesUnordered<_> = (0..1_000).map(|_| ask()).collect();
    let opening = async {
        let mut stream = streams.recv().await.unwrap();
        for _ in 0..64 {
            assert_eq!(stream.credit().await.1, 1);
        }
        // The others have asked by now, too: nobody else has anything to do.
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
        }
        stream
    };
    let mut stream = within(async {
        tokio::select! {
            biased;
            answer = callers.next() => panic!("nothing was delivered: {answer:?}"),
            stream = opening => stream,
        }
    })
    .await;
    drop(callers);
    for _ in 0..64 {
        let (credit, max) = stream.credit().await;
        assert_eq!(max, 0, "what the server has heard of is taken back");
        stream.deliver(pb::Deliver { credit, ..pb::Deliver::default() }).await;
    }
    let next = tokio::spawn(ask());
    assert_eq!(stream.credit().await.1, 1, "the same stream goes on");
    assert!(streams.try_recv().is_err(), "and there is no other");
    next.abort();
}

#[tokio::test]
async fn what_came_of_a_claim_before_it_failed_is_handed_back() {
    let (remote, mut streams) = scripted().await;
    let asking = tokio::spawn(async move { remote.lease(vec![want(3)], limits::WAIT_MAX).await });
    let mut stream = within(streams.recv()).await.unwrap();
    let (credit, _) = stream.credit().await;
    let leases = granted(2).await;
    let keys: Vec<LeaseKey> = leases.iter().map(|lease| lease.key).collect();
    let leases = lease::encode_leases(&leases);
    assert_eq!(leases.iter().map(key).collect::<Vec<_>>(), keys);
    let more = pb::Deliver { credit, leases, more: true, problem: None };
    stream.deliver(more).await;
    let away = Error::new(Code::Unavailable, "the store is away");
    let problem = Some(to_problem(&away));
    stream.deliver(pb::Deliver { credit, problem, ..pb::Deliver::default() }).await;
    let failed = within(asking).await.unwrap().unwrap_err();
    assert_eq!(failed.code(), Code::Unavailable);
    let Up::Settle(settle) = stream.hear().await else { panic!("nothing is handed back") };
    let released = pb::settlement::Outcome::Release(pb::Release {});
    let back = settle.settlements.into_iter().map(|end| {
        assert_eq!(end.outcome, Some(released.clone()));
        (end.task.to_vec(), end.epoch)
    });
    let expected: Vec<_> =
        keys.iter().map(|key| (task::encode_id(key.task).to_vec(), key.epoch.0)).collect();
    assert_eq!(back.collect::<Vec<_>>(), expected);
}
