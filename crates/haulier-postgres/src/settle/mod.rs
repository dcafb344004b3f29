//! Ending leases.
#![expect(clippy::unused_async, reason = "to be filled")]

use std::sync::Arc;

use haulier_core::{Error, Result, Settled, Settlement};

use crate::store::Inner;

/// Calls that wait for their turn.
#[derive(Debug, Default)]
pub(crate) struct Settles {}

pub(crate) async fn settle(_inner: &Arc<Inner>, _ends: Vec<Settlement>) -> Result<Vec<Settled>> {
    Err(Error::internal("settle is not there yet"))
}
