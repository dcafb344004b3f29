//! Handing tasks out.
#![expect(clippy::unused_async, reason = "to be filled")]

use std::sync::Arc;
use std::time::Duration;

use haulier_core::{Error, Lease, Result, Want};

use crate::store::Inner;

/// Calls that wait, and how far each line was claimed.
#[derive(Debug, Default)]
pub(crate) struct Claims {}

pub(crate) fn start(_inner: &Arc<Inner>) {}

pub(crate) async fn lease(
    _inner: &Arc<Inner>,
    _wants: Vec<Want>,
    _wait: Duration,
) -> Result<Vec<Vec<Lease>>> {
    Err(Error::internal("lease is not there yet"))
}
