//! A row and its task in one transaction; then an effect and its task's completion in another. The
//! first attempt fails between its effect and its commit, and leaves nothing behind.
//!
//! `DATABASE_URL=postgres://… cargo run -p haulier --features postgres --example transaction`, with
//! the tables that `haulier migrate up` makes.

#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use std::time::Duration;

use haulier::core::Include;
use haulier::postgres::PgStore;
use haulier::postgres::tokio_postgres::{self, NoTls};
use haulier::prelude::*;
use haulier::{Backoff, TaskId};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(kind = "order.ship", queue = "shipping")]
struct Ship {
    order: i64,
}

/// What handlers share: in a real program its `connect` asks a pool.
#[derive(Clone)]
struct App {
    store: PgStore,
    url: String,
}

impl App {
    async fn connect(&self) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }
}

/// Takes an order: the row and its task, or neither.
async fn order(app: &App, client: &Client, id: i64, item: &str) -> Result<TaskId, BoxError> {
    let mut connection = app.connect().await?;
    let tx = connection.transaction().await?;
    tx.execute("INSERT INTO orders (id, item) VALUES ($1, $2)", &[&id, &item]).await?;
    let mut task = client.task(&Ship { order: id })?;
    task.policy.backoff = Backoff::fixed(Duration::from_millis(20));
    let answers = app.store.enqueue_in(&tx, vec![task]).await?;
    let task = answers.into_iter().next().ok_or("no answer")?.accepted()?;
    tx.commit().await?;
    app.store.wake().await?;
    Ok(task)
}

/// Ships an order: the shipment and the task's completion, or neither.
async fn ship(task: Ship, ctx: Ctx, State(app): State<App>) -> Result<(), TaskError> {
    let mut connection = app.connect().await?;
    let tx = connection.transaction().await?;
    tx.execute("INSERT INTO shipments (order_id) VALUES ($1)", &[&task.order]).await?;
    if ctx.attempt() == 1 {
        return Err(TaskError::fail("the power went off just before the commit"));
    }
    app.store.complete_in(&tx, ctx.key(), None).await?;
    tx.commit().await?;
    Ok(())
}

/// Waits until a task is final.
async fn finished(client: &Client, task: TaskId) {
    let Ok(inspect) = client.inspect() else { return };
    let views = inspect.get(vec![task], Include::default(), Duration::from_secs(30)).await;
    let view = views.ok().and_then(|views| views.into_iter().flatten().next());
    println!("{:?}", view.map(|view| view.standing.state));
}

/// Two orders, one of which is never taken; one shipment, although it was tried twice.
pub async fn run(url: &str) -> Result<(), BoxError> {
    let client = haulier::connect(url).await?;
    let app = App { store: client.postgres()?, url: url.to_owned() };
    let connection = app.connect().await?;
    connection
        .batch_execute(
            "DROP TABLE IF EXISTS orders, shipments;
             CREATE TABLE orders (id bigint PRIMARY KEY, item text NOT NULL);
             CREATE TABLE shipments (order_id bigint NOT NULL)",
        )
        .await?;

    let task = order(&app, &client, 17, "a lamp").await?;
    if order(&app, &client, 17, "a second lamp").await.is_ok() {
        return Err("there are two orders with one number".into());
    }

    let worker = Worker::new(&client).queue("shipping").state(app.clone()).register(ship);
    worker.run_until(finished(&client, task)).await?;

    let shipped: i64 = connection.query_one("SELECT count(*) FROM shipments", &[]).await?.get(0);
    println!("shipped {shipped} time");
    client.close().await?;
    if shipped == 1 { Ok(()) } else { Err(format!("it was shipped {shipped} times").into()) }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    run(&std::env::var("DATABASE_URL")?).await
}
