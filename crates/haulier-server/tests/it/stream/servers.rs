//! The client with servers that come and go.

use std::sync::Arc;
use std::time::Duration;

use haulier_core::{
    Beat, Clock, Code, Held, Include, Inspect, Kind, LeaseBeat, LeaseKey, ManualClock, NewTask,
    Outcome, Payload, Progress, Queue, QueueName, Settled, Settlement, State, Store, TaskId, Want,
    WorkerId, limits,
};
use haulier_memory::MemoryStore;
use haulier_remote::RemoteStore;
use tokio::task::JoinHandle;

use super::proxy::Proxy;
use super::worker::view;
use crate::remote::{Link, connect};
use crate::site::within;

fn want() -> Want {
    Want::new(WorkerId::new("w").unwrap(), QueueName::default(), 1)
}

async fn put(store: &Arc<dyn Store>, number: u8) -> TaskId {
    let id = TaskId::from_bytes([number; 16]);
    let new = NewTask::new(id, Kind::new("k").unwrap(), Payload::json("{}"));
    store.enqueue(vec![new]).await.unwrap();
    id
}

#[tokio::test]
async fn a_client_without_a_server_says_what_to_do() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = connect(&format!("http://{free}"), &ManualClock::new()).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    let text = error.to_string();
    assert!(text.contains(&free.to_string()) && text.contains("haulier dev"), "{text}");
}

#[tokio::test]
async fn a_worker_goes_to_the_next_server_with_its_leases() {
    let clock = ManualClock::new();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
    let (first, second) = (
        Link::over(Arc::clone(&store), &clock).await,
        Link::over(Arc::clone(&store), &clock).await,
    );
    let urls = format!("http://{},http://{}", first.address, second.address);
    let remote = connect(&urls, &clock).await.unwrap();
    let id = put(&store, 1).await;
    let leases = within(remote.lease(vec![want()], limits::WAIT_MAX)).await.unwrap();
    let key = leases[0][0].key;
    for link in [first, second] {
        // Whichever it is that serves the worker, only the other one, or none, is left.
        let last = link.address;
        link.end().await;
        if urls.ends_with(&last.to_string()) {
            break;
        }
        let renew = vec![LeaseBeat::renew(key)];
        let beat = Beat { worker: want().worker, about: None, ttl: want().ttl, leases: renew };
        let reply = within(remote.beat(vec![beat])).await.unwrap();
        assert_eq!(reply[0].held, [Held::Yes]);
        let end = Settlement { key, outcome: Outcome::Complete { result: None } };
        let settled = within(remote.settle(vec![end])).await.unwrap();
        assert_eq!(settled, [Settled::Applied { state: State::Completed, late: false }]);
        assert_eq!(view(&store, id).await.standing.losses, 0);
    }
}

#[tokio::test]
async fn tasks_that_come_for_a_caller_that_is_gone_are_handed_back() {
    let clock = ManualClock::new();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
    let link = Link::over(Arc::clone(&store), &clock).await;
    let remote = link.remote.clone();
    let waiting = tokio::spawn(async move { remote.lease(vec![want()], limits::WAIT_MAX).await });
    while store.workers().await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    waiting.abort();
    let id = put(&store, 1).await;
    let other = Want::new(WorkerId::new("other").unwrap(), QueueName::default(), 1);
    let got = within(link.remote.lease(vec![other], limits::WAIT_MAX)).await.unwrap();
    assert_eq!(got[0][0].key.task, id);
    assert_eq!(view(&store, id).await.standing.losses, 0);
    link.end().await;
}

#[tokio::test]
async fn callers_beyond_the_credits_of_a_stream_wait_for_their_turn() {
    let clock = ManualClock::new();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
    let link = Link::over(Arc::clone(&store), &clock).await;
    let call = |_| {
        let remote = link.remote.clone();
        tokio::spawn(async move { remote.lease(vec![want()], limits::WAIT_MAX).await })
    };
    let callers: Vec<_> = (0..80).map(call).collect();
    within(async {
        while store.workers().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for number in 0..80 {
        put(&store, number).await;
    }
    for caller in callers {
        let got = within(caller).await.unwrap().unwrap();
        assert_eq!(got[0].len(), 1);
    }
    link.end().await;
}

#[tokio::test]
async fn an_idle_stream_ends_and_the_next_call_opens_another() {
    let clock = ManualClock::new();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
    let link = Link::over(Arc::clone(&store), &clock).await;
    put(&store, 1).await;
    let got = within(link.remote.lease(vec![want()], limits::WAIT_MAX)).await.unwrap();
    let end = Settlement { key: got[0][0].key, outcome: Outcome::Complete { result: None } };
    within(link.remote.settle(vec![end])).await.unwrap();
    for _ in 0..120 {
        clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
    put(&store, 2).await;
    let got = within(link.remote.lease(vec![want()], limits::WAIT_MAX)).await.unwrap();
    assert_eq!(got[0].len(), 1);
    link.end().await;
}

#[tokio::test]
async fn batches_larger_than_a_message_are_cut_and_answered_in_order() {
    let clock = ManualClock::new();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
    let link = Link::over(Arc::clone(&store), &clock).await;
    let task = |number: u8| {
        let payload = Payload::new(vec![number; 900 * 1024], "a/b");
        NewTask::new(TaskId::from_bytes([number; 16]), Kind::new("k").unwrap(), payload)
    };
    let answers = within(link.remote.enqueue((1..=30).map(task).collect())).await.unwrap();
    let ids: Vec<TaskId> = answers.into_iter().map(|answer| answer.accepted().unwrap()).collect();
    assert_eq!(ids, (1..=30).map(|number| TaskId::from_bytes([number; 16])).collect::<Vec<_>>());
    let all = Want { max: 30, ..Want::new(want().worker, QueueName::default(), 30) };
    let got = within(link.remote.lease(vec![all], limits::WAIT_MAX)).await.unwrap();
    assert_eq!(got[0].len(), 30);
    let end = |lease: &haulier_core::Lease| Settlement {
        key: lease.key,
        outcome: Outcome::Complete { result: Some(lease.task.payload.clone()) },
    };
    let settled = within(link.remote.settle(got[0].iter().map(end).collect())).await.unwrap();
    let views = link.remote.get(ids, Include::ALL, Duration::ZERO);
    let views = within(views).await.unwrap();
    assert!(views.iter().all(|view| view.as_ref().unwrap().result.is_some()));
    assert!(settled.iter().all(|answer| matches!(answer, Settled::Applied { late: false, .. })));
    link.end().await;
}

#[tokio::test]
async fn a_settlement_whose_answer_was_lost_is_sent_again_and_applied_once() {
    let clock = ManualClock::new();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
    let link = Link::over(Arc::clone(&store), &clock).await;
    let proxy = Proxy::before(link.address).await;
    let remote = connect(&format!("http://{}", proxy.address), &clock).await.unwrap();
    let id = put(&store, 1).await;
    let got = within(remote.lease(vec![want()], limits::WAIT_MAX)).await.unwrap();
    proxy.swallow_answers();
    let end = Settlement { key: got[0][0].key, outcome: Outcome::Complete { result: None } };
    let settling = tokio::spawn({
        let remote = remote.clone();
        async move { remote.settle(vec![end]).await }
    });
    within(async {
        while view(&store, id).await.state() != State::Completed {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!settling.is_finished(), "its answer is lost");
    proxy.cut();
    let settled = within(settling).await.unwrap().unwrap();
    assert_eq!(settled, [Settled::Applied { state: State::Completed, late: false }]);
    assert_eq!(view(&store, id).await.deliveries.len(), 1);
    drop(remote);
    link.end().await;
}

#[tokio::test]
async fn a_lease_lasts_as_long_as_it_was_granted_for_however_long_its_call_has_waited() {
    let clock = ManualClock::new();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
    let link = Link::over(Arc::clone(&store), &clock).await;
    let two = || Want::new(WorkerId::new("two").unwrap(), QueueName::default(), 1);
    for wants in [vec![want()], vec![two(), two()]] {
        let remote = link.remote.clone();
        let worker = wants[0].worker.clone();
        let waiting = tokio::spawn(async move { remote.lease(wants, limits::WAIT_MAX).await });
        within(async {
            while !store.workers().await.unwrap().iter().any(|view| view.worker == worker) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        clock.advance(Duration::from_secs(4));
        let id = put(&store, if worker == want().worker { 1 } else { 2 }).await;
        let got = within(waiting).await.unwrap().unwrap();
        let lease = got.iter().flatten().next().unwrap();
        assert_eq!((lease.key.task, lease.ttl), (id, limits::LEASE_TTL_DEFAULT));
        let left = view(&store, id).await.lease.unwrap().expires_in;
        assert_eq!(left, lease.ttl, "who counts from when it called gives up before the store");
    }
    link.end().await;
}

/// A client whose answers are swallowed, and a task that it has leased before.
async fn deaf(clock: &ManualClock) -> (Arc<dyn Store>, Link, RemoteStore, LeaseKey) {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
    let link = Link::over(Arc::clone(&store), clock).await;
    let proxy = Proxy::before(link.address).await;
    let remote = connect(&format!("http://{}", proxy.address), clock).await.unwrap();
    put(&store, 1).await;
    let got = within(remote.lease(vec![want()], limits::WAIT_MAX)).await.unwrap();
    proxy.swallow_answers();
    (store, link, remote, got[0][0].key)
}

/// Lets time pass, second by second, until a call has its answer.
async fn pass_until<T>(clock: &ManualClock, mut call: JoinHandle<T>) -> T {
    let passing = async {
        loop {
            clock.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
    };
    within(async {
        tokio::select! {
            answer = &mut call => answer.unwrap(),
            () = passing => unreachable!("time has no end"),
        }
    })
    .await
}

#[tokio::test]
async fn what_is_never_answered_on_a_living_connection_fails_in_time_as_unknown() {
    let clock = ManualClock::new();
    let (store, link, remote, key) = deaf(&clock).await;
    let began = clock.monotonic();
    let end = Settlement { key, outcome: Outcome::Complete { result: None } };
    let settling = tokio::spawn(async move { remote.settle(vec![end]).await });
    let error = pass_until(&clock, settling).await.unwrap_err();
    assert_eq!(error.code(), Code::UnknownOutcome);
    let took = clock.monotonic().saturating_sub(began);
    assert!(took >= Duration::from_secs(30), "it was patient: {took:?}");
    assert_eq!(view(&store, key.task).await.state(), State::Completed, "only the answer is lost");
    link.end().await;
}

#[tokio::test]
async fn beats_that_nobody_waits_for_any_more_do_not_hold_up_a_settlement() {
    let clock = ManualClock::new();
    let (store, link, remote, key) = deaf(&clock).await;
    let progress = async || view(&store, key.task).await.progress.map(|told| told.note);
    for number in 0..16 {
        let note: Arc<str> = number.to_string().into();
        let told = Some(Progress { fraction: 0.5, note: Arc::clone(&note) });
        let lease = LeaseBeat { progress: told, ..LeaseBeat::renew(key) };
        let beat =
            Beat { worker: want().worker, about: None, ttl: want().ttl, leases: vec![lease] };
        let remote = remote.clone();
        let beating = tokio::spawn(async move { remote.beat(vec![beat]).await });
        within(async {
            while progress().await.as_ref() != Some(&note) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        beating.abort();
    }
    let end = Settlement { key, outcome: Outcome::Complete { result: None } };
    let settling = tokio::spawn(async move { remote.settle(vec![end]).await });
    within(async {
        let mut looks = 0;
        while view(&store, key.task).await.state() != State::Completed {
            looks += 1;
            if looks % 100 == 0 {
                clock.advance(Duration::from_millis(100));
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let passed = clock.monotonic();
    assert!(passed < Duration::from_secs(20), "long before patience is over: {passed:?}");
    settling.abort();
    link.end().await;
}
