//! Calling somebody else's server: what is worth another try, and when; and a task that is called
//! off while it runs.
//!
//! `cargo run -p haulier --example webhooks`

#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use std::time::Duration;

use haulier::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

#[derive(Serialize, Deserialize, Task)]
#[task(kind = "webhook.call", queue = "webhooks", max_attempts = 5, output = u16,
       backoff(base = "50ms", factor = 2, max = "1h", jitter = 0.2))]
struct Call {
    url: String,
}

/// Stands for an HTTP client: the status and, with 503, when to come back.
fn post(url: &str, attempt: u32) -> (u16, Option<Duration>) {
    match url {
        "https://busy.example" if attempt == 1 => (503, Some(Duration::from_millis(30))),
        "https://gone.example" => (410, None),
        _ => (200, None),
    }
}

async fn call(
    task: Call,
    State(started): State<mpsc::Sender<String>>,
    ctx: Ctx,
) -> Result<u16, TaskError> {
    started.send(task.url.clone()).await?;
    if task.url == "https://slow.example" {
        // A server that never answers: the handler goes on until it is called off.
        ctx.cancelled().await;
        return Err(TaskError::cancelled());
    }
    match post(&task.url, ctx.attempt()) {
        (status @ 200..300, _) => Ok(status),
        (503, Some(after)) => Err(TaskError::fail("the server is busy").after(after)),
        (status @ 400..500, _) => Err(TaskError::reject(format!("the server says {status}"))),
        (status, _) => Err(TaskError::fail(format!("the server says {status}"))),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = haulier::connect("memory:").await?;
    let (started, mut starts) = mpsc::channel::<String>(16);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker = Worker::new(&client).queue("webhooks").state(started).register(call);
    let working = tokio::spawn(worker.run_until(async { drop(stopped.await) }));

    let enqueue = |url: &str| client.enqueue(Call { url: url.to_owned() });
    let busy = enqueue("https://busy.example").await?;
    println!("busy, then {}", busy.result(Duration::from_secs(30)).await?);
    let gone = enqueue("https://gone.example").await?;
    match gone.result(Duration::from_secs(30)).await {
        Err(why) => println!("gone: {why}"),
        Ok(status) => return Err(format!("it should have been rejected: {status}").into()),
    }

    let slow = enqueue("https://slow.example").await?;
    while starts.recv().await.is_some_and(|url| url != "https://slow.example") {}
    client.control()?.cancel(vec![slow.id()]).await?;
    match slow.result(Duration::from_secs(30)).await {
        Err(why) => println!("slow: {why}"),
        Ok(status) => return Err(format!("it should have been cancelled: {status}").into()),
    }
    drop(stop);
    working.await??;
    Ok(())
}
