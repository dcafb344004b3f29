//! Who is woken, and by whom.
#![expect(clippy::unused_self, reason = "to be filled")]

use std::sync::Arc;

use haulier_core::WorkerId;

use crate::store::Inner;

/// Where news meets those who wait for it.
#[derive(Debug, Default)]
pub(crate) struct Hub {}

impl Hub {
    /// Tasks of a queue have come into line, the first of them at this place. Called after the
    /// commit.
    pub(crate) fn in_line(&self, _queue: i32, _smallest_place: i64) {}

    /// Running tasks of a queue have ended. Called after the commit.
    pub(crate) fn freed(&self, _queue: i32) {}

    /// There is something that a worker should know before its next beat. Called after the commit.
    pub(crate) fn news(&self, _worker: &WorkerId) {}

    pub(crate) fn changed(&self, _q: i32) {}
    pub(crate) fn finishes(&self) -> tokio::sync::watch::Receiver<u64> {
        tokio::sync::watch::channel(0).1
    }

    /// Tasks became final: whoever waits for one should look.
    pub(crate) fn finished(&self) {}
}

pub(crate) fn start(_inner: &Arc<Inner>) {}
