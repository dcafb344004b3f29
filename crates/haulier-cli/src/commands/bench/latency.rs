//! From enqueue to start at a steady rate. An open loop: tasks are handed over when their time has
//! come, whether or not earlier ones were answered, and their time counts from then. A server that
//! stalls cannot slow down the clients that measure it.

use std::sync::Arc;
use std::time::Duration;

use haulier::Client;
use haulier_core::WorkerId;
use tokio::task::JoinSet;

use super::account::Books;
use super::client::{Run, Until};
use super::lifecycle::gather;
use crate::exit::Result;

/// Hands over `rate` tasks a second for `seconds`, one a call, spread over the connections.
pub async fn run(run: Arc<Run>, clients: &[Client], rate: u32, seconds: u32) -> Result<Books> {
    let mut consumers = JoinSet::new();
    for (number, client) in clients.iter().cloned().enumerate() {
        let (run, id) = (Arc::clone(&run), WorkerId::new(format!("{}-{number}", run.queue))?);
        consumers.spawn(async move { run.consume(&client, id, Until::Taken, |_| ()).await });
    }
    let began = run.clock.monotonic();
    let mut producers = JoinSet::new();
    for (number, client) in (0..rate * seconds).zip(clients.iter().cycle()) {
        let due = began + Duration::from_secs(1) * number / rate;
        run.clock.sleep(due.saturating_sub(run.clock.monotonic())).await;
        producers.spawn(hand_over_one(Arc::clone(&run), client.clone(), due));
    }
    let mut books = gather(producers).await?;
    run.close();
    books.add(gather(consumers).await?);
    Ok(books)
}

async fn hand_over_one(run: Arc<Run>, client: Client, due: Duration) -> Result<Books> {
    let mut books = Books::default();
    let task = run.task(&client, due);
    run.hand_over(&*client.queue(), vec![task], &mut books).await?;
    Ok(books)
}
