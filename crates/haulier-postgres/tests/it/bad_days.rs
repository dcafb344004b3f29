//! Days on which the database says no: what the store says then, and what is to be done next. The
//! guide lists the same.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use haulier_conformance::prelude::{eventually, kind, new_id, only, queue};
use haulier_core::{
    Clock as _, Code, Entropy as _, Error, Include, Inspect as _, NewTask, Payload, Queue as _,
    SeededEntropy, SystemClock,
};
use haulier_postgres::{OpenError, Options, PgStore, migrate};
use haulier_sim::nemesis::PgServer;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

/// What a person reads who looks for what a server said.
const GUIDE: &str = include_str!("../../../../docs/operations/postgres.md");
/// Only this user has to prove who it is.
const ACCESS: &str = "host all postgres 127.0.0.1/32 trust
host replication postgres 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
";

static SERVER: OnceCell<(PgServer, tempfile::TempDir)> = OnceCell::const_new();

/// A server that lets nobody in without a password.
async fn server() -> &'static PgServer {
    let started = SERVER.get_or_init(|| async {
        let dir = tempfile::tempdir().unwrap();
        let mut server = PgServer::create(&dir.path().join("pg")).await.unwrap();
        server.stop().unwrap();
        fs::write(server.data().join("pg_hba.conf"), ACCESS).unwrap();
        server.forget_at_its_end();
        server.start().await.unwrap();
        (server, dir)
    });
    &started.await.0
}

/// A role with a password, a schema with the tables, and the rights that this text gives it.
async fn role(name: &str, rights: &str) -> Options {
    let server = server().await;
    let owner = parse(&format!("{}?schema={name}", server.url()));
    migrate::up(&owner).await.unwrap();
    server
        .sql(&format!("CREATE ROLE {name} LOGIN PASSWORD 'sesame'; {}", rights.replace('$', name)))
        .unwrap();
    as_role(name, "sesame", "postgres", server.port())
}

const ALL: &str = "GRANT USAGE ON SCHEMA $ TO $;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA $ TO $;
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA $ TO $";

fn as_role(name: &str, password: &str, database: &str, port: u16) -> Options {
    let place = format!("127.0.0.1:{port}/{database}");
    // A machine that is busy with tests connects slowly.
    let more = "sslmode=disable&pool=4&connect_timeout=10";
    parse(&format!("postgres://{name}:{password}@{place}?schema={name}&{more}"))
}

fn parse(url: &str) -> Options {
    Options::parse(url, Arc::new(SeededEntropy::from_u64(3))).unwrap()
}

/// Why a store is not opened, and that no waiting cures it.
async fn refused(options: Options) -> String {
    match PgStore::open(options).await {
        Err(OpenError::Refused(error)) => told(&error),
        other => panic!("not refused: {other:?}"),
    }
}

/// What an error says; the guide must have it.
fn told(error: &Error) -> String {
    let said = error.message().to_owned();
    assert!(!format!("{error:#}").contains("sesame"), "a password is shown: {error:#}");
    let (_, table) = GUIDE.split_once("## When it does not start").unwrap();
    let listed = table.lines().filter(|line| line.starts_with("| `")).any(|line| {
        let part = line.trim_start_matches("| ").split(" |").next().unwrap_or_default();
        said.contains(part.trim_matches(['`', ' ']))
    });
    assert!(listed, "docs/operations/postgres.md does not list: {said}");
    said
}

fn task() -> NewTask {
    let mut task = NewTask::new(new_id(), kind("k"), Payload::json("{}"));
    task.queue = queue("q");
    task
}

async fn enqueue(store: &PgStore, task: NewTask) -> Result<(), Error> {
    let answers = store.enqueue(vec![task]).await?;
    only(answers).accepted()?;
    Ok(())
}

/// Asks until it succeeds again.
async fn until_it_works(store: &PgStore) {
    let works = async || match enqueue(store, task()).await {
        Ok(()) => true,
        Err(error) => {
            assert!(error.is_retryable(), "{error:?}");
            false
        }
    };
    eventually("it works again", works).await;
}

#[tokio::test]
async fn what_no_waiting_cures_is_told_when_the_store_is_opened() {
    let port = server().await.port();
    let all = role("r_all", ALL).await;
    for (name, password) in [("nobody", "sesame"), ("r_all", "wrong")] {
        let said = refused(as_role(name, password, "postgres", port)).await;
        assert!(said.contains("look at user and password in the URL"), "{name}: {said}");
    }
    let without = parse(&format!("postgres://r_all@127.0.0.1:{port}/postgres"));
    let without = refused(without).await;
    assert!(without.contains("look at user, password and sslmode in its URL"), "{without}");
    let database = refused(as_role("r_all", "sesame", "nowhere", port)).await;
    assert!(database.contains("create the database, or name another one"), "{database}");
    let reads = "GRANT USAGE ON SCHEMA $ TO $; GRANT SELECT ON ALL TABLES IN SCHEMA $ TO $";
    for (name, rights, part) in [
        ("r_none", "", "42501"),
        ("r_usage", "GRANT USAGE ON SCHEMA $ TO $", "42501"),
        ("r_reads", reads, "role r_reads may not DELETE on r_reads."),
    ] {
        let said = refused(role(name, rights).await).await;
        assert!(said.contains(part), "{name}: {said}");
    }
    let fine = PgStore::open(all).await.unwrap();
    enqueue(&fine, task()).await.unwrap();
    fine.close().await.unwrap();
}

#[tokio::test]
async fn tables_that_are_missing_older_or_newer_are_told_when_the_store_is_opened() {
    let server = server().await;
    let of = |schema: &str| parse(&format!("{}?schema={schema}", server.url()));
    let missing = refused(of("t_missing")).await;
    assert!(missing.contains("has no tables of Haulier; next: haulier migrate up"), "{missing}");
    for (schema, change, part) in [
        (
            "t_older",
            "DELETE FROM $.migration WHERE version = (SELECT max(version) FROM $.migration)",
            "are of an older version, 1 step to come; stop the servers, then: haulier migrate up",
        ),
        (
            "t_newer",
            "INSERT INTO $.migration (version, name, checksum) VALUES (9999, 'later', '')",
            "use the newer program, or go back with it: haulier migrate down --to",
        ),
        ("t_gone", "DROP TABLE $.lease CASCADE", "not of this version: haulier migrate status"),
    ] {
        migrate::up(&of(schema)).await.unwrap();
        server.sql(&change.replace('$', schema)).unwrap();
        let said = refused(of(schema)).await;
        assert!(said.contains(part), "{schema}: {said}");
    }
}

#[tokio::test]
async fn a_database_that_nobody_serves_is_away() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    match PgStore::open(as_role("somebody", "sesame", "postgres", free)).await {
        Err(OpenError::Away(error)) => {
            let said = told(&error);
            assert!(said.contains("look at its URL, and whether it runs"), "{said}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn connections_that_are_cut_while_idle_cost_repetitions_and_nothing_else() {
    let store = PgStore::open(role("cuts", ALL).await).await.unwrap();
    for _ in 0..3 {
        let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE usename = 'cuts'";
        assert_ne!(server().await.sql(cut).unwrap(), "0");
        // A statement may be on its way when the news of the cut comes, on each of the four.
        let (task, mut repeated) = (task(), 0);
        while let Err(error) = enqueue(&store, task.clone()).await {
            assert!(error.is_retryable(), "{error:?}");
            told(&error);
            repeated += u32::from(error.may_have_applied());
            assert!(repeated <= 4, "each connection is lost once");
        }
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_connection_limit_is_told_and_ends_when_it_is_lifted() {
    let store = PgStore::open(role("limited", ALL).await).await.unwrap();
    let server = server().await;
    server.sql("ALTER ROLE limited CONNECTION LIMIT 0").unwrap();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'limited'";
    server.sql(cut).unwrap();
    let error = loop {
        // One that was cut may still have been handed out, and is tried again.
        match enqueue(&store, task()).await {
            Err(error) => break error,
            Ok(()) => drop(server.sql(cut).unwrap()),
        }
    };
    assert!(matches!(error.code(), Code::Throttled | Code::Unavailable), "{error:?}");
    assert!(!error.may_have_applied());
    let said = told(&error);
    assert!(said.contains("53300") || said.contains("connections to it fail"), "{said}");
    server.sql("ALTER ROLE limited CONNECTION LIMIT 50").unwrap();
    until_it_works(&store).await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_a_definite_answer() {
    let store = PgStore::open(role("slow", ALL).await).await.unwrap();
    let server = server().await;
    server.sql("ALTER ROLE slow SET statement_timeout = '200ms'").unwrap();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'slow'";
    server.sql(cut).unwrap();
    let mut holder = hold(server, "slow.task").await;
    let waiting = task();
    let error = enqueue(&store, waiting.clone()).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error:?}");
    assert!(!error.may_have_applied());
    let said = told(&error);
    assert!(said.contains("57014") && said.contains("statement_timeout"), "{said}");
    holder.kill().unwrap();
    holder.wait().unwrap();
    until_it_works(&store).await;
    let views = store.get(vec![waiting.id], Include::default(), Duration::ZERO).await.unwrap();
    assert_eq!(views, [None], "what was refused is not there");
    store.close().await.unwrap();
}

/// Holds a table so that nobody can read it, until it is killed.
async fn hold(server: &PgServer, table: &str) -> Child {
    let lock = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; SELECT 1;");
    let holder = server.session(&lock).unwrap();
    let held = format!(
        "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted
         AND relation = '{table}'::regclass"
    );
    eventually("it is held", async || server.sql(&held).unwrap() != "0").await;
    holder
}

async fn look(store: &PgStore) -> Result<(), Error> {
    store.get(vec![new_id()], Include::default(), Duration::ZERO).await.map(drop)
}

#[tokio::test]
async fn calls_beyond_the_pool_wait_their_turn_and_those_beyond_their_bound_are_told_so() {
    let mut options = role("busy", ALL).await;
    options.pool = 2;
    let store = PgStore::open(options).await.unwrap();
    let server = server().await;
    let mut holder = hold(server, "busy.task").await;
    let mut calls = JoinSet::new();
    for _ in 0..400 {
        let store = store.clone();
        calls.spawn(async move { look(&store).await });
    }
    let mut beyond = Vec::new();
    // A connection and 64 who wait for it, twice; the store's own calls are among them.
    while beyond.len() < 400 - 2 * 65 {
        beyond.push(calls.join_next().await.unwrap().unwrap().unwrap_err());
    }
    let late = calls.join_next().await.unwrap().unwrap().unwrap_err();
    holder.kill().unwrap();
    holder.wait().unwrap();
    for error in beyond.iter().chain([&late]) {
        assert_eq!(error.code(), Code::Throttled, "{error:?}");
        assert!(error.retry_delay().is_some() && told(error).contains("raise `pool`"), "{error:?}");
    }
    let waited = calls.join_all().await;
    assert!(waited.iter().any(Result::is_ok), "those that held a connection were answered");
    until_it_works(&store).await;
    store.close().await.unwrap();
}

/// How often somebody has logged in as a server of Haulier.
fn connected(server: &PgServer) -> usize {
    let text = server.text();
    let ours = |line: &&str| {
        line.contains("connection authorized") && line.contains("application_name=haulier")
    };
    text.lines().filter(ours).count()
}

#[tokio::test]
async fn a_thousand_calls_that_wait_for_a_database_to_come_back_are_no_herd() {
    const CALLS: usize = 1_000;
    let dir = tempfile::tempdir().unwrap();
    let mut server = PgServer::create(&dir.path().join("pg")).await.unwrap();
    server.configure("log_connections = on").unwrap();
    server.reload().unwrap();
    let store = PgStore::migrate_and_open(parse(&format!("{}?pool=4", server.url()))).await;
    let store = store.unwrap();
    server.stop().unwrap();
    let before = connected(&server);
    let away = look(&store).await.unwrap_err();
    assert_eq!(away.code(), Code::Unavailable, "{away:?}");
    assert!(away.retry_delay().is_some(), "{away:?}");
    told(&away);
    let (mut calls, failures) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
    for _ in 0..CALLS {
        let (store, failures) = (store.clone(), Arc::clone(&failures));
        calls.spawn(async move {
            let clock = SystemClock::new();
            while let Err(error) = look(&store).await {
                assert!(error.is_retryable() && !error.may_have_applied(), "{error:?}");
                failures.fetch_add(1, Ordering::Relaxed);
                clock.sleep(error.retry_delay().unwrap()).await;
            }
        });
    }
    eventually("all know", async || failures.load(Ordering::Relaxed) >= CALLS).await;
    server.start().await.unwrap();
    calls.join_all().await;
    let opened = connected(&server) - before;
    // The pool's, and the one for notifications.
    assert!((1..=4 + 1).contains(&opened), "{opened} connections were opened");
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_database_that_stands_still_does_not_hold_its_callers_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let server = PgServer::create(&dir.path().join("pg")).await.unwrap();
    let store = PgStore::migrate_and_open(parse(&server.url())).await.unwrap();
    let work = task();
    server.freeze(true);
    let (read, wrote) = tokio::join!(look(&store), enqueue(&store, work.clone()));
    server.freeze(false);
    let (read, wrote) = (read.unwrap_err(), wrote.unwrap_err());
    assert!(told(&read).contains("the database does not answer; try again later"), "{read:?}");
    assert!(read.retry_delay().is_some() && !read.may_have_applied(), "{read:?}");
    let said = told(&wrote);
    assert!(said.contains("the database does not answer"), "{said}");
    assert!(!wrote.may_have_applied() || said.contains("same ids is safe"), "{said}");
    until_it_works(&store).await;
    enqueue(&store, work).await.unwrap();
    store.close().await.unwrap();
}

/// Bytes that cannot be made smaller.
fn noise(bytes: usize) -> Payload {
    let dice = SeededEntropy::from_u64(5);
    let words = std::iter::repeat_with(|| dice.next_u64().to_le_bytes());
    Payload::new(words.flatten().take(bytes).collect::<Vec<u8>>(), Payload::BINARY)
}

#[tokio::test]
async fn a_full_disk_refuses_what_is_new_and_forgets_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = PgServer::create(&dir.path().join("pg")).await.unwrap();
    server.stop().unwrap();
    let small = dir.path().join("small");
    fs::create_dir(&small).unwrap();
    let small = small.to_str().unwrap();
    // The mount is the server's alone, and goes with it.
    let mount = format!("mount -t tmpfs -o size=16m none {small} && chown postgres {small}");
    let line = format!("{mount} && exec \"$@\"");
    server.start_inside(&["unshare", "--mount", "sh", "-c", &line, "sh"]);
    server.start().await.unwrap();
    server.sql(&format!("CREATE TABLESPACE small LOCATION '{small}'")).unwrap();
    server.sql("ALTER DATABASE postgres SET default_tablespace = small").unwrap();
    server
        .sql("CREATE TABLE ballast AS SELECT n, repeat('x', 1000) AS x FROM generate_series(1, 3000) n")
        .unwrap();
    let store = PgStore::migrate_and_open(parse(&server.url())).await.unwrap();
    let (mut kept, mut refused) = (Vec::new(), Vec::new());
    while refused.is_empty() {
        assert!(kept.len() < 200, "it is never full");
        let mut task = task();
        task.payload = noise(200_000);
        let id = task.id;
        match enqueue(&store, task).await {
            Ok(()) => kept.push(id),
            Err(error) => {
                assert_eq!(error.code(), Code::StorageFull, "{error:?}");
                assert!(!error.may_have_applied());
                assert!(told(&error).contains("free room on its disk"));
                refused.push(id);
            }
        }
    }
    let there = store.get(kept.clone(), Include::default(), Duration::ZERO).await.unwrap();
    assert!(there.iter().all(Option::is_some), "what was acknowledged is there");
    let not = store.get(refused, Include::default(), Duration::ZERO).await.unwrap();
    assert!(not.iter().all(Option::is_none), "what was refused is not");
    server.sql("DROP TABLE ballast; CHECKPOINT").unwrap();
    until_it_works(&store).await;
}
