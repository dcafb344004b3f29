//! Connections, transactions, statements. The rest of the crate says what it wants of the database;
//! how it is got, how often it is tried again and what a failure means is decided here.
//!
//! A transaction is tried again when PostgreSQL has undone it for the sake of another one, or when
//! its connection was lost before its end was asked for. What was lost while its end was on the way
//! is [`haulier_core::Code::UnknownOutcome`], and only that.

mod fault;
mod identity;
mod pool;
mod sql;
mod tls;
mod transaction;

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Object;
use haulier_core::{Code, Error, Result};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

pub(crate) use fault::{Failed, SHARED};
pub(crate) use identity::Met;
pub(crate) use pool::Messages;
pub(crate) use sql::{Sql, sql};
pub(crate) use transaction::Tx;

use crate::options::Options;
pub(crate) use fault::in_time;
use pool::Pool;
use sql::{On, Ready, Texts};
use transaction::Open;

/// When a call may come again whose database was exchanged before it asked anything.
const AT_ONCE: Duration = Duration::from_millis(100);

/// What a statement is given.
pub(crate) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// What a call may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

/// The database, as the rest of the crate sees it. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Db {
    pool: Arc<Pool>,
    texts: Arc<Texts>,
}

impl Db {
    /// Nothing is connected before the first call.
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let texts = Texts::new(&options.schema, options.prepare);
        Ok(Self { pool: Arc::new(Pool::new(options)?), texts: Arc::new(texts) })
    }

    /// One transaction. `body` may run again, from its beginning: it must do nothing but ask the
    /// transaction. When it fails, nothing happened.
    pub(crate) async fn write<T, F, Fut>(&self, verb: &'static str, body: F) -> Result<T>
    where
        F: Fn(Tx<'static>) -> Fut,
        Fut: Future<Output = Result<T, Failed>>,
    {
        self.transaction(Access::Write, verb, body).await
    }

    /// One transaction that only reads.
    pub(crate) async fn read<T, F, Fut>(&self, verb: &'static str, body: F) -> Result<T>
    where
        F: Fn(Tx<'static>) -> Fut,
        Fut: Future<Output = Result<T, Failed>>,
    {
        self.transaction(Access::Read, verb, body).await
    }

    async fn transaction<T, F, Fut>(&self, access: Access, verb: &'static str, body: F) -> Result<T>
    where
        F: Fn(Tx<'static>) -> Fut,
        Fut: Future<Output = Result<T, Failed>>,
    {
        let (mut tries, era) = (self.pool.tries(), self.era());
        loop {
            let open = Open::begin(self.connection(verb, era).await?, access);
            let failed = match body(open.tx(&self.texts)).await {
                Ok(value) => match open.commit().await {
                    Ok(()) => return Ok(value),
                    Err(failed) => failed,
                },
                Err(failed) => failed,
            };
            let failed = open.judge(failed);
            open.undo().await;
            tries.again(verb, failed).await?;
        }
    }

    /// One statement that writes, in a transaction of its own and in one round trip.
    pub(crate) async fn write_one(
        &self,
        verb: &'static str,
        sql: Sql,
        params: Params<'_>,
    ) -> Result<Vec<Row>> {
        self.one(Access::Write, verb, sql, params).await
    }

    /// One statement that reads, in one round trip.
    pub(crate) async fn read_one(
        &self,
        verb: &'static str,
        sql: Sql,
        params: Params<'_>,
    ) -> Result<Vec<Row>> {
        self.one(Access::Read, verb, sql, params).await
    }

    async fn one(
        &self,
        access: Access,
        verb: &'static str,
        sql: Sql,
        params: Params<'_>,
    ) -> Result<Vec<Row>> {
        let (mut tries, era) = (self.pool.tries(), self.era());
        loop {
            let connection = self.connection(verb, era).await?;
            let on = On::Ours(&connection);
            let failed = match in_time(self.texts.ready(on, sql, false)).await {
                Ok(ready) => match ask(access, on, ready, params).await {
                    Ok(rows) => return Ok(rows),
                    Err(failed) => failed,
                },
                Err(failed) => failed,
            };
            if matches!(failed, Failed::Late { .. }) {
                // Whoever had it next would wait in vain, too.
                drop(Object::take(connection));
            }
            tries.again(verb, failed).await?;
        }
    }

    /// A connection to the database that there was when a call began: what the call was prepared
    /// with, numbers of queues above all, may not be so in another one.
    async fn connection(&self, verb: &str, era: u64) -> Result<Object> {
        let connection = self.pool.get().await?;
        if self.era() == era {
            return Ok(connection);
        }
        let text = format!("{verb}: the database is another one, or was started anew; try again");
        Err(Error::new(Code::Unavailable, text).retry_after(AT_ONCE))
    }

    /// Changes when the database becomes another one, or is started anew. What was remembered of
    /// it then has to be forgotten.
    pub(crate) fn era(&self) -> u64 {
        self.pool.era()
    }

    /// A connection outside the pool, for notifications and for migrations, and what comes over it.
    /// Whoever polls the messages drives the connection.
    pub(crate) async fn dial(&self) -> Result<(Client, Messages)> {
        self.pool.dial().await
    }

    /// A transaction of somebody else, in which our statements are to run.
    pub(crate) fn foreign<'a>(&'a self, tx: &'a tokio_postgres::Transaction<'_>) -> Tx<'a> {
        Tx::foreign(tx.client(), &self.texts)
    }

    /// `{schema}` in a text, replaced by the schema's quoted name.
    pub(crate) fn text(&self, text: &str) -> String {
        self.texts.replace(text)
    }

    /// Looks which database this is. From then on every new connection does so, too, and the
    /// generation is raised before anything is asked of another one.
    pub(crate) async fn meet(&self) -> Result<Met> {
        self.pool.meet().await
    }

    /// Whether a proxy hands the connections behind it around.
    pub(crate) async fn is_shared(&self) -> Result<bool> {
        self.pool.is_shared().await
    }

    /// Connections are closed; later calls fail.
    pub(crate) fn close(&self) {
        self.pool.close();
    }
}

/// One statement that is a transaction of its own.
async fn ask(
    access: Access,
    on: On<'_>,
    ready: Ready,
    params: Params<'_>,
) -> Result<Vec<Row>, Failed> {
    if access == Access::Read {
        return in_time(ready.query(on, params)).await;
    }
    fault::before_commit()?;
    let rows = in_time(ready.query(on, params)).await.map_err(Failed::ending)?;
    fault::after_commit()?;
    Ok(rows)
}
