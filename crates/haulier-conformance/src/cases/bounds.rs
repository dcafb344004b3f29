//! Limits: each at the limit and one above, through the traits (I10, I13).

use std::sync::Arc;
use std::time::Duration;

use haulier_core::{
    Backoff, Beat, Code, Directive, Include, LeaseBeat, LeaseKey, NewTask, Outcome, Pairs, Payload,
    Settlement, Start, State, Unique, Want, WantedQueue,
};

use crate::Rig;
use crate::prelude::*;

/// Before anything is stored, and within what any configuration allows.
pub async fn a_store_says_what_it_can_keep(rig: &mut impl Rig) {
    let can = rig.capabilities();
    assert!(!can.store.is_empty());
    assert!((1..=limits::PAYLOAD_BYTES_MAX).contains(&can.payload_bytes_max));
    assert!(can.dedup_window >= limits::DEDUP_WINDOW);
    rig.reopen().await;
    assert_eq!(rig.capabilities(), can);
}

fn bytes(count: usize) -> Payload {
    Payload::new(vec![7; count], Payload::BINARY)
}

/// Refused definitely, whatever the size; accepted up to the last byte.
pub async fn a_payload_may_be_as_large_as_the_limit_and_no_larger(rig: &mut impl Rig) {
    let most = rig.capabilities().payload_bytes_max;
    let id = put(rig, task_with(|task| task.payload = bytes(most))).await;
    let above = task_with(|task| task.payload = bytes(most + 1));
    assert_eq!(refused(offer(rig, above.clone()).await), Code::TooLarge);
    assert!(find(rig, above.id).await.is_none());
    let held = take_one(rig).await;
    assert_eq!((held.key.task, &held.task.payload), (id, &bytes(most)));
    assert_eq!(view(rig, id).await.task.payload, bytes(most));
    assert!(take(rig, 1).await.is_empty());
}

/// A result that is too large costs nobody the lease.
pub async fn a_result_may_be_as_large_as_the_limit_and_no_larger(rig: &mut impl Rig) {
    let most = rig.capabilities().payload_bytes_max;
    let id = put(rig, task()).await;
    let held = take_one(rig).await;
    let complete = |count| Outcome::Complete { result: Some(bytes(count)) };
    assert_eq!(refused_end(settle(rig, held.key, complete(most + 1)).await), Code::TooLarge);
    assert_eq!(state(rig, id).await, State::Running);
    assert_eq!(settle(rig, held.key, complete(most)).await, applied(State::Completed));
    assert_eq!(view(rig, id).await.result, Some(bytes(most)));
}

/// Every number and name of a task.
pub async fn every_limit_of_a_task_holds_at_the_limit_and_refuses_one_above(rig: &mut impl Rig) {
    type Change = Box<dyn Fn(&mut NewTask)>;
    fn change(change: impl Fn(&mut NewTask) + 'static) -> Change {
        Box::new(change)
    }
    let pairs = |count: usize| (0..count).map(|n| (format!("n{n}"), "v")).collect::<Pairs>();
    let pair = |size: usize| [("n", "v".repeat(size - 1))].into_iter().collect::<Pairs>();
    let named = |size: usize| [("n".repeat(size), "")].into_iter().collect::<Pairs>();
    let headers = |pairs: Pairs| change(move |task| task.headers = pairs.clone());
    let labels = |pairs: Pairs| change(move |task| task.labels = pairs.clone());
    let key = |size: usize| change(move |task| task.unique = Some(Unique::new("k".repeat(size))));
    let start = |span| change(move |task| task.start = Start::After(span));
    let attempts = |count| change(move |task| task.policy.max_attempts = count);
    let timeout = |span| change(move |task| task.policy.timeout = span);
    let retain = |span| change(move |task| task.policy.retain = Some(span));
    let backoff = |base, max| {
        change(move |task| {
            task.policy.backoff = Backoff { base, max, ..Backoff::default() };
        })
    };
    let expires = |span| change(move |task| task.expires_in = Some(span));
    let content =
        |size: usize| change(move |task| task.payload = Payload::new("", "t".repeat(size)));
    let above = limits::DELAY_MAX + SECOND;
    let pairs_of_changes: Vec<(Change, Change)> = vec![
        (headers(pairs(limits::HEADERS_MAX)), headers(pairs(limits::HEADERS_MAX + 1))),
        (headers(pair(limits::HEADERS_BYTES_MAX)), headers(pair(limits::HEADERS_BYTES_MAX + 1))),
        (headers(named(limits::NAME_BYTES_MAX)), headers(named(limits::NAME_BYTES_MAX + 1))),
        (labels(pairs(limits::LABELS_MAX)), labels(pairs(limits::LABELS_MAX + 1))),
        (labels(pair(limits::LABEL_BYTES_MAX)), labels(pair(limits::LABEL_BYTES_MAX + 1))),
        (key(limits::UNIQUE_KEY_BYTES_MAX), key(limits::UNIQUE_KEY_BYTES_MAX + 1)),
        (key(1), key(0)),
        (start(limits::DELAY_MAX), start(above)),
        (attempts(limits::ATTEMPTS_MAX), attempts(limits::ATTEMPTS_MAX + 1)),
        (attempts(1), attempts(0)),
        (timeout(limits::TIMEOUT_MAX), timeout(limits::TIMEOUT_MAX + SECOND)),
        (timeout(ms(1)), timeout(Duration::ZERO)),
        (retain(limits::DELAY_MAX), retain(above)),
        (backoff(60 * SECOND, 60 * SECOND), backoff(60 * SECOND + ms(1), 60 * SECOND)),
        (expires(limits::DELAY_MAX), expires(above)),
        (expires(SECOND), expires(Duration::ZERO)),
        (content(limits::CONTENT_TYPE_BYTES_MAX), content(limits::CONTENT_TYPE_BYTES_MAX + 1)),
        (content(1), content(0)),
    ];
    for (number, (fits, breaks)) in pairs_of_changes.into_iter().enumerate() {
        let fitting = task_with(|task| fits(task));
        let id = put(rig, fitting.clone()).await;
        let kept = view(rig, id).await;
        assert_eq!((&*kept.task, &kept.unique), (&fitting.task, &fitting.unique), "{number}");
        cancel(rig, id).await;
        let code = refused(offer(rig, task_with(|task| breaks(task))).await);
        assert!(matches!(code, Code::Invalid | Code::TooLarge), "{number}: {code}");
    }
}

/// Verb by verb; a call that carries too much changes nothing.
pub async fn a_call_carries_as_many_items_as_the_limit_and_no_more(rig: &mut impl Rig) {
    let most = limits::ITEMS_MAX;
    let tasks: Vec<NewTask> = (0..=most).map(|_| task()).collect();
    assert!(is_too_much(rig.queue().enqueue(tasks.clone()).await));
    assert!(rig.inspect().queues().await.must().is_empty());
    let put_in = put_all(rig, tasks[..most].to_vec()).await;
    let mut above = put_in.clone();
    above.push(new_id());

    let wants = |count: usize| vec![want(0); count];
    assert!(is_too_much(rig.queue().lease(wants(most + 1), Duration::ZERO).await));
    assert_eq!(rig.queue().lease(wants(most), Duration::ZERO).await.must().len(), most);
    let held = take(rig, u32::MAX).await;
    assert_eq!(held.len(), most);

    let mut keys: Vec<LeaseKey> = held.iter().map(|lease| lease.key).collect();
    assert_eq!(renew(rig, &keys, TTL).await.len(), most);
    keys.push(keys[0]);
    let leases = keys.iter().copied().map(LeaseBeat::renew).collect();
    let beat = Beat { worker: worker("w"), about: None, ttl: TTL, leases };
    assert!(is_too_much(rig.queue().beat(vec![beat]).await));

    let ends = |keys: &[LeaseKey]| -> Vec<Settlement> {
        keys.iter().map(|&key| Settlement { key, outcome: COMPLETE }).collect()
    };
    assert!(is_too_much(rig.queue().settle(ends(&keys)).await));
    assert_eq!(state(rig, keys[0].task).await, State::Running);
    assert_eq!(rig.queue().settle(ends(&keys[..most])).await.must().len(), most);

    let get = async |ids| rig.inspect().get(ids, Include::default(), Duration::ZERO).await;
    assert!(is_too_much(get(above.clone()).await));
    assert_eq!(get(put_in.clone()).await.must().len(), most);
    assert!(is_too_much(rig.control().cancel(above.clone()).await));
    assert!(is_too_much(rig.control().rerun(above.clone()).await));
    assert!(is_too_much(rig.control().delete(above).await));
    assert_eq!(rig.control().rerun(put_in.clone()).await.must().len(), most);
    assert_eq!(rig.control().cancel(put_in.clone()).await.must().len(), most);
    assert_eq!(rig.control().delete(put_in).await.must().len(), most);
    let workers = vec![worker("w"); most + 1];
    assert!(is_too_much(rig.control().direct(workers, Directive::Run).await));
}

/// Of queues and kinds; and a lease lasts neither a blink nor for ever.
pub async fn a_want_keeps_to_its_limits(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let queues = |count: usize| {
        let wanted = |n| WantedQueue { queue: queue(if n == 0 { "default" } else { "q" }), max: 1 };
        (0..count).map(wanted).collect::<Arc<[_]>>()
    };
    let kinds = |count: usize| {
        (0..count).map(|n| kind(if n == 0 { "work" } else { "k" })).collect::<Arc<[_]>>()
    };
    let most = limits::WANT_NAMES_MAX;
    let breaking = [
        Want { queues: queues(0), ..want(1) },
        Want { queues: queues(most + 1), ..want(1) },
        Want { kinds: kinds(most + 1), ..want(1) },
        Want { ttl: limits::LEASE_TTL_MIN - ms(1), ..want(1) },
        Want { ttl: limits::LEASE_TTL_MAX + ms(1), ..want(1) },
    ];
    for want in breaking {
        let answer = rig.queue().lease(vec![want], Duration::ZERO).await;
        assert_eq!(failed(answer), Code::Invalid);
    }
    let fitting = [
        Want { queues: queues(most), kinds: kinds(most), ..want(1) },
        Want { ttl: limits::LEASE_TTL_MIN, ..want(1) },
        Want { ttl: limits::LEASE_TTL_MAX, ..want(1) },
    ];
    for want in fitting {
        let held = only(lease(rig, want).await);
        assert_eq!(held.key.task, id);
        settle(rig, held.key, Outcome::Release).await;
    }
}

/// I11: a lease may be shortened, but not to nothing.
pub async fn a_beat_keeps_to_the_limits_of_a_ttl(rig: &mut impl Rig) {
    put(rig, task()).await;
    let held = take_one(rig).await;
    let beat = |ttl| {
        let leases = vec![LeaseBeat::renew(held.key)];
        vec![Beat { worker: worker("w"), about: None, ttl, leases }]
    };
    for ttl in [limits::LEASE_TTL_MIN - ms(1), limits::LEASE_TTL_MAX + ms(1)] {
        assert_eq!(failed(rig.queue().beat(beat(ttl)).await), Code::Invalid);
    }
    for ttl in [limits::LEASE_TTL_MAX, limits::LEASE_TTL_MIN] {
        assert!(rig.queue().beat(beat(ttl)).await.is_ok());
    }
    rig.elapse(limits::LEASE_TTL_MIN).await;
    assert_eq!(take(rig, 1).await.len(), 1);
}
