//! Waiting for news.
#![expect(clippy::unused_async, reason = "to be filled")]

use std::sync::Arc;
use std::time::Duration;

use haulier_core::{Error, Result, WorkerId};

use crate::store::Inner;

pub(crate) async fn watch(_inner: &Arc<Inner>, _worker: WorkerId, _wait: Duration) -> Result<bool> {
    Err(Error::internal("watch is not there yet"))
}
