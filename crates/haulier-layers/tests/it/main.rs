//! The contract of the layers, over the memory store.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod coalesce;
mod retry;
mod validate;

use std::sync::Arc;

use haulier_core::{Kind, ManualClock, NewTask, Payload, SeededEntropy, TaskId};
use haulier_memory::MemoryStore;

/// A store, its clock, and dice from a fixed seed.
fn setup() -> (MemoryStore, ManualClock, Arc<SeededEntropy>) {
    let clock = ManualClock::new();
    let store = MemoryStore::new(Arc::new(clock.clone()));
    (store, clock, Arc::new(SeededEntropy::from_u64(1)))
}

fn task(clock: &ManualClock, entropy: &SeededEntropy) -> NewTask {
    let id = TaskId::generate(clock, entropy);
    NewTask::new(id, Kind::new("k").unwrap(), Payload::json("{}"))
}

/// Runs a future to its end, moving the clock to whatever it sleeps for.
async fn without_waiting<T>(clock: &ManualClock, future: impl Future<Output = T>) -> T {
    let mover = async {
        loop {
            tokio::task::yield_now().await;
            if let Some(pause) = clock.next_wake() {
                clock.advance(pause);
            }
        }
    };
    tokio::select! {
        output = future => output,
        () = mover => unreachable!("the mover goes on for ever"),
    }
}
