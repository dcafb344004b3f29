//! Looking.
#![expect(clippy::unused_async, reason = "to be filled")]

use std::sync::Arc;
use std::time::Duration;

use haulier_core::{
    Error, Filter, Include, Page, PageRequest, QueueStats, Result, TaskId, TaskView,
};

use crate::store::Inner;

pub(crate) async fn get(
    _inner: &Arc<Inner>,
    _ids: Vec<TaskId>,
    _include: Include,
    _wait: Duration,
) -> Result<Vec<Option<TaskView>>> {
    Err(Error::internal("get is not there yet"))
}

pub(crate) async fn list(_inner: &Arc<Inner>, _filter: Filter, _page: PageRequest) -> Result<Page> {
    Err(Error::internal("list is not there yet"))
}

pub(crate) async fn queues(_inner: &Arc<Inner>) -> Result<Vec<QueueStats>> {
    Err(Error::internal("queues is not there yet"))
}
