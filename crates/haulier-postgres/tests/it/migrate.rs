//! The tables: brought in, taken back, and told apart from others'.

use haulier_conformance::prelude::Must;
use haulier_postgres::migrate::{self, ALL, Fit, newest};
use haulier_postgres::{OpenError, Options, PgStore};

use crate::server;

fn refusal<T: std::fmt::Debug>(answer: Result<T, OpenError>) -> String {
    match answer {
        Err(OpenError::Refused(error)) => error.message().to_owned(),
        other => panic!("not refused: {other:?}"),
    }
}

async fn fit(options: &Options) -> Fit {
    migrate::status(options).await.must().fit()
}

#[tokio::test]
async fn tables_come_in_once_and_go_away_without_a_trace() {
    let options = server::options("").await;
    assert_eq!(fit(&options).await, Fit::Missing);
    assert_eq!(migrate::up(&options).await.unwrap().len(), ALL.len());
    assert_eq!(fit(&options).await, Fit::Current);
    assert!(migrate::up(&options).await.unwrap().is_empty());
    assert_eq!(migrate::down(&options, newest() - 1).await.unwrap().len(), 1);
    assert!(matches!(fit(&options).await, Fit::Older(missing) if missing.len() == 1));
    assert_eq!(migrate::down(&options, 0).await.unwrap().len(), ALL.len() - 1);
    assert_eq!(fit(&options).await, Fit::Missing);
    let left = format!(
        "select (select count(*) from pg_class where relnamespace = '{0}'::regnamespace)
              + (select count(*) from pg_proc where pronamespace = '{0}'::regnamespace)
              + (select count(*) from pg_type where typnamespace = '{0}'::regnamespace)",
        options.schema
    );
    assert_eq!(server::shared().await.sql(&left).unwrap(), "0");
}

#[tokio::test]
async fn two_that_bring_the_tables_in_at_once_do_not_meet() {
    let options = server::options("").await;
    let (one, other) = tokio::join!(migrate::up(&options), migrate::up(&options));
    assert_eq!(one.unwrap().len() + other.unwrap().len(), ALL.len());
}

#[tokio::test]
async fn several_instances_live_in_one_database() {
    let (one, other) = (server::options("").await, server::options("").await);
    migrate::up(&one).await.unwrap();
    migrate::up(&other).await.unwrap();
    migrate::down(&one, 0).await.unwrap();
    assert_eq!(fit(&other).await, Fit::Current);
    PgStore::open(other).await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn what_an_administrator_runs_by_hand_is_what_up_would_have_done() {
    let options = server::options("").await;
    server::shared().await.sql(&migrate::text(&options.schema, 0)).unwrap();
    assert_eq!(fit(&options).await, Fit::Current);
    PgStore::open(options).await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_database_without_tables_says_what_is_next() {
    let options = server::options("").await;
    let said = refusal(PgStore::open(options).await);
    assert!(said.contains("next: haulier migrate up"), "{said}");
}

#[tokio::test]
async fn older_newer_and_changed_tables_are_not_served() {
    let options = server::options("").await;
    migrate::up(&options).await.unwrap();
    let table = format!("{}.migration", options.schema);
    let server = server::shared().await;
    server.sql(&format!("update {table} set checksum = 'x' where version = 1")).unwrap();
    let said = refusal(PgStore::open(options.clone()).await);
    assert!(said.contains("another text"), "{said}");
    assert_eq!(refusal(migrate::up(&options).await), said);
    server.sql(&format!("insert into {table} values (99, 'later', 'x')")).unwrap();
    let said = refusal(PgStore::open(options.clone()).await);
    assert!(said.contains("version 99") && said.contains("--to"), "{said}");
    assert_eq!(refusal(migrate::up(&options).await), said);
    assert_eq!(refusal(migrate::down(&options, 0).await), said);
    server
        .sql(&format!(
            "truncate {table}; insert into {table} values (1, '0001_base', '{}')",
            ALL[0].checksum()
        ))
        .unwrap();
    let said = refusal(PgStore::open(options.clone()).await);
    assert!(said.contains("older version") && said.contains("haulier migrate up"), "{said}");
}
