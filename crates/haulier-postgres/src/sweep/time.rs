//! The time of leases, as `meta` keeps it; the view `now` holds to [`STANDS`] as well.
//!
//! [`STANDS`]: haulier_core::lease_time::STANDS

pub(super) use haulier_core::lease_time::{GAP, Moment, Seen, TOLERANCE, Time, Watch};
use tokio_postgres::Row;

use crate::db::Failed;

/// What a look shows of it.
pub(super) fn seen(row: &Row) -> Result<Seen, Failed> {
    Ok(Seen {
        clock: row.try_get("clock")?,
        wall: row.try_get("wall")?,
        slip: row.try_get("slip")?,
        leases: row.try_get("leases_at")?,
    })
}
