//! The SQL functions: what they hand over is a task like any other, what they refuse the library
//! refuses too, and what an application does in its transaction holds up nobody else.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use haulier_conformance::Rig as _;
use haulier_conformance::prelude::{ms, take};
use haulier_core::limits;
use haulier_postgres::migrate;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use crate::rig::{PgRig, ROOMY};
use crate::server;

/// A connection whose search path is a schema with the tables.
async fn application() -> (Client, haulier_postgres::Options) {
    let options = server::options("").await;
    migrate::up(&options).await.unwrap();
    (connect(&options.schema).await, options)
}

/// One more connection to the same.
pub async fn connect(schema: &str) -> Client {
    let url = server::shared().await.url();
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(&format!("SET search_path = {schema}, public")).await.unwrap();
    client
}

/// The one value that a query gives, as text.
pub async fn one(client: &Client, sql: &str) -> String {
    let row = client.query_one(&format!("SELECT ({sql})::text"), &[]).await.expect(sql);
    row.get::<_, Option<String>>(0).unwrap_or_default()
}

/// What a statement is refused with: SQLSTATE and text.
async fn refused(client: &Client, sql: &str) -> (String, String) {
    let error = client.query(sql, &[]).await.expect_err(sql);
    let told = error.as_db_error().unwrap_or_else(|| panic!("{sql}: {error}"));
    let hint = told.hint().unwrap_or_default();
    assert!(hint.ends_with('.'), "{sql}: {told:?} says not what to do");
    (told.code().code().to_owned(), told.message().to_owned())
}

async fn end(tx: tokio_postgres::Transaction<'_>, commit: bool) {
    let ended = if commit { tx.commit().await } else { tx.rollback().await };
    ended.unwrap();
}

async fn tasks(client: &Client) -> String {
    one(client, "SELECT count(*) FROM task").await
}

#[tokio::test]
async fn a_row_and_its_task_are_there_together_or_not_at_all() {
    let (mut client, options) = application().await;
    let other = connect(&options.schema).await;
    client
        .batch_execute(&format!("CREATE TABLE {}.orders (id int)", options.schema))
        .await
        .unwrap();
    let both = "INSERT INTO orders VALUES (17); SELECT enqueue('order.ship', '{\"order\": 17}')";
    let seen = async || (one(&other, "SELECT count(*) FROM orders").await, tasks(&other).await);
    for (commit, there) in [(false, "0"), (true, "1")] {
        let tx = client.transaction().await.unwrap();
        tx.batch_execute(both).await.unwrap();
        assert_eq!(seen().await, ("0".to_owned(), "0".to_owned()), "before the commit");
        end(tx, commit).await;
        assert_eq!(seen().await, (there.to_owned(), there.to_owned()));
    }
}

/// What a parameter is given, at its limit and one above it, and how the latter is refused.
fn at_the_limits() -> Vec<(&'static str, String, String, &'static str)> {
    let text = |bytes: usize| format!("repeat('q', {bytes})");
    let pairs = |count: usize| {
        format!("(SELECT jsonb_object_agg('n' || n, 'v') FROM generate_series(1, {count}) n)")
    };
    let pair = |bytes: usize| format!("jsonb_build_object('n', repeat('v', {bytes} - 1))");
    let hours = limits::DELAY_MAX.as_secs() / 3_600;
    let ten_years = || (format!("'{hours} h'"), format!("'{hours} h 1 s'"));
    let timeout = limits::TIMEOUT_MAX.as_secs();
    let factor = |factor: &str| format!(r#"'{{"factor": {factor}}}'"#);
    let jitter = |jitter: &str| format!(r#"'{{"jitter": {jitter}}}'"#);
    let both = |of: &dyn Fn(usize) -> String, most: usize| (of(most), of(most + 1));
    let cases = [
        ("queue =>", both(&text, limits::NAME_BYTES_MAX), "HL001"),
        ("unique_key =>", both(&text, limits::UNIQUE_KEY_BYTES_MAX), "HL001"),
        ("headers =>", both(&pairs, limits::HEADERS_MAX), "HL002"),
        ("headers =>", both(&pair, limits::HEADERS_BYTES_MAX), "HL002"),
        ("labels =>", both(&pairs, limits::LABELS_MAX), "HL002"),
        ("labels =>", both(&pair, limits::LABEL_BYTES_MAX), "HL002"),
        ("max_attempts =>", both(&|n| n.to_string(), limits::ATTEMPTS_MAX as usize), "HL001"),
        ("max_attempts =>", ("1".to_owned(), "0".to_owned()), "HL001"),
        ("priority =>", ("9".to_owned(), "10".to_owned()), "HL001"),
        ("priority =>", ("0".to_owned(), "-1".to_owned()), "HL001"),
        ("timeout =>", (format!("'{timeout} s'"), format!("'{} s'", timeout + 1)), "HL001"),
        ("timeout =>", ("'1 ms'".to_owned(), "'0 s'".to_owned()), "HL001"),
        ("expires_in =>", ("'1 ms'".to_owned(), "'0 s'".to_owned()), "HL001"),
        ("delay =>", ten_years(), "HL001"),
        ("delay =>", ("'0 s'".to_owned(), "'-1 s'".to_owned()), "HL001"),
        ("retain =>", ten_years(), "HL001"),
        ("unique_key => 'k1', unique_for =>", ten_years(), "HL001"),
        ("unique_key => 'k2', unique_until =>", ("'start'".into(), "'stop'".into()), "HL001"),
        ("unique_key => 'k3', on_conflict =>", ("'reject'".into(), "'raise'".into()), "HL001"),
        ("backoff =>", (factor("100"), factor("100.1")), "HL001"),
        ("backoff =>", (factor("1"), factor("0.999")), "HL001"),
        ("backoff =>", (jitter("1"), jitter("1.001")), "HL001"),
    ];
    cases.into_iter().map(|(what, (fine, beyond), code)| (what, fine, beyond, code)).collect()
}

#[tokio::test]
async fn a_limit_holds_at_the_limit_and_refuses_one_above_as_in_the_library() {
    let (client, _) = application().await;
    for (what, fine, beyond, code) in at_the_limits() {
        client.query(&format!("SELECT enqueue('k', {what} {fine})"), &[]).await.expect(what);
        let why = refused(&client, &format!("SELECT enqueue('k', {what} {beyond})")).await;
        assert_eq!(why.0, code, "{what} {beyond}: {}", why.1);
    }
    let bytes = |count: usize| format!("SELECT enqueue_bytes('k', repeat('x', {count})::bytea)");
    client.query(&bytes(limits::PAYLOAD_BYTES_DEFAULT), &[]).await.unwrap();
    assert_eq!(refused(&client, &bytes(limits::PAYLOAD_BYTES_DEFAULT + 1)).await.0, "HL002");
    client.batch_execute("SET haulier.payload_bytes_max = '99999999'").await.unwrap();
    client.query(&bytes(limits::PAYLOAD_BYTES_MAX), &[]).await.unwrap();
    assert_eq!(refused(&client, &bytes(limits::PAYLOAD_BYTES_MAX + 1)).await.0, "HL002");
}

#[tokio::test]
async fn what_is_no_name_no_text_or_no_field_is_refused_with_what_would_be() {
    let (client, _) = application().await;
    for (call, part) in [
        ("enqueue('')", "kind is empty"),
        ("enqueue('a b')", "is not a name"),
        ("enqueue(E'a\\n')", "is not a name"),
        ("enqueue('k', queue => '.hidden')", "is not a name"),
        ("enqueue('k', queue => 'é')", "is not a name"),
        ("enqueue('k', headers => '{\"a b\": \"v\"}')", "has a space, quote, colon"),
        ("enqueue('k', labels => '{\"a:b\": \"v\"}')", "has a space, quote, colon"),
        ("enqueue('k', labels => '{\"a\": 1}')", "is no text"),
        ("enqueue('k', labels => '[1]')", "labels is no object"),
        ("enqueue('k', backoff => '{\"bas\": \"1s\"}')", "backoff has no field \"bas\""),
        ("enqueue('k', delay => '1 s', run_at => now())", "both delay and run_at"),
        ("enqueue('k', run_at => 'infinity')", "run_at is infinite"),
        ("enqueue('k', unique_key => '')", "unique_key has 0 bytes"),
        ("enqueue_bytes('k', '', content_type => '')", "is no content type"),
        ("enqueue_many('{}')", "tasks is no array"),
        ("enqueue_many('[{\"kind\": \"k\"}, {\"kind\": \"a b\"}]')", "tasks[1]: kind \"a b\""),
        (
            "enqueue_many('[{\"kind\": \"k\"}, {\"kind\": \"k\", \"at\": 1}]')",
            "tasks[1]: a task has",
        ),
        ("enqueue_many('[{\"kind\": \"k\", \"unique\": {\"keys\": \"a\"}}]')", "has no field"),
        ("enqueue_many('[{\"kind\": \"k\", \"unique\": 3}]')", "unique is no object"),
    ] {
        let (code, message) = refused(&client, &format!("SELECT {call}")).await;
        assert_eq!(code, "HL001", "{call}: {message}");
        assert!(message.contains(part), "{call}: {message}");
    }
    assert_eq!(tasks(&client).await, "0", "a refused task is no task, nor is its neighbour");
}

#[tokio::test]
async fn an_id_and_a_key_meet_the_task_that_has_them() {
    let (client, _) = application().await;
    let id = "01997b9c-1f2e-7c3d-8a4b-5c6d7e8f9a0b";
    let first = format!("SELECT enqueue('k', '1', queue => 'q', id => '{id}', unique_key => 'a')");
    assert_eq!(one(&client, &first).await, id);
    assert_eq!(one(&client, &first).await, id);
    let other = format!("SELECT enqueue('k', '2', queue => 'q', id => '{id}')");
    assert_eq!(refused(&client, &other).await.0, "HL003");
    assert_eq!(one(&client, "SELECT enqueue('k', queue => 'q', unique_key => 'a')").await, id);
    let same = |how: &str| {
        format!("SELECT enqueue('k', queue => 'q', unique_key => 'a', on_conflict => '{how}')")
    };
    assert_eq!(refused(&client, &same("reject")).await.0, "HL004");
    assert_eq!(refused(&client, &same("replace")).await.0, "HL008");
    let elsewhere = one(&client, "SELECT enqueue('k', queue => 'p', unique_key => 'a')").await;
    assert_ne!(elsewhere, id, "a key is of one queue");
    assert_eq!(tasks(&client).await, "2");
    let twice = r#"[{"kind": "k", "unique": {"key": "b"}}, {"kind": "k", "unique": {"key": "b"}}]"#;
    let many = format!("SELECT count(DISTINCT id) FROM enqueue_many('{twice}') id");
    assert_eq!(one(&client, &many).await, "1", "they meet within one call, too");
}

#[tokio::test]
async fn a_full_queue_takes_no_more_and_keeps_the_key_free() {
    let (client, _) = application().await;
    client.query("SELECT enqueue('k', queue => 'q')", &[]).await.unwrap();
    client.batch_execute("UPDATE queue SET max_tasks = 2").await.unwrap();
    client.query("SELECT enqueue('k', queue => 'q')", &[]).await.unwrap();
    let full = refused(&client, "SELECT enqueue('k', queue => 'q', unique_key => 'a')").await;
    assert_eq!(full.0, "HL005");
    // The form that answers instead of raising leaves nothing behind, either.
    let tried = "SELECT (try_enqueue('k', '', 'a/b', 'q', 4, NULL, NULL, gen_random_uuid(), 'a',
                 NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 10)).code";
    assert_eq!(one(&client, tried).await, "HL005");
    assert_eq!(one(&client, "SELECT count(*) FROM holder").await, "0");
    assert_eq!(tasks(&client).await, "2");
}

#[tokio::test]
async fn an_application_needs_no_right_on_the_tables() {
    let (client, options) = application().await;
    let schema = &options.schema;
    let role = format!("app_{schema}");
    let grant = format!("CREATE ROLE {role}; GRANT USAGE ON SCHEMA {schema} TO {role}");
    client.batch_execute(&format!("{grant}; SET ROLE {role}")).await.unwrap();
    client.query("SELECT enqueue('k'), enqueue_bytes('k', '')", &[]).await.unwrap();
    client.query("SELECT enqueue_many('[{\"kind\": \"k\"}]'), wake()", &[]).await.unwrap();
    let stale = refused(&client, "SELECT complete(gen_random_uuid(), 1)").await;
    assert_eq!(stale.0, "HL006");
    for forbidden in ["SELECT count(*) FROM task", "DELETE FROM lease"] {
        let error = client.query(forbidden, &[]).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{forbidden}");
    }
    let drop = format!("RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}");
    client.batch_execute(&drop).await.unwrap();
}

#[tokio::test]
async fn an_open_transaction_holds_up_nobody_who_wants_something_else() {
    let (mut client, options) = application().await;
    let other = connect(&options.schema).await;
    client.query("SELECT enqueue('k', queue => 'q')", &[]).await.unwrap();
    let tx = client.transaction().await.unwrap();
    tx.query("SELECT enqueue('k', queue => 'q', unique_key => 'a')", &[]).await.unwrap();
    // Whoever had to wait would fail.
    other.batch_execute("SET lock_timeout = '1ms'").await.unwrap();
    other.query("SELECT enqueue('k', queue => 'q', unique_key => 'b')", &[]).await.unwrap();
    other.query("SELECT enqueue('k', queue => 'q')", &[]).await.unwrap();
    let same = "SELECT enqueue('k', queue => 'q', unique_key => 'a')";
    let error = other.query(same, &[]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::LOCK_NOT_AVAILABLE));
    let mutexes = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
                   WHERE l.locktype = 'advisory' AND a.state = 'idle in transaction'
                   AND a.query LIKE '%''q'', unique_key => ''a''%'";
    assert_eq!(one(&other, mutexes).await, "0");
    tx.commit().await.unwrap();
    other.query(same, &[]).await.unwrap();
    assert_eq!(tasks(&other).await, "4");
}

#[tokio::test]
async fn whoever_wants_the_same_key_waits_and_meets_what_was_committed() {
    let (mut client, options) = application().await;
    for commit in [true, false] {
        let other = connect(&options.schema).await;
        let enqueue = format!("SELECT enqueue('k', unique_key => '{commit}')::text");
        // The queue is there before: a new one would be waited for, too.
        client.query("SELECT enqueue('k')", &[]).await.unwrap();
        let tx = client.transaction().await.unwrap();
        let first: String = tx.query_one(&enqueue, &[]).await.unwrap().get(0);
        let pid = one(&other, "SELECT pg_backend_pid()").await;
        let second =
            tokio::spawn(async move { other.query_one(&enqueue, &[]).await.unwrap().get(0) });
        until_it_waits(&options.schema, &pid).await;
        end(tx, commit).await;
        let second: String = second.await.unwrap();
        assert_eq!(second == first, commit);
    }
}

/// Until a backend waits for a lock.
async fn until_it_waits(schema: &str, pid: &str) {
    let watcher = connect(schema).await;
    let ask = format!("SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = {pid}");
    let waiting = tokio::time::timeout(Duration::from_secs(30), async {
        while one(&watcher, &ask).await == "0" {
            tokio::task::yield_now().await;
        }
    });
    waiting.await.expect("it does not wait");
}

#[tokio::test]
async fn ids_that_the_database_makes_are_ordered_by_time() {
    let (client, _) = application().await;
    let made = "SELECT new_id(t) FROM generate_series(1795528200000, 1795528200020) t";
    let rows = client.query(&format!("SELECT e::text FROM ({made}) x(e)"), &[]).await.unwrap();
    let ids: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert!(ids.is_sorted() && ids.iter().all(|id| &id[14..15] == "7"), "{ids:?}");
    assert!(ids.iter().all(|id| "89ab".contains(&id[19..20])), "{ids:?}");
}

#[tokio::test]
async fn a_task_that_was_handed_over_in_sql_with_a_delay_is_leased_when_it_is_due() {
    let options = server::options(ROOMY).await;
    let schema = options.schema.clone();
    let mut rig = PgRig::over(options).await;
    let client = connect(&schema).await;
    let span = Duration::from_mins(5);
    let asked = "SELECT enqueue('k', delay => '5 minutes')";
    client.batch_execute(asked).await.unwrap();
    rig.elapse(span.saturating_sub(ms(1))).await;
    assert!(take(&rig, 8).await.is_empty(), "before it is due");
    rig.elapse(ms(1)).await;
    assert_eq!(take(&rig, 8).await.len(), 1, "when it is due");
}
