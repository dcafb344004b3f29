//! How streams end, and what becomes of their leases.

use std::time::Duration;

use haulier_core::limits::DISCONNECT_GRACE;
use haulier_core::{Code, Payload, State, probe};
use haulier_wire::pb::worker_frame::Frame as Up;
use haulier_wire::pb::{self, Held};
use haulier_wire::status::from_status;

use super::worker::{Worker, applied, complete};
use crate::site::Site;

#[tokio::test]
async fn the_leases_of_a_lost_stream_pass_on_after_the_grace() {
    let site = Site::start();
    let ids = site.put(1).await;
    let (mut lost, _) = Worker::hello(site.address, "lost", &[]).await;
    lost.take_one(1).await;
    drop(lost);
    site.until_lease_is_at_most(ids[0], DISCONNECT_GRACE).await;
    site.elapse(Duration::from_millis(1_999)).await;
    assert_eq!(site.view(ids[0]).await.state(), State::Running, "the grace is not over");
    let (mut next, _) = Worker::hello(site.address, "next", &[]).await;
    next.credit(1, 1).await;
    next.beat(1, &[]).await;
    site.elapse(Duration::from_millis(1)).await;
    assert_eq!(next.deliver().await.leases[0].losses, 1);
}

#[tokio::test]
async fn a_worker_that_comes_back_takes_its_leases_back() {
    let site = Site::start();
    let ids = site.put(1).await;
    let (mut worker, _) = Worker::hello(site.address, "w", &[]).await;
    let key = worker.take_one(1).await;
    drop(worker);
    site.until_lease_is_at_most(ids[0], DISCONNECT_GRACE).await;
    let (mut worker, welcome) = Worker::hello(site.address, "w", &[key]).await;
    assert_eq!(welcome.held, [i32::from(Held::Yes)]);
    site.elapse(Duration::from_secs(29)).await;
    assert_eq!(applied(&worker.settle(1, vec![complete(key)]).await), [true]);
    assert_eq!(site.view(ids[0]).await.standing.losses, 0);
}

#[tokio::test]
async fn a_lease_that_passed_on_is_not_taken_back() {
    let site = Site::start();
    site.put(1).await;
    let (mut worker, _) = Worker::hello(site.address, "w", &[]).await;
    let key = worker.take_one(1).await;
    drop(worker);
    site.until_lease_is_at_most(key.task, DISCONNECT_GRACE).await;
    site.elapse(DISCONNECT_GRACE).await;
    let (_worker, welcome) = Worker::hello(site.address, "w", &[key]).await;
    assert_eq!(welcome.held, [i32::from(Held::Stale)]);
}

#[tokio::test]
async fn a_batch_that_is_settled_again_after_a_reconnect_gets_the_same_answers() {
    let site = Site::start();
    site.put(2).await;
    let (mut worker, _) = Worker::hello(site.address, "w", &[]).await;
    let keys = [worker.take_one(1).await, worker.take_one(2).await];
    let batch = keys.map(complete).to_vec();
    let first = worker.settle(7, batch.clone()).await;
    drop(worker);
    let (mut worker, _) = Worker::hello(site.address, "w", &keys).await;
    assert_eq!(worker.settle(7, batch).await, first);
}

#[tokio::test]
async fn a_settled_lease_is_no_longer_the_streams_to_lose() {
    let site = Site::start();
    let ids = site.put(2).await;
    let (mut worker, _) = Worker::hello(site.address, "w", &[]).await;
    let (first, _second) = (worker.take_one(1).await, worker.take_one(2).await);
    let release = pb::settlement::Outcome::Release(pb::Release {});
    worker.settle(1, vec![super::worker::end(first, release)]).await;
    // Another worker has it now; the loss of the first one's stream must not touch its lease.
    let (mut other, _) = Worker::hello(site.address, "other", &[]).await;
    other.take_one(1).await;
    drop(worker);
    site.until_lease_is_at_most(ids[1], DISCONNECT_GRACE).await;
    let lease = site.view(ids[0]).await.lease.unwrap();
    assert_eq!(lease.worker.as_str(), "other");
    assert_eq!(lease.expires_in, Duration::from_secs(30));
}

#[tokio::test]
async fn a_worker_that_says_bye_keeps_what_it_does_not_hand_back() {
    let site = Site::start();
    let ids = site.put(2).await;
    let (mut worker, _) = Worker::hello(site.address, "w", &[]).await;
    let (first, _second) = (worker.take_one(1).await, worker.take_one(2).await);
    let release = vec![haulier_wire::lease::encode_key(first)];
    worker.say(Up::Bye(pb::Bye { release })).await;
    assert_eq!(worker.end().await.code(), tonic::Code::Ok);
    let view = site.view(ids[0]).await;
    assert_eq!((view.state(), view.standing.attempt), (State::Available, 0));
    let lease = site.view(ids[1]).await.lease.unwrap();
    assert_eq!(lease.expires_in, Duration::from_secs(30));
}

#[tokio::test]
async fn a_newer_stream_of_a_worker_ends_the_older_one() {
    let site = Site::start();
    site.put(2).await;
    let (mut older, _) = Worker::hello(site.address, "w", &[]).await;
    let (known, lost) = (older.take_one(1).await, older.take_one(2).await);
    let (_newer, welcome) = Worker::hello(site.address, "w", &[known]).await;
    assert_eq!(welcome.held, [i32::from(Held::Yes)]);
    let error = from_status(older.end().await);
    assert_eq!((error.code(), error.fields()[0].field.as_str()), (Code::Invalid, "hello.worker"));
    let left = async |id| site.view(id).await.lease.unwrap().expires_in;
    assert_eq!(left(known.task).await, Duration::from_secs(30));
    assert_eq!(left(lost.task).await, DISCONNECT_GRACE, "it never arrived");
}

#[tokio::test]
async fn a_draining_server_answers_what_it_was_told_and_sends_the_worker_away() {
    let mut site = Site::start();
    let ids = site.put(2).await;
    let (mut worker, _) = Worker::hello(site.address, "w", &[]).await;
    let (first, second) = (worker.take_one(1).await, worker.take_one(2).await);
    worker.credit(3, 1).await;
    assert_eq!(applied(&worker.settle(1, vec![complete(first)]).await), [true]);
    site.drain();
    let error = from_status(worker.end().await);
    assert_eq!((error.code(), error.may_have_applied()), (Code::Unavailable, false));
    let lease = site.view(second.task).await.lease.unwrap();
    assert_eq!(lease.expires_in, Duration::from_secs(30), "it is the worker's to take along");
    assert_eq!(site.view(ids[0]).await.state(), State::Completed);
    site.ended().await.unwrap();
}

#[tokio::test]
async fn leases_on_their_way_to_a_stream_that_is_gone_are_handed_back() {
    let site = Site::start();
    let (mut worker, _) = Worker::hello(site.address, "w", &[]).await;
    worker.credit(1, 1).await;
    worker.beat(1, &[]).await;
    drop(worker);
    let ids = site.put(1).await;
    // Either nobody claims it, or it is handed back, or its lease is down to the grace: it never
    // waits for a whole ttl.
    let (mut next, _) = Worker::hello(site.address, "next", &[]).await;
    next.credit(1, 1).await;
    site.elapse(DISCONNECT_GRACE).await;
    let deliver = next.deliver().await;
    assert_eq!(super::worker::key(&deliver.leases[0]).task, ids[0]);
}

#[tokio::test]
async fn a_worker_that_reads_nothing_is_sent_no_more_than_it_asked_for_and_others_are_served() {
    const CREDITS: u64 = 64;
    let site = Site::start();
    let large = || Payload::new(vec![7; 300 * 1024], "a/b");
    let ids = site.put_with(2 * CREDITS, |task| task.task.payload = large()).await;
    let (mut deaf, _) = Worker::hello(site.address, "deaf", &[]).await;
    for number in 1..=CREDITS {
        deaf.credit(number, 1).await;
    }
    let full = |(name, times)| name == "send buffer full" && times > 0;
    site.until("its buffer is full", async || probe::counts().into_iter().any(full)).await;
    let (mut other, _) = Worker::hello(site.address, "other", &[]).await;
    other.take_one(1).await;
    let mut running = 0;
    for id in ids {
        running += u64::from(site.view(id).await.state() == State::Running);
    }
    assert!(running <= CREDITS + 1, "L5: {running} are leased; no more than it has asked for");
    let mut came = 0;
    while came < CREDITS {
        came += deaf.deliver().await.leases.len() as u64;
    }
}
