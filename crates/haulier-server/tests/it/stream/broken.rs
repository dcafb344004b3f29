//! Streams and calls that break the protocol: a definite answer, and nothing else is harmed.

use bytes::{Buf, BufMut, Bytes};
use haulier_core::limits::ITEMS_MAX;
use haulier_core::{Code, LeaseKey, TaskId};
use haulier_wire::pb;
use haulier_wire::pb::worker_frame::Frame as Up;
use haulier_wire::status::from_status;
use http::uri::PathAndQuery;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status};

use super::worker::{Worker, channel, complete, credit, hello};
use crate::site::{Site, within};

/// Bytes as they are.
#[derive(Debug, Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// The status of a call with these bytes.
async fn call(site: &Site, path: &'static str, bytes: &'static [u8]) -> Status {
    let mut client = tonic::client::Grpc::new(channel(site.address).await);
    client.ready().await.unwrap();
    let path = PathAndQuery::from_static(path);
    let request = Request::new(Bytes::from_static(bytes));
    within(client.unary(request, path, Raw)).await.unwrap_err()
}

/// The error that ends a stream after these frames.
async fn ended(site: &Site, frames: Vec<Up>) -> haulier_core::Error {
    let mut worker = Worker::silent(site.address).await;
    for frame in frames {
        worker.say(frame).await;
    }
    from_status(worker.end().await)
}

#[tokio::test]
async fn garbage_is_refused_and_the_server_goes_on() {
    let site = Site::start();
    for path in ["/haulier.v1.Queue/Enqueue", "/haulier.v1.Queue/Settle", "/haulier.v1.Inspect/Get"]
    {
        let status = call(&site, path, b"\xff\xff\xff\xff garbage").await;
        assert!(
            matches!(status.code(), tonic::Code::Internal | tonic::Code::InvalidArgument),
            "{path}: {status:?}"
        );
    }
    let mut client = tonic::client::Grpc::new(channel(site.address).await);
    client.ready().await.unwrap();
    let frames = tokio_stream::once(Bytes::from_static(b"\xff\xff\xff garbage"));
    let path = PathAndQuery::from_static("/haulier.v1.Queue/Work");
    let stream = within(client.streaming(Request::new(frames), path, Raw)).await.unwrap();
    assert!(within(stream.into_inner().message()).await.map_or(true, |end| end.is_none()));
    let (mut worker, _) = Worker::hello(site.address, "w", &[]).await;
    site.put(1).await;
    worker.take_one(1).await;
}

#[tokio::test]
async fn an_unknown_method_or_service_is_unimplemented() {
    let site = Site::start();
    for path in ["/haulier.v1.Queue/NoSuch", "/haulier.v1.NoSuch/Get", "/nonsense", "/api/v1/tasks"]
    {
        let status = call(&site, path, b"").await;
        let known_otherwise = path.starts_with("/api");
        assert!(status.code() == tonic::Code::Unimplemented || known_otherwise, "{path}: {status}");
    }
}

#[tokio::test]
async fn hello_is_the_first_frame_and_said_once() {
    let site = Site::start();
    let field = |error: &haulier_core::Error| error.fields()[0].field.clone();
    let error = ended(&site, vec![credit(1, "default", 1)]).await;
    assert_eq!((error.code(), field(&error)), (Code::Invalid, "hello".to_owned()));
    let error = ended(&site, vec![hello("w", &[]), hello("w", &[])]).await;
    assert_eq!((error.code(), field(&error)), (Code::Invalid, "hello".to_owned()));
    let error = ended(&site, vec![hello("no name", &[])]).await;
    assert_eq!((error.code(), field(&error)), (Code::Invalid, "worker".to_owned()));
}

#[tokio::test]
async fn a_stream_that_never_says_hello_is_closed() {
    let site = Site::start();
    let mut worker = Worker::silent(site.address).await;
    let sleeps = async || site.clock.next_wake().is_some_and(|next| next.as_secs() < 10);
    site.until("the server counts the time", sleeps).await;
    let patient = async {
        loop {
            site.clock.advance(std::time::Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
    };
    let error = tokio::select! {
        status = worker.end() => from_status(status),
        () = patient => unreachable!(),
    };
    assert_eq!(error.fields()[0].field, "hello");
}

#[tokio::test]
async fn frames_are_numbered_without_gaps() {
    let site = Site::start();
    let (mut worker, _) = Worker::hello(site.address, "w", &[]).await;
    worker.say_as(3, credit(1, "default", 1)).await;
    assert_eq!(from_status(worker.end().await).fields()[0].field, "seq");
}

#[tokio::test]
async fn a_frame_carries_as_many_items_as_the_limit_and_no_more() {
    let site = Site::start();
    let key = LeaseKey { task: TaskId::from_bytes([9; 16]), epoch: haulier_core::Epoch(1) };
    let settle =
        |count| Up::Settle(pb::SettleFrame { batch: 1, settlements: vec![complete(key); count] });
    let (mut worker, _) = Worker::hello(site.address, "w", &[]).await;
    let settled = worker.settle(1, vec![complete(key); ITEMS_MAX]).await;
    assert_eq!(settled.answers.len(), ITEMS_MAX);
    let error = ended(&site, vec![hello("w2", &[]), settle(ITEMS_MAX + 1)]).await;
    assert_eq!(error.code(), Code::TooLarge);
    let held = vec![key; ITEMS_MAX + 1];
    assert_eq!(ended(&site, vec![hello("w3", &held)]).await.code(), Code::TooLarge);
    let (_worker, welcome) = Worker::hello(site.address, "w4", &held[1..]).await;
    assert_eq!(welcome.held.len(), ITEMS_MAX);
}

#[tokio::test]
async fn a_worker_has_so_many_credits_out_and_no_more() {
    let site = Site::start();
    let (mut worker, _) = Worker::hello(site.address, "w", &[]).await;
    for number in 1..=64 {
        worker.credit(number, 1).await;
    }
    worker.credit(64, 1).await;
    worker.beat(1, &[]).await;
    worker.credit(65, 1).await;
    assert_eq!(from_status(worker.end().await).fields()[0].field, "credit");
}

#[tokio::test]
async fn a_stream_speaks_for_its_own_worker_only() {
    let site = Site::start();
    let beat = pb::Beat { worker: "other".to_owned(), ..pb::Beat::default() };
    let beat = Up::Beat(pb::BeatFrame { batch: 1, beat: Some(beat) });
    let error = ended(&site, vec![hello("w", &[]), beat]).await;
    assert_eq!(error.fields()[0].field, "beat.worker");
}

#[tokio::test]
async fn what_breaks_a_stream_costs_its_leases_the_grace_only() {
    let site = Site::start();
    let ids = site.put(1).await;
    let (mut worker, _) = Worker::hello(site.address, "w", &[]).await;
    worker.take_one(1).await;
    worker.say_as(99, credit(2, "default", 1)).await;
    worker.end().await;
    site.until_lease_is_at_most(ids[0], haulier_core::limits::DISCONNECT_GRACE).await;
}
