//! What time alone does.
#![expect(clippy::unused_async, reason = "to be filled")]

use std::sync::Arc;

use haulier_core::{Error, Result, Swept};

use crate::store::Inner;

/// A server has opened the store: its node's row; and, if no other one is alive, leases last their
/// full ttl again.
pub(crate) async fn arrive(_inner: &Arc<Inner>) -> Result<()> {
    Ok(())
}

/// A server is closing the store in good order.
pub(crate) async fn leave(_inner: &Arc<Inner>) -> Result<()> {
    Ok(())
}

pub(crate) async fn sweep(_inner: &Arc<Inner>, _budget: usize) -> Result<Swept> {
    Err(Error::internal("sweep is not there yet"))
}
