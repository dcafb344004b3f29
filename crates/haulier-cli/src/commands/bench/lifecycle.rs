//! Whole lifecycles, as fast as they go: enqueue, deliver, complete, each acknowledged. Producers
//! and consumers run at the same time; what is under way is bounded, so that the queue does not
//! just fill.

use std::sync::Arc;

use haulier::Client;
use haulier_core::WorkerId;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::account::Books;
use super::client::{Run, Until};
use crate::exit::{Exit, Failed, Result};

/// Calls that each connection has under way in each direction.
const PIPELINE: usize = 4;
/// Batches that may be under way for each call, from enqueue to completion.
const BATCHES_UNDER_WAY: usize = 8;

/// Hands over and completes `tasks` tasks over all connections.
pub async fn run(run: Arc<Run>, clients: &[Client], tasks: usize) -> Result<Books> {
    let calls = clients.len() * PIPELINE;
    let window = Arc::new(Semaphore::new(calls * BATCHES_UNDER_WAY * run.batch));
    let mut producers = JoinSet::new();
    let mut consumers = JoinSet::new();
    for call in 0..calls {
        let client = clients[call % clients.len()].clone();
        let share = tasks / calls + usize::from(call < tasks % calls);
        producers.spawn(produce(Arc::clone(&run), client.clone(), share, Arc::clone(&window)));
        let id = WorkerId::new(format!("{}-{call}", run.queue))?;
        consumers.spawn(consume(Arc::clone(&run), client, id, Arc::clone(&window)));
    }
    let mut books = gather(producers).await?;
    run.close();
    books.add(gather(consumers).await?);
    Ok(books)
}

async fn produce(
    run: Arc<Run>,
    client: Client,
    share: usize,
    window: Arc<Semaphore>,
) -> Result<Books> {
    let (queue, mut books, mut left) = (client.queue(), Books::default(), share);
    while left > 0 {
        let count = left.min(run.batch);
        let permits = u32::try_from(count).unwrap_or(u32::MAX);
        match window.acquire_many(permits).await {
            Ok(permit) => permit.forget(),
            Err(_) => return Err(Failed::new(Exit::Bug, "the window was closed")),
        }
        let now = run.clock.monotonic();
        let tasks = (0..count).map(|_| run.task(&client, now)).collect();
        run.hand_over(&*queue, tasks, &mut books).await?;
        left -= count;
    }
    Ok(books)
}

async fn consume(
    run: Arc<Run>,
    client: Client,
    id: WorkerId,
    window: Arc<Semaphore>,
) -> Result<Books> {
    let accepted = |count| window.add_permits(count);
    run.consume(&client, id, Until::Accepted, accepted).await
}

/// What all of them wrote down; the first failure ends the others.
pub async fn gather(mut clients: JoinSet<Result<Books>>) -> Result<Books> {
    let mut books = Books::default();
    while let Some(client) = clients.join_next().await {
        books.add(client.map_err(|error| Failed::new(Exit::Bug, error.to_string()))??);
    }
    Ok(books)
}
