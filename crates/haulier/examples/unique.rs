//! Only one task of its sort at a time: a second enqueue meets the first, is refused, or replaces
//! it.
//!
//! `cargo run -p haulier --example unique`

#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use std::time::Duration;

use haulier::prelude::*;
use haulier::{Code, OnConflict};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(kind = "report.make", queue = "reports", output = String)]
struct MakeReport {
    week: u32,
    format: String,
}

async fn make(task: MakeReport) -> Result<String, TaskError> {
    Ok(format!("week {} as {}", task.week, task.format))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = haulier::connect("memory:").await?;
    let report = |format: &str| {
        client.enqueue(MakeReport { week: 47, format: format.to_owned() }).unique("47")
    };

    let first = report("pdf").await?;
    let second = report("pdf").await?;
    println!("the second one met the first: {}", second.id() == first.id());
    match report("html").on_conflict(OnConflict::Reject).await {
        Err(error) if error.code() == Code::UniqueConflict => println!("refused: {error}"),
        other => return Err(format!("it should have been refused: {other:?}").into()),
    }
    let replacing = report("html").on_conflict(OnConflict::Replace).await?;

    Worker::new(&client).queue("reports").register(make).run_until_idle().await?;
    println!("done: {}", replacing.result(Duration::from_secs(1)).await?);
    match first.result(Duration::from_secs(1)).await {
        Err(why) => println!("replaced: {why}"),
        Ok(done) => return Err(format!("it should have been replaced: {done}").into()),
    }
    Ok(())
}
