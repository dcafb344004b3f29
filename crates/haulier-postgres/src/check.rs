//! What a database must be like before it is served.

use std::sync::Arc;

use haulier_core::Durability;

use crate::db::{Db, sql};
use crate::error::OpenError;
use crate::migrate;
use crate::options::Options;
use crate::store::Inner;

/// What the checks found out.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) durability: Durability,
}

pub(crate) async fn start(db: &Db, options: &Options) -> Result<Started, OpenError> {
    let status = migrate::of(db, &options.schema).await.map_err(OpenError::from_call)?;
    if let Some(trouble) = status.fit().trouble(&options.place()) {
        return Err(OpenError::Refused(trouble));
    }
    db.read_one("opening", sql!("settings"), &[]).await.map_err(OpenError::from_call)?;
    Ok(Started { durability: Durability::D2 })
}

pub(crate) fn keep_looking(_inner: &Arc<Inner>, _started: Started) {}
