//! What the suite cannot see through the traits: futures that are dropped half way, and that nobody
//! is needed to move the time along.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use haulier_conformance::prelude::{Must, only, task, want_of};
use haulier_core::{Include, Inspect, Lease, Maintain, ManualClock, Queue, Start, limits};
use haulier_memory::MemoryStore;

fn store() -> (ManualClock, MemoryStore) {
    let clock = ManualClock::new();
    (clock.clone(), MemoryStore::new(Arc::new(clock)))
}

fn poll<T>(future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Option<T> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// What a call that does not wait answers.
fn now<T>(future: impl Future<Output = T>) -> T {
    poll(pin!(future)).must()
}

fn lease(store: &MemoryStore, name: &str) -> Vec<Lease> {
    only(now(store.lease(vec![want_of(name, 1)], Duration::ZERO)).must())
}

#[test]
fn what_was_claimed_for_a_dropped_wait_is_given_back_at_once() {
    let (_, store) = store();
    let mut waiting = store.lease(vec![want_of("gone", 1)], limits::WAIT_MAX);
    assert!(poll(waiting.as_mut()).is_none());
    now(store.enqueue(vec![task()])).must();
    assert!(lease(&store, "other").is_empty(), "it was claimed for the one who waits");
    drop(waiting);
    let held = only(lease(&store, "other"));
    assert_eq!((held.attempt, held.losses), (1, 0), "as if it had been released");
}

#[test]
fn a_wait_that_was_dropped_before_it_got_anything_leaves_nothing_behind() {
    let (_, store) = store();
    let mut waiting = store.lease(vec![want_of("gone", 1)], limits::WAIT_MAX);
    assert!(poll(waiting.as_mut()).is_none());
    drop(waiting);
    now(store.enqueue(vec![task()])).must();
    assert_eq!(only(lease(&store, "other")).losses, 0);
}

#[test]
fn a_waiting_lease_needs_nobody_who_sweeps() {
    let (clock, store) = store();
    let mut delayed = task();
    delayed.start = Start::After(Duration::from_secs(5));
    now(store.enqueue(vec![delayed])).must();
    let mut waiting = store.lease(vec![want_of("w", 1)], limits::WAIT_MAX);
    assert!(poll(waiting.as_mut()).is_none());
    assert_eq!(clock.next_wake(), Some(Duration::from_secs(5)), "it sleeps until something is due");
    clock.advance(Duration::from_secs(5));
    assert_eq!(only(poll(waiting.as_mut()).must().must()).len(), 1);
}

#[test]
fn a_sweep_does_no_more_than_its_budget_and_says_when_it_is_needed_again() {
    let (clock, store) = store();
    let seconds = [1, 1, 1, 60];
    let tasks = seconds.map(|seconds| {
        let mut task = task();
        task.start = Start::After(Duration::from_secs(seconds));
        task
    });
    now(store.enqueue(tasks.into())).must();
    let swept = now(store.sweep(2)).must();
    assert_eq!((swept.promoted, swept.next), (0, Duration::from_secs(1)));
    clock.advance(Duration::from_secs(1));
    let swept = now(store.sweep(2)).must();
    assert_eq!((swept.promoted, swept.next), (2, Duration::ZERO));
    let swept = now(store.sweep(2)).must();
    assert_eq!((swept.promoted, swept.next), (1, Duration::from_secs(59)));
}

#[test]
fn a_limit_of_payloads_is_set_where_the_store_is_made() {
    let (_, store) = store();
    let store = store.with_payload_bytes_max(4);
    assert_eq!(store.capabilities().payload_bytes_max, 4);
    let mut large = task();
    large.payload.bytes = vec![0; 5].into();
    let id = large.id;
    assert!(only(now(store.enqueue(vec![large])).must()).accepted().is_err());
    let views = now(store.get(vec![id], Include::ALL, Duration::ZERO)).must();
    assert!(only(views).is_none());
}
