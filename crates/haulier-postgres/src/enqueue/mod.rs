//! Storing tasks.
#![expect(clippy::unused_async, reason = "to be filled")]

use haulier_core::{Enqueued, Error, NewTask, Result};

use std::sync::Arc;

use crate::store::Inner;

/// Calls that wait for their turn.
#[derive(Debug, Default)]
pub(crate) struct Enqueues {}

pub(crate) async fn enqueue(_inner: &Arc<Inner>, _tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
    Err(Error::internal("enqueue is not there yet"))
}
