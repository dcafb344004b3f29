//! What the guides about PostgreSQL show: it runs, and it is what the examples run.

use std::time::Duration;

use haulier::postgres::tokio_postgres::{self, NoTls};
use haulier::postgres::{Options, PgStore, migrate};
use haulier::prelude::*;
use haulier_sim::nemesis::PgServer;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

#[expect(dead_code, reason = "its `main` is for a process of its own")]
#[path = "../../examples/sqlx.rs"]
mod sqlx_example;
#[expect(dead_code, reason = "its `main` is for a process of its own")]
#[path = "../../examples/transaction.rs"]
mod transaction;

const TRANSACTIONS: &str = include_str!("../../../../docs/guides/transactions.md");
const OPERATIONS: &str = include_str!("../../../../docs/operations/postgres.md");
const EXAMPLES: [&str; 2] =
    [include_str!("../../examples/transaction.rs"), include_str!("../../examples/sqlx.rs")];

/// A server with Haulier's tables.
async fn server(dir: &tempfile::TempDir) -> PgServer {
    let server = PgServer::create(&dir.path().join("pg")).await.unwrap();
    let entropy = haulier::system_entropy().unwrap();
    migrate::up(&Options::parse(&server.url(), entropy).unwrap()).await.unwrap();
    server
}

/// The blocks of a document that are marked so.
fn blocks(document: &str, mark: &str) -> Vec<String> {
    let fence = format!("```{mark}");
    let mut found: Vec<String> = Vec::new();
    let mut inside = false;
    for line in document.lines() {
        match (inside, line) {
            (false, line) if line == fence => {
                inside = true;
                found.push(String::new());
            }
            (true, "```") => inside = false,
            (true, line) => found.last_mut().unwrap().extend([line, "\n"]),
            _ => {}
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_examples_of_transactions_show_what_is_true() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(&dir).await;
    transaction::run(&server.url()).await.unwrap();
    sqlx_example::run(&server.url()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_statements_of_the_guides_run() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(&dir).await;
    let all = [blocks(TRANSACTIONS, "sql"), blocks(OPERATIONS, "sql")].concat();
    assert_eq!(all.len(), 13, "those of both guides");
    for block in all {
        server.sql(&block).unwrap_or_else(|why| panic!("{block}\n{why}"));
    }
    // The roles that they make can do what they are for.
    let as_role = |role: &str, database: &str| {
        let url = format!("postgres://{role}@127.0.0.1:{}/{database}", server.port());
        Options::parse(&url, haulier::system_entropy().unwrap()).unwrap()
    };
    let serving = PgStore::open(as_role("haulier_server", "postgres")).await.unwrap();
    serving.close().await.unwrap();
    let owned = PgStore::migrate_and_open(as_role("haulier", "app")).await.unwrap();
    owned.close().await.unwrap();
}

/// A worker waits; whatever tells it that there is something to do is the database alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_transaction_handed_over_reaches_a_waiting_worker_without_any_notification() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(&dir).await;
    let client = haulier::connect(format!("{}?notify=off", server.url())).await.unwrap();
    let (mut app, connection) = tokio_postgres::connect(&server.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let (sent, mut came) = mpsc::unbounded_channel();
    let worker = Worker::new(&client).state(sent).register(arrived);
    let story = async {
        let tx = app.transaction().await.unwrap();
        let task = client.task(&Arrived { how: "library".to_owned() }).unwrap();
        client.postgres().unwrap().enqueue_in(&tx, vec![task]).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(next(&mut came).await, "library");
        let asked = "SELECT haulier.enqueue('arrived', '{\"how\": \"SQL\"}')";
        app.batch_execute(asked).await.unwrap();
        assert_eq!(next(&mut came).await, "SQL");
        let asked = "SELECT haulier.enqueue('arrived', '{\"how\": \"later\"}', \
                     delay => '700 milliseconds')";
        app.batch_execute(asked).await.unwrap();
        assert_eq!(next(&mut came).await, "later");
        let early = "SELECT count(*) FROM haulier.task WHERE leased_at < due_at";
        assert_eq!(server.sql(early).unwrap(), "0", "nothing is leased before it is due");
    };
    worker.run_until(story).await.unwrap();
    client.close().await.unwrap();
}

#[derive(Serialize, Deserialize, Task)]
#[task(kind = "arrived")]
struct Arrived {
    how: String,
}

async fn arrived(
    task: Arrived,
    State(sent): State<mpsc::UnboundedSender<String>>,
) -> Result<(), TaskError> {
    Ok(sent.send(task.how)?)
}

async fn next(came: &mut mpsc::UnboundedReceiver<String>) -> String {
    tokio::time::timeout(Duration::from_mins(1), came.recv()).await.unwrap().unwrap()
}

#[test]
fn the_snippets_of_the_guide_are_lines_of_the_examples() {
    let lines: Vec<&str> = EXAMPLES.iter().flat_map(|text| text.lines()).map(str::trim).collect();
    let snippets = blocks(TRANSACTIONS, "rust");
    assert_eq!(snippets.len(), 3);
    for line in snippets.iter().flat_map(|snippet| snippet.lines()).map(str::trim) {
        assert!(line.is_empty() || lines.contains(&line), "no example has: {line}");
    }
}
