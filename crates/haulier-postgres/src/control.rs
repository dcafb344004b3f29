//! Operating.
#![expect(clippy::unused_async, reason = "to be filled")]

use std::sync::Arc;

use haulier_core::{Changed, Error, QueueName, QueueSettings, Result, SettingsPatch, TaskId};

use crate::store::Inner;

pub(crate) async fn cancel(_inner: &Arc<Inner>, _ids: Vec<TaskId>) -> Result<Vec<Changed>> {
    Err(Error::internal("cancel is not there yet"))
}

pub(crate) async fn rerun(_inner: &Arc<Inner>, _ids: Vec<TaskId>) -> Result<Vec<Changed>> {
    Err(Error::internal("rerun is not there yet"))
}

pub(crate) async fn delete(_inner: &Arc<Inner>, _ids: Vec<TaskId>) -> Result<Vec<Changed>> {
    Err(Error::internal("delete is not there yet"))
}

pub(crate) async fn configure(
    _inner: &Arc<Inner>,
    _queue: QueueName,
    _patch: SettingsPatch,
) -> Result<QueueSettings> {
    Err(Error::internal("configure is not there yet"))
}
