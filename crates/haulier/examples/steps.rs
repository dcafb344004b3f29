//! Steps that run once, however often their task is delivered: the card is charged a single time
//! although the parcel service fails twice. The tasks are in a directory, as in production.
//!
//! `cargo run -p haulier --features embedded --example steps`

#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use haulier::Backoff;
use haulier::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(kind = "order.ship", output = String)]
struct Ship {
    order: u32,
}

/// How often the card was charged.
type Charges = Arc<AtomicU32>;

async fn ship(task: Ship, State(charges): State<Charges>, ctx: Ctx) -> Result<String, TaskError> {
    let charge = async { Ok::<_, TaskError>(charges.fetch_add(1, Ordering::Relaxed) + 1) };
    let receipt: u32 = ctx.step("charge", charge).await?;
    if ctx.attempt() < 3 {
        return Err(TaskError::fail("the parcel service does not answer"));
    }
    Ok(format!("order {} shipped, receipt {receipt}", task.order))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let client = haulier::connect(format!("file:{}", directory.path().display())).await?;
    let soon = Backoff::fixed(Duration::from_millis(20));
    let sent = client.enqueue(Ship { order: 17 }).backoff(soon).await?;

    let charges = Charges::default();
    let worker = Worker::new(&client).state(Arc::clone(&charges)).register(ship);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let working = tokio::spawn(worker.run_until(async { drop(stopped.await) }));

    println!("{}", sent.result(Duration::from_secs(30)).await?);
    println!("the card was charged {} time(s)", charges.load(Ordering::Relaxed));
    drop(stop);
    working.await??;
    client.close().await?;
    Ok(())
}
