//! Statements: one a file of `sql/`, with `{schema}` for the schema's name.
//!
//! Each is prepared once a connection. Where a proxy hands connections around after each
//! transaction, and on somebody else's connection, nothing is left prepared: only the types of its
//! parameters are asked for, once, and the text travels with every call.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use deadpool_postgres::ClientWrapper;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row, Statement};

use super::Params;

/// A statement of a file of `sql/`; made by [`sql!`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sql {
    /// The file's name, without its ending. It is what the statement is known by.
    pub(crate) name: &'static str,
    /// What the file says.
    pub(crate) text: &'static str,
}

/// `sql!("enqueue")` is the statement in `sql/enqueue.sql`.
macro_rules! sql {
    ($name:literal) => {
        $crate::db::Sql {
            name: $name,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/", $name, ".sql")),
        }
    };
}
pub(crate) use sql;

/// All statements that were used so far, in the words of one schema.
#[derive(Debug)]
pub(crate) struct Texts {
    schema: String,
    prepare: bool,
    words: RwLock<HashMap<&'static str, Arc<str>>>,
    types: RwLock<HashMap<&'static str, Arc<[Type]>>>,
}

/// Where a statement is to run.
#[derive(Debug, Clone, Copy)]
pub(super) enum On<'a> {
    /// One of our connections, which remembers what it prepared.
    Ours(&'a ClientWrapper),
    /// Somebody else's, inside a transaction: nothing is left behind on it.
    Foreign(&'a Client),
}

impl<'a> On<'a> {
    pub(super) fn client(self) -> &'a Client {
        match self {
            Self::Ours(wrapper) => wrapper,
            Self::Foreign(client) => client,
        }
    }
}

/// A statement that a connection is ready to run.
#[derive(Debug)]
pub(super) enum Ready {
    Prepared(Statement),
    Typed(Arc<str>, Arc<[Type]>),
}

impl Ready {
    /// Runs it. It is sent when this is first polled, so calls that are polled together travel
    /// together.
    pub(super) async fn query(&self, on: On<'_>, params: Params<'_>) -> Result<Vec<Row>, Error> {
        match self {
            Self::Prepared(statement) => on.client().query(statement, params).await,
            Self::Typed(text, types) => {
                let typed: Vec<(&(dyn ToSql + Sync), Type)> =
                    params.iter().copied().zip(types.iter().cloned()).collect();
                on.client().query_typed(text, &typed).await
            }
        }
    }

    /// Runs it for the number of rows that it changed.
    pub(super) async fn execute(&self, on: On<'_>, params: Params<'_>) -> Result<u64, Error> {
        match self {
            Self::Prepared(statement) => on.client().execute(statement, params).await,
            Self::Typed(text, types) => {
                let typed: Vec<(&(dyn ToSql + Sync), Type)> =
                    params.iter().copied().zip(types.iter().cloned()).collect();
                on.client().execute_typed(text, &typed).await
            }
        }
    }
}

impl Texts {
    pub(super) fn new(schema: &str, prepare: bool) -> Self {
        Self {
            schema: format!("\"{schema}\""),
            prepare,
            words: RwLock::default(),
            types: RwLock::default(),
        }
    }

    /// `{schema}` in a text, replaced.
    pub(super) fn replace(&self, text: &str) -> String {
        text.replace("{schema}", &self.schema)
    }

    fn text(&self, sql: Sql) -> Arc<str> {
        let known =
            self.words.read().unwrap_or_else(PoisonError::into_inner).get(sql.name).cloned();
        if let Some(text) = known {
            return text;
        }
        let text: Arc<str> = self.replace(sql.text).into();
        let mut words = self.words.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(words.entry(sql.name).or_insert(text))
    }

    /// Makes a statement ready, asking the server only the first time. `begun` says that a
    /// transaction is open: outside of one a proxy may send what belongs together to two servers.
    pub(super) async fn ready(&self, on: On<'_>, sql: Sql, begun: bool) -> Result<Ready, Error> {
        let text = self.text(sql);
        if let On::Ours(wrapper) = on
            && self.prepare
        {
            return wrapper.prepare_cached(&text).await.map(Ready::Prepared);
        }
        let known =
            self.types.read().unwrap_or_else(PoisonError::into_inner).get(sql.name).cloned();
        if let Some(types) = known {
            return Ok(Ready::Typed(text, types));
        }
        let client = on.client();
        if !begun {
            client.batch_execute("BEGIN").await?;
        }
        // It is closed again as soon as it is dropped, before anything else is sent.
        let types = client.prepare(&text).await.map(|statement| Arc::from(statement.params()));
        if !begun {
            client.batch_execute("ROLLBACK").await?;
        }
        let types: Arc<[Type]> = types?;
        let mut all = self.types.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(sql.name, Arc::clone(&types));
        Ok(Ready::Typed(text, types))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// A plan is made once, often while `lease` is empty, and kept. With an equality between the
    /// ids of two relations the cheapest one then reads the whole index of leases or tasks, once
    /// for each id that was given; with `l.id = ANY (ARRAY[given.id])` each id is looked up, always.
    #[test]
    fn no_plan_can_read_all_leases_or_tasks_for_the_ids_that_were_given() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for dir in ["sql", "migrations"] {
            for entry in fs::read_dir(root.join(dir)).expect("the directory is there") {
                let path = entry.expect("an entry").path();
                let text = fs::read_to_string(&path).expect("a statement is text");
                let joined = text.lines().find(|line| joins_by_id(line));
                assert_eq!(joined, None, "{}: say `= ANY (ARRAY[…])`", path.display());
            }
        }
        assert!(joins_by_id("WHERE l.id = given.id AND true") && joins_by_id("ON t.id = u.id"));
        assert!(!joins_by_id("WHERE l.id = ANY (ARRAY[given.id])") && !joins_by_id("t.id = $1"));
    }

    /// Whether it sets the id of a lease or task equal to that of something else. A lookup in a
    /// subquery has no other plan.
    fn joins_by_id(line: &str) -> bool {
        let joined = |how| {
            let (_, other) = line.split_once(how)?;
            other.split_once(".id").map(|(name, _)| name.chars().all(char::is_alphanumeric))
        };
        !line.contains("SELECT")
            && ["l.id = ", "t.id = "].into_iter().any(|how| joined(how) == Some(true))
    }
}
