//! The time by which one transaction decides. It is the database's: no server's clock is asked what
//! is due.

use haulier_core::{Epoch, Timestamp};
use tokio_postgres::Row;

use crate::db::{Failed, Tx, sql};

/// What `now` shows at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// What is stored and shown.
    pub wall: Timestamp,
    /// What leases count on.
    pub leases: i64,
    /// The upper half of every new epoch.
    pub generation: u32,
    /// The largest epoch of any task that is gone.
    pub epoch_floor: Epoch,
}

impl Tx<'_> {
    /// The time now.
    pub(crate) async fn now(&self) -> Result<Now, Failed> {
        Now::read(&self.one(sql!("now"), &[]).await?)
    }
}

impl Now {
    /// From columns `wall`, `leases`, `generation`, `epoch_floor`.
    pub(crate) fn read(row: &Row) -> Result<Self, Failed> {
        Ok(Self {
            wall: timestamp(row.try_get("wall")?),
            leases: row.try_get("leases")?,
            generation: row.try_get::<_, i32>("generation")?.unsigned_abs(),
            epoch_floor: Epoch(row.try_get::<_, i64>("epoch_floor")?.unsigned_abs()),
        })
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
