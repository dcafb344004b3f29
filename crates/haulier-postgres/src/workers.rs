//! Workers, as they were heard of last.
#![expect(clippy::unused_async, reason = "to be filled")]

use std::sync::Arc;

use haulier_core::{Directive, Error, Result, WorkerAbout, WorkerId, WorkerView};

use crate::db::{Failed, Tx};

use crate::store::Inner;

pub(crate) async fn workers(_inner: &Arc<Inner>) -> Result<Vec<WorkerView>> {
    Err(Error::internal("workers is not there yet"))
}

pub(crate) async fn direct(
    _inner: &Arc<Inner>,
    _workers: Vec<WorkerId>,
    _directive: Directive,
) -> Result<Vec<bool>> {
    Err(Error::internal("direct is not there yet"))
}

pub(crate) async fn beaten(
    _tx: &Tx<'_>,
    beats: &[(&WorkerId, Option<&WorkerAbout>)],
) -> Result<Vec<Directive>, Failed> {
    Ok(vec![Directive::default(); beats.len()])
}

pub(crate) async fn tell(
    _tx: &crate::db::Tx<'_>,
    _workers: &[&WorkerId],
) -> Result<(), crate::db::Failed> {
    Ok(())
}
pub(crate) async fn forget_silent(_tx: &crate::db::Tx<'_>) -> Result<u64, crate::db::Failed> {
    Ok(0)
}
