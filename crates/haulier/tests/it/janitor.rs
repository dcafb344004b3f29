//! Keeping house.

use std::sync::Arc;
use std::time::Duration;

use haulier::core::ManualClock;
use haulier::janitor;
use haulier::store::{self, StoreOptions};

#[tokio::test]
async fn sweeping_goes_on_as_long_as_somebody_uses_the_store_and_then_ends() {
    let clock = ManualClock::new();
    let options = StoreOptions { clock: Arc::new(clock.clone()), ..StoreOptions::default() };
    let open = store::open("memory:", options).await.unwrap();
    let sweeping = janitor::spawn(&open.store, Arc::new(clock.clone()));
    for _ in 0..10 {
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(1));
    }
    assert!(!sweeping.is_finished());
    assert!(open.store.sweep(1).await.is_ok());
    drop(open);
    clock.advance(Duration::from_secs(1));
    sweeping.await.unwrap();
}
