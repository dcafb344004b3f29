//! Even sharing: nobody goes without while another takes twice.

use std::collections::BTreeMap;
use std::time::Duration;

use haulier_core::{Lease, Want};

use crate::Rig;
use crate::prelude::*;

async fn share(rig: &impl Rig, wants: Vec<Want>) -> Vec<usize> {
    let shares = rig.queue().lease(wants, Duration::ZERO).await.must();
    shares.iter().map(Vec::len).collect()
}

async fn put_some(rig: &impl Rig, count: usize) {
    put_all(rig, (0..count).map(|_| task()).collect()).await;
}

/// One task at a time in turn.
pub async fn scarce_tasks_are_shared_out_evenly(rig: &mut impl Rig) {
    put_some(rig, 10).await;
    let wants = vec![want_of("a", 9), want_of("b", 9), want_of("c", 1), want_of("d", 9)];
    assert_eq!(share(rig, wants).await, [3, 3, 1, 3]);
}

/// Whose last grant is longest ago comes first, across calls, too.
pub async fn who_waits_longest_comes_first(rig: &mut impl Rig) {
    let wants = || vec![want_of("a", 9), want_of("b", 9), want_of("c", 9)];
    put_some(rig, 1).await;
    assert_eq!(share(rig, wants()).await, [1, 0, 0], "never served: in the order of the call");
    put_some(rig, 1).await;
    assert_eq!(share(rig, wants()).await, [0, 1, 0]);
    put_some(rig, 2).await;
    assert_eq!(share(rig, wants()).await, [1, 0, 1]);
    put_some(rig, 1).await;
    assert_eq!(share(rig, wants()).await, [0, 1, 0]);
}

/// A worker that was never served comes before all that were.
pub async fn a_new_worker_comes_first(rig: &mut impl Rig) {
    put_some(rig, 2).await;
    assert_eq!(share(rig, vec![want_of("a", 1), want_of("b", 1)]).await, [1, 1]);
    put_some(rig, 1).await;
    assert_eq!(
        share(rig, vec![want_of("a", 1), want_of("b", 1), want_of("new", 1)]).await,
        [0, 0, 1]
    );
}

/// Several wants of one worker share its turn.
pub async fn a_worker_that_asks_twice_gets_no_more(rig: &mut impl Rig) {
    put_some(rig, 4).await;
    let wants = vec![want_of("a", 9), want_of("a", 9), want_of("b", 9)];
    let got = share(rig, wants).await;
    assert_eq!((got[0] + got[1], got[2]), (2, 2), "{got:?}");
}

/// Those who wait are served like those who ask in one call.
pub async fn waiting_workers_share_what_comes(rig: &mut impl Rig) {
    let names = ["a", "b", "c", "d"];
    let mut waiting = Vec::new();
    for name in names {
        waiting.push(wait_for(rig, want_of(name, 9), limits::WAIT_MAX));
        until_known(rig, name).await;
    }
    put_some(rig, 8).await;
    let mut got = Vec::new();
    for call in waiting {
        got.push(answer(call).await.len());
    }
    assert_eq!(got, [2, 2, 2, 2]);
}

/// Jain's index over ten equal workers: 1 if each got the same, 0.1 if one got all.
pub async fn equal_workers_get_equal_shares_over_time(rig: &mut impl Rig) {
    let names: Vec<String> = (0..10).map(|number| format!("w{number}")).collect();
    let mut got: BTreeMap<String, u64> = names.iter().map(|name| (name.clone(), 0)).collect();
    put_some(rig, 500).await;
    for round in 0.. {
        // They ask alone and in groups, greedily and modestly, never in the same order.
        let max = 1 + round % 3;
        let mut wants: Vec<Want> = names.iter().map(|name| want_of(name, max)).collect();
        wants.rotate_left(usize::try_from(round * 7 % 10).must());
        let shares = rig.queue().lease(wants, Duration::ZERO).await.must();
        let leases: Vec<Lease> = shares.into_iter().flatten().take(500).collect();
        if leases.is_empty() {
            break;
        }
        for lease in leases {
            let delivery = view(rig, lease.key.task).await.deliveries.remove(0);
            *got.entry(delivery.worker.to_string()).or_default() += 1;
            settle(rig, lease.key, COMPLETE).await;
        }
    }
    let (sum, squares) = got.values().fold((0, 0), |(sum, squares), n| (sum + n, squares + n * n));
    assert_eq!(sum, 500);
    // sum² / (n × squares) ≥ 0.99, without fractions.
    assert!(sum * sum * 100 >= 99 * 10 * squares, "{got:?}");
}
