//! One connection's frames, numbered.

use std::sync::Arc;
use std::time::Duration;

use haulier_core::clock::millis;
use haulier_core::{Code, Error, LeaseKey, Result, WorkerAbout, WorkerId, limits};
use haulier_wire::pb::server_frame::Frame;
use haulier_wire::pb::worker_frame::Frame as Up;
use haulier_wire::pb::{self, ServerFrame, WorkerFrame};
use haulier_wire::status::from_status;
use haulier_wire::{beat, lease};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::net::{Net, Way};
use crate::store::queue_client;

/// Frames that may wait for the connection. More cannot be unanswered: 64 credits, each perhaps
/// taken back, and 17 batches; so a connection that takes no more is stuck.
const FRAMES_WAITING: usize = 256;
/// How long a server may take to say Welcome.
const WELCOME_WITHIN: Duration = Duration::from_secs(10);

/// A stream that works.
pub(super) struct Live {
    up: mpsc::Sender<WorkerFrame>,
    down: Streaming<ServerFrame>,
    /// Which server it leads to.
    pub server: usize,
    seq: u64,
}

/// What the worker says first.
pub(super) struct Hello {
    pub worker: WorkerId,
    pub about: Option<Arc<WorkerAbout>>,
    pub ttl: Duration,
    /// At most as many as a frame may have.
    pub held: Vec<LeaseKey>,
}

/// A stream that was opened, with what was said on it first.
pub(super) struct Opened {
    pub live: Live,
    pub welcome: pb::Welcome,
    pub held: Vec<LeaseKey>,
}

/// Opens a stream, after a pause; fails with the server that failed.
pub(super) async fn dial(
    net: Arc<Net>,
    hello: Hello,
    pause: Duration,
) -> Result<Box<Opened>, (usize, Error)> {
    if !pause.is_zero() {
        net.clock.sleep(pause).await;
    }
    let way = net.way();
    let server = way.server;
    let late = Error::new(Code::Unavailable, "the server did not say welcome in time");
    tokio::select! {
        opened = say_hello(&net, way, hello) => opened.map_err(|error| (server, error)),
        () = net.clock.sleep(WELCOME_WITHIN) => Err((server, late)),
    }
}

async fn say_hello(net: &Net, way: Way, hello: Hello) -> Result<Box<Opened>> {
    let Hello { worker, about, ttl, held } = hello;
    let message = pb::Hello {
        worker: worker.as_str().to_owned(),
        about: about.as_deref().map(beat::encode_about),
        ttl_ms: Some(millis(ttl)),
        held: held.iter().copied().map(lease::encode_key).collect(),
    };
    let (up, frames) = mpsc::channel(FRAMES_WAITING);
    let first = WorkerFrame { seq: 1, frame: Some(Up::Hello(message)) };
    up.try_send(first).map_err(|_| Error::internal("a new stream is full"))?;
    let request = net.request(ReceiverStream::new(frames));
    let response = queue_client(way.channel).work(request).await.map_err(from_status)?;
    let mut down = response.into_inner();
    let welcome = match down.message().await.map_err(from_status)? {
        Some(ServerFrame { frame: Some(Frame::Welcome(welcome)), .. }) => welcome,
        Some(_) => return Err(Error::internal("the server did not say welcome first")),
        None => return Err(Error::new(Code::Unavailable, "the server ended the stream at once")),
    };
    let live = Live { up, down, server: way.server, seq: 1 };
    Ok(Box::new(Opened { live, welcome, held }))
}

/// The connection takes no more.
#[derive(Debug)]
pub(super) struct Stuck;

impl Live {
    /// Sends a frame.
    pub fn send(&mut self, frame: Up) -> Result<(), Stuck> {
        self.seq += 1;
        self.up.try_send(WorkerFrame { seq: self.seq, frame: Some(frame) }).map_err(|_| Stuck)
    }

    /// The next frame; `None` when the server ended the stream.
    pub async fn receive(&mut self) -> Result<Option<ServerFrame>, Status> {
        self.down.message().await
    }
}

/// How many leases a worker can take back by saying Hello; beats take the others.
pub(super) const HELLO_HELD_MAX: usize = limits::ITEMS_MAX;
