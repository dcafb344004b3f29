//! The time by which one transaction decides. It is the database's: no server's clock is asked what
//! is due.

use haulier_core::Timestamp;
use tokio_postgres::Row;

use crate::db::{Failed, Tx, sql};

/// What `now` shows at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// What is stored and shown.
    pub wall: Timestamp,
    /// What leases count on.
    pub leases: i64,
}

impl Tx<'_> {
    /// The time now.
    pub(crate) async fn now(&self) -> Result<Now, Failed> {
        Now::read(&self.one(sql!("now"), &[]).await?)
    }
}

impl Now {
    /// From columns `wall` and `leases`.
    pub(crate) fn read(row: &Row) -> Result<Self, Failed> {
        Ok(Self { wall: timestamp(row.try_get("wall")?), leases: row.try_get("leases")? })
    }
}

/// Times before 1970 are written by nobody.
pub(crate) fn timestamp(millis: i64) -> Timestamp {
    Timestamp(millis.unsigned_abs())
}

/// A time as it stands in a table; what is farther than that is as far as can be.
pub(crate) fn millis(at: Timestamp) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

/// A span as it stands in a table.
pub(crate) fn span(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
