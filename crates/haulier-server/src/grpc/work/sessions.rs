//! Which stream each worker has. A worker that comes back while its old stream still seems to live
//! supersedes it, and begins only when the old one is over: otherwise the old one could shorten the
//! leases that the new one has just taken back.

use std::collections::HashMap;
use std::sync::Arc;

use haulier_core::WorkerId;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// The streams of a server.
#[derive(Default)]
pub(in crate::grpc) struct Sessions(Mutex<Table>);

#[derive(Default)]
struct Table {
    last: u64,
    streams: HashMap<WorkerId, Entry>,
}

struct Entry {
    session: u64,
    superseded: CancellationToken,
    over: CancellationToken,
}

/// A worker's place in the table; dropping it says that its stream is over.
pub(super) struct Seat {
    sessions: Arc<Sessions>,
    worker: WorkerId,
    /// The session's number, unique in this server.
    pub session: u64,
    /// Cancelled when the worker has a newer stream.
    pub superseded: CancellationToken,
    over: CancellationToken,
}

impl Sessions {
    /// Takes the worker's seat, once its former stream is over.
    pub(super) async fn join(self: &Arc<Self>, worker: WorkerId) -> Seat {
        let (seat, former) = self.sit(worker);
        if let Some(former) = former {
            former.superseded.cancel();
            former.over.cancelled().await;
        }
        seat
    }

    fn sit(self: &Arc<Self>, worker: WorkerId) -> (Seat, Option<Entry>) {
        let (superseded, over) = (CancellationToken::new(), CancellationToken::new());
        let mut table = self.0.lock();
        table.last += 1;
        let session = table.last;
        let entry = Entry { session, superseded: superseded.clone(), over: over.clone() };
        let former = table.streams.insert(worker.clone(), entry);
        drop(table);
        (Seat { sessions: Arc::clone(self), worker, session, superseded, over }, former)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.sessions.0.lock();
        if table.streams.get(&self.worker).is_some_and(|entry| entry.session == self.session) {
            table.streams.remove(&self.worker);
        }
        self.over.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_newer_stream_begins_when_the_older_one_is_over() {
        let sessions = Arc::<Sessions>::default();
        let worker = WorkerId::new("w").unwrap();
        let first = sessions.join(worker.clone()).await;
        let second = tokio::spawn({
            let (sessions, worker) = (Arc::clone(&sessions), worker.clone());
            async move { sessions.join(worker).await }
        });
        first.superseded.cancelled().await;
        assert!(!second.is_finished());
        drop(first);
        let second = second.await.unwrap();
        assert!(!second.superseded.is_cancelled());
        drop(second);
        assert!(sessions.0.lock().streams.is_empty(), "nothing is kept of a worker that is gone");
    }
}
