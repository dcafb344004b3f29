//! One transaction on one connection.
//!
//! It is begun without waiting for the answer: the first statement travels together with its
//! beginning. Statements that are polled together travel together, in the order in which they were
//! first polled, and the end may travel with the last of them. A transaction that is dropped before
//! its end is undone, also when its caller gave up while a statement was out: the undoing waits on
//! the connection behind it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use deadpool_postgres::Object;
use futures_util::FutureExt;
use futures_util::future::poll_immediate;
use haulier_core::Error as CoreError;
use tokio::sync::{Mutex, MutexGuard};
use tokio_postgres::{Client, Error, Row};

use super::fault::in_time;
use super::sql::{On, Ready, Sql, Texts};
use super::{Access, Failed, Params, fault};

/// Whoever stands still in it, with its locks, holds up the others no longer than that; a proxy
/// would hand a setting of the session to somebody else.
const WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
    SET LOCAL idle_in_transaction_session_timeout = '3s'";
const READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// A transaction of ours, until it ends.
#[derive(Debug)]
pub(super) struct Open {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// There until this is dropped.
    connection: Option<Object>,
    writes: bool,
    /// It has ended, or its end is on the way.
    ended: AtomicBool,
    /// A statement failed: nothing of it can be kept.
    broken: AtomicBool,
    /// An answer did not come: whoever had the connection next would wait in vain, too.
    silent: AtomicBool,
    /// Who is sending: a statement that has to be prepared first is not overtaken by the next one.
    turn: Mutex<()>,
}

/// A transaction, as those see it who ask it something.
#[derive(Debug, Clone)]
pub(crate) struct Tx<'a> {
    on: Holder<'a>,
    texts: Arc<Texts>,
}

#[derive(Debug, Clone)]
enum Holder<'a> {
    Ours(Arc<Inner>),
    Foreign(&'a Client),
}

/// Sends something now, and leaves the answer to whatever is asked next on this connection: it
/// fails, too, if this did.
fn send(client: &Client, text: &str) {
    // The first poll writes it out; the driver reads the answer, and throws it away.
    drop(client.batch_execute(text).now_or_never());
}

impl Open {
    pub(super) fn begin(connection: Object, access: Access) -> Self {
        send(
            &connection,
            match access {
                Access::Write => WRITE,
                Access::Read => READ,
            },
        );
        let inner = Inner {
            connection: Some(connection),
            writes: access == Access::Write,
            ended: false.into(),
            broken: false.into(),
            silent: false.into(),
            turn: Mutex::new(()),
        };
        Self { inner: Arc::new(inner) }
    }

    pub(super) fn tx(&self, texts: &Arc<Texts>) -> Tx<'static> {
        Tx { on: Holder::Ours(Arc::clone(&self.inner)), texts: Arc::clone(texts) }
    }

    /// Ends it, so that it is kept, unless its body has done so.
    pub(super) async fn commit(&self) -> Result<(), Failed> {
        if self.inner.ended.load(Ordering::Relaxed) { Ok(()) } else { self.inner.commit().await }
    }

    /// Undoes it, if it has not ended: when this returns nobody waits for its locks any more.
    pub(super) async fn undo(self) {
        let inner = &self.inner;
        let connection = inner.connection();
        if inner.silent.load(Ordering::Relaxed) || connection.is_closed() {
            return;
        }
        if !inner.ended.swap(true, Ordering::Relaxed) {
            // A connection that fails here is undone by the server.
            let _undone = inner.note(in_time(connection.batch_execute("ROLLBACK")).await).is_ok();
        }
    }

    /// Whatever fails after the end was sent may have been kept, unless it only read.
    pub(super) fn judge(&self, failed: Failed) -> Failed {
        if self.inner.writes && self.inner.ended.load(Ordering::Relaxed) {
            return failed.ending();
        }
        match failed {
            Failed::Ending(error) => Failed::Db(error),
            Failed::Late { .. } => Failed::Late { ending: false },
            other => other,
        }
    }
}

impl Inner {
    fn connection(&self) -> &Object {
        match &self.connection {
            Some(connection) => connection,
            None => unreachable!("it is taken away when nobody has this any more"),
        }
    }

    /// A transaction in which a statement failed is never kept, even if whoever asked did not mind.
    async fn commit(&self) -> Result<(), Failed> {
        let turn = self.turn.lock().await;
        if self.broken.load(Ordering::Relaxed) {
            let why = "a statement failed, and the transaction was to be kept nevertheless";
            return Err(CoreError::internal(why).into());
        }
        fault::before_commit()?;
        self.ended.store(true, Ordering::Relaxed);
        let ended = in_time(sent(self.connection().batch_execute("COMMIT"), turn)).await;
        self.note(ended).map_err(Failed::ending)?;
        fault::after_commit()
    }

    fn note<T>(&self, answer: Result<T, Failed>) -> Result<T, Failed> {
        if let Err(failed) = &answer {
            self.broken.store(true, Ordering::Relaxed);
            self.silent.fetch_or(matches!(failed, Failed::Late { .. }), Ordering::Relaxed);
        }
        answer
    }
}

/// Sends what a future sends at its first poll, lets the next one send, and waits for the answer.
async fn sent<T>(asked: impl Future<Output = T>, turn: MutexGuard<'_, ()>) -> T {
    let mut asked = pin!(asked);
    let answered = poll_immediate(asked.as_mut()).await;
    drop(turn);
    match answered {
        Some(answer) => answer,
        None => asked.await,
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if *self.silent.get_mut() {
            // Its server undoes what has not ended as soon as it sees that nobody is there.
            drop(Object::take(connection));
        } else if !*self.ended.get_mut() && !connection.is_closed() {
            send(&connection, "ROLLBACK");
        }
    }
}

impl<'a> Tx<'a> {
    pub(super) fn foreign(client: &'a Client, texts: &Arc<Texts>) -> Self {
        Self { on: Holder::Foreign(client), texts: Arc::clone(texts) }
    }

    fn on(&self) -> On<'_> {
        match &self.on {
            Holder::Ours(inner) => On::Ours(inner.connection()),
            Holder::Foreign(client) => On::Foreign(client),
        }
    }

    /// Whether it is a transaction of somebody else, who ends it when he likes.
    pub(crate) fn is_foreign(&self) -> bool {
        matches!(self.on, Holder::Foreign(_))
    }

    /// Ends it, so that it is kept, together with the statements that are polled before it. Nothing
    /// can be asked afterwards. Without this it ends when its body has returned.
    pub(crate) async fn commit(&self) -> Result<(), Failed> {
        match &self.on {
            Holder::Ours(inner) => inner.commit().await,
            Holder::Foreign(_) => Ok(()),
        }
    }

    async fn run<T>(
        &self,
        sql: Sql,
        ask: impl AsyncFnOnce(Ready) -> Result<T, Error>,
    ) -> Result<T, Failed> {
        let Holder::Ours(inner) = &self.on else {
            return Ok(ask(self.texts.ready(self.on(), sql, true).await?).await?);
        };
        // On the heap: it is in the middle of every verb's future, several times.
        let answer = Box::pin(in_time(async {
            let turn = inner.turn.lock().await;
            let ready = self.texts.ready(self.on(), sql, true).await?;
            sent(ask(ready), turn).await
        }));
        inner.note(answer.await)
    }

    /// Asks for rows. Several calls that are polled together (`futures_util::join!`) travel
    /// together, in their order.
    pub(crate) async fn query(&self, sql: Sql, params: Params<'_>) -> Result<Vec<Row>, Failed> {
        self.run(sql, async |ready| ready.query(self.on(), params).await).await
    }

    /// Asks for the one row that there must be.
    pub(crate) async fn one(&self, sql: Sql, params: Params<'_>) -> Result<Row, Failed> {
        self.opt(sql, params).await?.ok_or_else(|| {
            CoreError::internal(format!("statement {}: no row came back", sql.name)).into()
        })
    }

    /// Asks for a row that may be missing.
    pub(crate) async fn opt(&self, sql: Sql, params: Params<'_>) -> Result<Option<Row>, Failed> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// Changes something; how many rows it changed.
    pub(crate) async fn execute(&self, sql: Sql, params: Params<'_>) -> Result<u64, Failed> {
        self.run(sql, async |ready| ready.execute(self.on(), params).await).await
    }

    /// Runs a text of several statements, with `{schema}` in it.
    pub(crate) async fn batch(&self, text: &str) -> Result<(), Failed> {
        let client = self.on().client();
        let Holder::Ours(inner) = &self.on else {
            return Ok(client.batch_execute(&self.texts.replace(text)).await?);
        };
        let turn = inner.turn.lock().await;
        let answer = sent(client.batch_execute(&self.texts.replace(text)), turn).await;
        inner.note(answer.map_err(Failed::from))
    }
}
