//! Credit, deliveries and notices.

use std::time::Duration;

use haulier_core::limits::{FRAME_BYTES_MAX, ITEMS_MAX};
use haulier_core::{Directive, Payload, State, WorkerId};
use haulier_wire::frames::length;
use haulier_wire::pb::server_frame::Frame as Down;
use haulier_wire::pb::worker_frame::Frame as Up;
use haulier_wire::pb::{self, Held};

use super::worker::{Worker, applied, complete, credit, key};
use crate::site::Site;

#[tokio::test]
async fn no_more_is_delivered_than_the_credit_allows() {
    let site = Site::start();
    let ids = site.put(10).await;
    let (mut worker, _) = Worker::hello(site.address, "w", &[]).await;
    worker.credit(1, 3).await;
    assert_eq!(worker.deliver().await.leases.len(), 3);
    // The answer to this comes behind whatever would have been delivered unasked.
    worker.beat(1, &[]).await;
    worker.credit(2, 5).await;
    assert_eq!(worker.deliver().await.leases.len(), 5);
    assert_eq!(site.view(ids[8]).await.state(), State::Available);
}

#[tokio::test]
async fn a_credit_waits_until_a_task_comes_and_is_then_used_up() {
    let site = Site::start();
    let (mut worker, _) = Worker::hello(site.address, "w", &[]).await;
    worker.credit(1, 5).await;
    worker.beat(1, &[]).await;
    site.put(1).await;
    let deliver = worker.deliver().await;
    assert_eq!((deliver.credit, deliver.leases.len()), (1, 1));
    let ids = site.put(1).await;
    worker.beat(2, &[]).await;
    assert_eq!(site.view(ids[0]).await.state(), State::Available, "nobody asked for it");
}

#[tokio::test]
async fn a_credit_that_is_taken_back_brings_nothing_any_more() {
    let site = Site::start();
    let (mut worker, _) = Worker::hello(site.address, "w", &[]).await;
    worker.credit(1, 5).await;
    worker.credit(1, 0).await;
    let deliver = worker.deliver().await;
    assert_eq!((deliver.credit, deliver.leases.len(), deliver.more), (1, 0, false));
    let ids = site.put(1).await;
    worker.beat(1, &[]).await;
    assert_eq!(site.view(ids[0]).await.state(), State::Available);
    worker.credit(2, 0).await;
    assert_eq!(worker.deliver().await.credit, 2, "what was never granted is answered as well");
}

#[tokio::test]
async fn several_credits_wait_side_by_side() {
    let site = Site::start();
    let (mut worker, _) = Worker::hello(site.address, "w", &[]).await;
    worker.say(credit(1, "mail", 1)).await;
    worker.credit(2, 1).await;
    site.put(1).await;
    assert_eq!(worker.deliver().await.credit, 2);
    let mail = haulier_core::QueueName::new("mail").unwrap();
    site.put_with(1, |task| task.task.queue = mail.clone()).await;
    assert_eq!(worker.deliver().await.credit, 1);
}

#[tokio::test]
async fn scarce_tasks_are_shared_out_over_streams() {
    let site = Site::start();
    let mut workers = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let (mut worker, _) = Worker::hello(site.address, name, &[]).await;
        worker.credit(1, 9).await;
        let heard = async || {
            let id = WorkerId::new(name).unwrap();
            site.store.workers().await.unwrap().iter().any(|view| view.worker == id)
        };
        site.until("the want is waiting", heard).await;
        workers.push(worker);
    }
    site.put(8).await;
    for worker in &mut workers {
        assert_eq!(worker.deliver().await.leases.len(), 2);
    }
}

#[tokio::test]
async fn a_delivery_says_which_frame_the_server_had_seen() {
    let site = Site::start();
    let (mut worker, _) = Worker::hello(site.address, "w", &[]).await;
    site.put(1).await;
    worker.credit(1, 1).await;
    let frame = worker.hear_all().await.unwrap().unwrap();
    assert_eq!((frame.seq, frame.seen), (2, 2));
}

#[tokio::test]
async fn a_want_that_breaks_a_rule_is_refused_and_the_stream_goes_on() {
    let site = Site::start();
    let (mut worker, _) = Worker::hello(site.address, "w", &[]).await;
    let want = pb::Want { max: 1, ..pb::Want::default() };
    worker.say(Up::Credit(pb::Credit { number: 1, want: Some(want) })).await;
    let problem = worker.deliver().await.problem.unwrap();
    assert_eq!(problem.code, "invalid");
    site.put(1).await;
    worker.take_one(2).await;
}

#[tokio::test]
async fn a_claim_larger_than_a_frame_comes_in_several() {
    let site = Site::start();
    let large = || Payload::new(vec![7; 512 * 1024], "a/b");
    site.put_with(10, |task| task.task.payload = large()).await;
    let (mut worker, _) = Worker::hello(site.address, "w", &[]).await;
    worker.credit(1, 10).await;
    let mut leases = 0;
    loop {
        let deliver = worker.deliver().await;
        assert!(length(&deliver) <= FRAME_BYTES_MAX);
        leases += deliver.leases.len();
        if !deliver.more {
            break;
        }
    }
    assert_eq!(leases, 10);
}

#[tokio::test]
async fn a_frame_of_a_thousand_settlements_is_answered_in_order() {
    let site = Site::start();
    site.put(1_000).await;
    let (mut worker, _) = Worker::hello(site.address, "w", &[]).await;
    worker.credit(1, 1_000).await;
    let mut ends = Vec::new();
    while ends.len() < ITEMS_MAX {
        let deliver = worker.deliver().await;
        ends.extend(deliver.leases.iter().map(|lease| complete(key(lease))));
    }
    let settled = worker.settle(1, ends).await;
    assert_eq!(applied(&settled), vec![true; ITEMS_MAX]);
}

#[tokio::test]
async fn a_cancellation_is_told_at_once_and_the_next_beat_is_the_truth() {
    let site = Site::start();
    let ids = site.put(2).await;
    let (mut worker, _) = Worker::hello(site.address, "w", &[]).await;
    let (first, second) = (worker.take_one(1).await, worker.take_one(2).await);
    site.store.cancel(vec![ids[0]]).await.unwrap();
    match worker.hear().await {
        Down::Cancel(cancel) => {
            let key = haulier_wire::lease::encode_key(first);
            assert_eq!(cancel.keys, [key]);
        }
        other => panic!("{other:?}"),
    }
    let reply = worker.beat(1, &[first, second]).await.reply.unwrap();
    assert_eq!(reply.held, [i32::from(Held::Cancel), i32::from(Held::Yes)]);
}

#[tokio::test]
async fn a_directive_is_told_at_once() {
    let site = Site::start();
    let (mut worker, _) = Worker::hello(site.address, "w", &[]).await;
    worker.beat(1, &[]).await;
    site.store.direct(vec![WorkerId::new("w").unwrap()], Directive::Quiet).await.unwrap();
    match worker.hear().await {
        Down::Directive(told) => {
            assert_eq!(told.directive, i32::from(pb::Directive::Quiet));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_notice_renews_no_lease() {
    let site = Site::start();
    let ids = site.put(2).await;
    let (mut worker, _) = Worker::hello(site.address, "w", &[]).await;
    worker.take_one(1).await;
    worker.take_one(2).await;
    site.elapse(Duration::from_secs(20)).await;
    site.store.cancel(vec![ids[0]]).await.unwrap();
    assert!(matches!(worker.hear().await, Down::Cancel(_)));
    let lease = site.view(ids[1]).await.lease.unwrap();
    assert_eq!(lease.expires_in, Duration::from_secs(10));
}

#[tokio::test]
async fn what_a_thin_worker_leaves_open_is_decided_by_the_tasks_policy() {
    let site = Site::start();
    let ids = site.put(1).await;
    let (mut worker, _) = Worker::hello(site.address, "w", &[]).await;
    for (attempt, state) in [(1, State::Retryable), (2, State::Dead)] {
        let key = worker.take_one(attempt).await;
        let failure = Some(pb::Failure { message: "no".to_owned(), ..pb::Failure::default() });
        let fail = pb::Fail { failure, decision: None };
        let end = super::worker::end(key, pb::settlement::Outcome::Fail(fail));
        assert_eq!(applied(&worker.settle(attempt, vec![end]).await), [true]);
        assert_eq!(site.view(ids[0]).await.state(), state);
        site.elapse(Duration::from_secs(2)).await;
    }
}
