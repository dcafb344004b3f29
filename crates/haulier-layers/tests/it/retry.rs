//! Repetitions are harmless, and end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use haulier_core::{Code, Enqueued, Inspect, Queue};
use haulier_layers::{Faults, Faulty, Retry};

#[tokio::test]
async fn a_call_whose_answers_are_lost_is_repeated_and_takes_effect_once() {
    let (store, clock, dice) = crate::setup();
    let faults = Arc::new(Faults::default());
    faults.lost_permille.store(500, Ordering::Relaxed);
    faults.unsent_permille.store(200, Ordering::Relaxed);
    let faulty = Faulty::new(Arc::new(store.clone()), dice.clone(), Arc::clone(&faults));
    let within = Duration::from_hours(1);
    let queue = Retry::new(Arc::new(faulty), Arc::new(clock.clone()), dice.clone(), within);
    for _ in 0..10 {
        let enqueue = queue.enqueue(vec![crate::task(&clock, &dice)]);
        let answers = crate::without_waiting(&clock, enqueue).await.unwrap();
        assert!(!matches!(answers[..], [Enqueued::Refused(_)]), "{answers:?}");
    }
    assert!(faults.count.load(Ordering::Relaxed) > 0);
    assert_eq!(store.queues().await.unwrap()[0].counts.total(), 10);
}

#[tokio::test]
async fn repeating_ends_and_says_so_if_an_earlier_call_may_have_taken_effect() {
    let (store, clock, dice) = crate::setup();
    let faults = Arc::new(Faults::default());
    let faulty = Faulty::new(Arc::new(store), dice.clone(), Arc::clone(&faults));
    let queue = Retry::new(Arc::new(faulty), Arc::new(clock.clone()), dice.clone(), Duration::ZERO);
    faults.down.store(true, Ordering::Relaxed);
    let error = queue.enqueue(vec![crate::task(&clock, &dice)]).await.unwrap_err();
    assert_eq!((error.code(), error.may_have_applied()), (Code::Unavailable, false));
    faults.down.store(false, Ordering::Relaxed);
    faults.lost_permille.store(1_000, Ordering::Relaxed);
    let error = queue.enqueue(vec![crate::task(&clock, &dice)]).await.unwrap_err();
    assert!(error.may_have_applied());
}
