//! The same for users of sqlx: Haulier's SQL functions in a transaction of sqlx.
//!
//! `DATABASE_URL=postgres://… cargo run -p haulier --features postgres --example sqlx`, with the
//! tables that `haulier migrate up` makes.

#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use std::time::Duration;

use haulier::TaskId;
use haulier::core::Include;
use haulier::prelude::*;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPool;

#[derive(Serialize, Deserialize, Task)]
#[task(kind = "invoice.print", queue = "printing")]
struct Print {
    invoice: i64,
}

/// Writes an invoice: the row and its task, or neither.
async fn invoice(pool: &PgPool, id: i64) -> Result<TaskId, BoxError> {
    let payload = serde_json::to_string(&Print { invoice: id })?;
    let mut tx = pool.begin().await?;
    sqlx::query("INSERT INTO invoices (id) VALUES ($1)").bind(id).execute(&mut *tx).await?;
    let task: String =
        sqlx::query_scalar("SELECT haulier.enqueue($1, $2::jsonb, queue => $3)::text")
            .bind(Print::KIND)
            .bind(payload)
            .bind("printing")
            .fetch_one(&mut *tx)
            .await?;
    tx.commit().await?;
    Ok(task.parse()?)
}

/// Prints an invoice: the sheet and the task's completion, or neither.
async fn print(task: Print, ctx: Ctx, State(pool): State<PgPool>) -> Result<(), TaskError> {
    let mut tx = pool.begin().await?;
    sqlx::query("INSERT INTO sheets (invoice) VALUES ($1)")
        .bind(task.invoice)
        .execute(&mut *tx)
        .await?;
    sqlx::query("SELECT haulier.complete($1::text::uuid, $2)")
        .bind(ctx.id().to_string())
        .bind(i64::try_from(ctx.epoch().0)?)
        .execute(&mut *tx)
        .await?;
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

/// One invoice, one sheet.
pub async fn run(url: &str) -> Result<(), BoxError> {
    let client = haulier::connect(url).await?;
    let pool = PgPool::connect(url).await?;
    sqlx::raw_sql(
        "DROP TABLE IF EXISTS invoices, sheets;
         CREATE TABLE invoices (id bigint PRIMARY KEY);
         CREATE TABLE sheets (invoice bigint NOT NULL)",
    )
    .execute(&pool)
    .await?;

    let task = invoice(&pool, 4711).await?;
    sqlx::query("SELECT haulier.wake()").execute(&pool).await?;
    let worker = Worker::new(&client).queue("printing").state(pool.clone()).register(print);
    worker.run_until(finished(&client, task)).await?;

    let sheets: i64 = sqlx::query_scalar("SELECT count(*) FROM sheets").fetch_one(&pool).await?;
    println!("printed {sheets} sheet");
    pool.close().await;
    client.close().await?;
    if sheets == 1 { Ok(()) } else { Err(format!("{sheets} sheets were printed").into()) }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    run(&std::env::var("DATABASE_URL")?).await
}
