//! Workers' signs of life.
#![expect(clippy::unused_async, reason = "to be filled")]

use std::sync::Arc;

use haulier_core::{Beat, BeatReply, Error, Result};

use crate::store::Inner;

pub(crate) async fn beat(_inner: &Arc<Inner>, _beats: Vec<Beat>) -> Result<Vec<BeatReply>> {
    Err(Error::internal("beat is not there yet"))
}
