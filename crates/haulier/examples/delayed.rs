//! Tasks for later: after a delay, at a time of the calendar, and given up if nobody had time for
//! them.
//!
//! `cargo run -p haulier --example delayed`

#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use std::time::Duration;

use haulier::ResultError;
use haulier::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(kind = "remind", output = String)]
struct Remind {
    text: String,
}

async fn remind(task: Remind, ctx: Ctx) -> Result<String, TaskError> {
    Ok(format!("{} (attempt {})", task.text, ctx.attempt()))
}

fn reminder(text: &str) -> Remind {
    Remind { text: text.to_owned() }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = haulier::connect("memory:").await?;
    let soon = Duration::from_millis(200);
    let delayed = client.enqueue(reminder("after a delay")).delay(soon).await?;
    let at = client.clock().wall().after(soon);
    let dated = client.enqueue(reminder("at a time")).run_at(at).await?;
    // Nobody works yet, so this one is given up.
    let stale = client.enqueue(reminder("too late")).expires_in(Duration::from_millis(20)).await?;
    match stale.result(Duration::from_secs(5)).await {
        Err(why @ ResultError::Dead { .. }) => println!("{why}"),
        other => return Err(format!("it should have expired: {other:?}").into()),
    }

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker = Worker::new(&client).register(remind);
    let working = tokio::spawn(worker.run_until(async { drop(stopped.await) }));
    for sent in [delayed, dated] {
        println!("{}", sent.result(Duration::from_secs(30)).await?);
    }
    drop(stop);
    working.await??;
    Ok(())
}
