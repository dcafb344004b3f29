//! Workers: who is known, and what is told to whom.

use std::sync::Arc;
use std::time::Duration;

use haulier_core::{
    Beat, BeatReply, Directive, Held, LeaseBeat, LeaseKey, WorkerAbout, WorkerView,
};
use tokio::task::JoinHandle;

use crate::Rig;
use crate::prelude::*;

async fn known(rig: &impl Rig) -> Vec<WorkerView> {
    rig.inspect().workers().await.must()
}

async fn names(rig: &impl Rig) -> Vec<String> {
    known(rig).await.iter().map(|view| view.worker.to_string()).collect()
}

async fn beat(rig: &impl Rig, name: &str, about: Option<WorkerAbout>) -> BeatReply {
    let beat = Beat { worker: worker(name), about: about.map(Arc::new), ttl: TTL, leases: vec![] };
    only(rig.queue().beat(vec![beat]).await.must())
}

async fn direct(rig: &impl Rig, name: &str, directive: Directive) -> bool {
    only(rig.control().direct(vec![worker(name)], directive).await.must())
}

fn watch(rig: &impl Rig, name: &str) -> JoinHandle<bool> {
    let (queue, worker) = (rig.queue(), worker(name));
    tokio::spawn(async move { queue.watch(worker, limits::WAIT_MAX).await.must() })
}

/// By id, with what they told of themselves last.
pub async fn workers_are_known_from_wants_and_beats(rig: &mut impl Rig) {
    assert!(known(rig).await.is_empty());
    lease(rig, want_of("wants", 1)).await;
    let about = WorkerAbout {
        version: "haulier-rust/0.1.0".to_owned(),
        queues: vec![queue("mail")],
        kinds: vec![kind("email.send")],
        slots: 8,
    };
    beat(rig, "beats", Some(about.clone())).await;
    rig.elapse(10 * SECOND).await;
    beat(rig, "beats", None).await;
    rig.elapse(5 * SECOND).await;
    let views = known(rig).await;
    assert_eq!(names(rig).await, ["beats", "wants"]);
    assert_eq!(views[0].about.as_deref(), Some(&about), "it need not be said again");
    assert_eq!((views[0].directive, views[0].leases), (Directive::Run, 0));
    assert_eq!(views[0].silent_for, 5 * SECOND);
    assert_eq!(views[1].silent_for, 15 * SECOND);
}

/// Counted from leases.
pub async fn a_worker_shows_how_many_leases_it_holds(rig: &mut impl Rig) {
    put_all(rig, vec![task(), task(), task()]).await;
    let held = take(rig, 3).await;
    settle(rig, held[0].key, COMPLETE).await;
    assert_eq!(only(known(rig).await).leases, 2);
    rig.elapse(TTL).await;
    assert_eq!(only(known(rig).await).leases, 0);
}

/// Silence is an end; a lease is a sign of life.
pub async fn a_silent_worker_is_forgotten_when_it_holds_nothing(rig: &mut impl Rig) {
    put(rig, task()).await;
    let hour = haulier_core::Want { ttl: limits::LEASE_TTL_MAX, ..want_of("holds", 1) };
    lease(rig, hour).await;
    lease(rig, want_of("idle", 1)).await;
    rig.elapse(limits::WORKER_FORGOTTEN_AFTER - SECOND).await;
    assert_eq!(names(rig).await, ["holds", "idle"]);
    rig.elapse(SECOND).await;
    assert_eq!(names(rig).await, ["holds"]);
    assert!(!direct(rig, "idle", Directive::Stop).await);
    rig.elapse(limits::LEASE_TTL_MAX).await;
    assert!(known(rig).await.is_empty());
}

/// L5: beyond the limit the longest silent go first.
pub async fn no_more_workers_are_listed_than_the_limit(rig: &mut impl Rig) {
    let most = limits::WORKERS_MAX;
    for first in (0..most + limits::ITEMS_MAX).step_by(limits::ITEMS_MAX) {
        let numbers = first..first + limits::ITEMS_MAX;
        let wants = numbers.map(|number| want_of(&format!("w{number:06}"), 1)).collect();
        rig.queue().lease(wants, Duration::ZERO).await.must();
        rig.elapse(SECOND).await;
    }
    let names = names(rig).await;
    let newest: Vec<String> =
        (most..most + limits::ITEMS_MAX).map(|n| format!("w{n:06}")).collect();
    assert!(names.len() <= most, "{} workers", names.len());
    assert!(names.ends_with(&newest));
    assert_eq!(names[0], format!("w{:06}", most + limits::ITEMS_MAX - names.len()));
}

/// Operators tell workers what to do; who was never heard of cannot be told.
pub async fn a_directive_comes_with_the_next_beat(rig: &mut impl Rig) {
    assert_eq!(beat(rig, "a", None).await.directive, Directive::Run);
    beat(rig, "b", None).await;
    let asked = vec![worker("nobody"), worker("a")];
    let answers = rig.control().direct(asked, Directive::Quiet).await.must();
    assert_eq!(answers, [false, true]);
    assert_eq!(beat(rig, "a", None).await.directive, Directive::Quiet);
    assert_eq!(beat(rig, "b", None).await.directive, Directive::Run);
    assert_eq!(known(rig).await[0].directive, Directive::Quiet);
    assert!(direct(rig, "a", Directive::Stop).await);
    assert_eq!(beat(rig, "a", None).await.directive, Directive::Stop);
    assert!(direct(rig, "a", Directive::Run).await);
    assert_eq!(beat(rig, "a", None).await.directive, Directive::Run);
}

/// I15: nobody has to wait for the next beat.
pub async fn a_watching_worker_is_told_of_a_cancellation(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let held = take_one(rig).await;
    let watching = watch(rig, "w");
    cancel(rig, id).await;
    assert!(answer(watching).await);
    assert_eq!(renew(rig, &[held.key], TTL).await, [Held::Cancel]);
}

/// What came between two watches is told at once.
pub async fn a_watching_worker_is_told_of_a_directive(rig: &mut impl Rig) {
    beat(rig, "w", None).await;
    direct(rig, "w", Directive::Quiet).await;
    assert!(answer(watch(rig, "w")).await);
    assert_eq!(beat(rig, "w", None).await.directive, Directive::Quiet);
}

/// News is told once, and only to whom it concerns.
pub async fn a_watching_worker_is_not_told_what_it_knows(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let held = take_as(rig, "other").await;
    beat(rig, "w", None).await;
    direct(rig, "w", Directive::Quiet).await;
    beat(rig, "w", None).await;
    let watching = watch(rig, "w");
    cancel(rig, id).await;
    assert!(!elapse_until_answered(rig, watching).await);
    assert!(renew_as(rig, "other", &[held.key], TTL).await != [Held::Yes]);
}

/// The lease of a worker belongs to its incarnation: another one is another worker.
pub async fn a_beat_keeps_the_leases_that_it_lists(rig: &mut impl Rig) {
    put_all(rig, vec![task(), task()]).await;
    let first = take_as(rig, "host-1-a").await;
    let second = take_as(rig, "host-1-b").await;
    let leases = [first.key, second.key].map(|key: LeaseKey| LeaseBeat::renew(key));
    rig.elapse(TTL - SECOND).await;
    let beat =
        Beat { worker: worker("host-1-b"), about: None, ttl: TTL, leases: leases[1..].to_vec() };
    assert_eq!(only(rig.queue().beat(vec![beat]).await.must()).held, [Held::Yes]);
    rig.elapse(SECOND + Duration::ZERO).await;
    assert_eq!(ids(&take(rig, 9).await), [first.key.task]);
}
