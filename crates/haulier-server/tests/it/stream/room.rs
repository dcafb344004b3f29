//! What the server holds for callers is bounded, and who waits for room gets it first (L5).

use haulier_core::{Code, NewTask, Queue as _, State};
use haulier_wire::pb;
use haulier_wire::pb::server_frame::Frame as Down;
use haulier_wire::pb::worker_frame::Frame as Up;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::worker::{Worker, applied, complete};
use crate::remote::connect;
use crate::site::{Site, within};

const TASK: &str = r#"{"kind":"a"}"#;

/// Bodies without an end, until there is no room for one more.
async fn fill(site: &Site) -> Vec<TcpStream> {
    let about = site.get("/api/v1/about").await.json();
    let max = usize::try_from(about["limits"]["body_bytes_max"].as_u64().unwrap()).unwrap();
    let head = format!(
        "POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {max}\r\n\r\n"
    );
    let most = " ".repeat(max - 1);
    let mut bodies = Vec::new();
    while site.post("/api/v1/tasks", TASK).await.status == 201 {
        assert!(bodies.len() < 100, "L5: there is room without end");
        let mut body = site.connect().await;
        within(body.write_all(head.as_bytes())).await.unwrap();
        // One that finds no room any more is answered before its end.
        let _refused = within(body.write_all(most.as_bytes())).await.is_err();
        bodies.push(body);
    }
    bodies
}

#[tokio::test]
async fn bodies_that_never_end_are_bounded_and_what_finds_no_room_may_come_again() {
    let site = Site::start();
    let client = connect(&format!("http://{}", site.address), &site.clock).await.unwrap();
    let bodies = fill(&site).await;
    let problem = site.post("/api/v1/tasks", TASK).await.problem(429, "throttled");
    assert!(problem["detail"].as_str().unwrap().contains("repeat"), "{problem}");
    let settlements = r#"{"worker":"w","settlements":[]}"#;
    site.post("/api/v1/settlements", settlements).await.problem(429, "throttled");
    assert_eq!(site.get("/readyz").await.status, 200, "who brings nothing needs no room");
    let id = haulier_core::TaskId::from_bytes([7; 16]);
    let task = || vec![NewTask::new(id, "a".parse().unwrap(), haulier_core::Payload::json("1"))];
    let refused = within(client.enqueue(task())).await.unwrap_err();
    assert_eq!(refused.code(), Code::Throttled, "{refused:#}");
    assert!(refused.is_retryable() && !refused.may_have_applied());
    drop(bodies);
    within(async { while client.enqueue(task()).await.is_err() {} }).await;
}

#[tokio::test]
async fn a_stream_without_room_is_read_on_as_soon_as_there_is_some() {
    let site = Site::start();
    let ids = site.put(1).await;
    let (mut worker, _) = Worker::hello(site.address, "w", &[]).await;
    let key = worker.take_one(1).await;
    let bodies = fill(&site).await;
    worker.say(Up::Settle(pb::SettleFrame { batch: 1, settlements: vec![complete(key)] })).await;
    site.post("/api/v1/tasks", TASK).await.problem(429, "throttled");
    assert_eq!(site.view(ids[0]).await.state(), State::Running);
    drop(bodies);
    let Down::Settled(settled) = worker.hear().await else { panic!("no answer") };
    assert_eq!(applied(&settled), [true]);
}
