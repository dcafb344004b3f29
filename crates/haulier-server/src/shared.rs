//! What every call of every interface needs. Cloning shares it.
//!
//! Nothing in here belongs to one protocol, and nothing in here changes after the start but the
//! drain.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use haulier::store::OpenStore;
use haulier_core::{Capabilities, Clock, Enqueued, Entropy, Error, NewTask, Store, TaskId, limits};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::room::Room;

/// The store, time, chance and the drain of one server.
#[derive(Clone)]
pub struct Shared {
    /// Where tasks are.
    pub store: Arc<dyn Store>,
    /// The server's clock: waits and grace periods count on it.
    pub clock: Arc<dyn Clock>,
    /// The server's dice: ids, jitter.
    pub entropy: Arc<dyn Entropy>,
    /// Cancelled once the server drains: waiting calls answer at once, streams end after their last
    /// answer, no new lease is handed out.
    pub draining: CancellationToken,
    /// The store as the server opened it, if it did: it can be backed up.
    pub own: Option<OpenStore>,
    /// One backup at a time: each keeps disk space from being used again.
    pub backups: Arc<Semaphore>,
    /// For what comes in.
    pub(crate) room: Room,
    /// For what goes out.
    pub(crate) answers: Room,
}

impl Shared {
    /// A server's shared parts; it does not drain yet.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            store,
            clock,
            entropy,
            draining: CancellationToken::new(),
            own: None,
            backups: Arc::new(Semaphore::new(1)),
            room: Room::new(),
            answers: Room::new(),
        }
    }

    /// What the store can keep.
    pub fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    /// Largest body that a call may have. Base64 makes a payload a third larger.
    pub fn body_bytes_max(&self) -> usize {
        let payload = self.capabilities().payload_bytes_max;
        (payload.div_ceil(3) * 4 + 2 * limits::ENVELOPE_BYTES_MAX).max(limits::FRAME_BYTES_MAX)
    }

    /// A new task id, for callers that did not make one.
    pub fn new_id(&self) -> TaskId {
        TaskId::generate(&*self.clock, &*self.entropy)
    }

    /// Hands tasks to the store, if there is room for them on the way. Their payloads have room
    /// already, as part of the body in which they came.
    ///
    /// # Errors
    /// The store's; [`haulier_core::Code::Throttled`] if too much waits for it already.
    pub async fn enqueue(&self, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>, Error> {
        let _place = self.room.take_for_tasks(tasks.len())?;
        self.store.enqueue(tasks).await
    }

    /// Whether the server has begun to drain.
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// The answer of a call that waits, or `None` once the server drains. Dropping the call is
    /// safe: no verb of a store loses anything by it.
    pub async fn unless_draining<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            answer = call => Some(answer),
            () = self.draining.cancelled() => None,
        }
    }

    /// Refuses what a draining server does not begin any more.
    ///
    /// # Errors
    /// [`haulier_core::Code::Unavailable`], with when to try again.
    pub fn check_not_draining(&self) -> Result<(), Error> {
        if !self.is_draining() {
            return Ok(());
        }
        Err(Error::new(
            haulier_core::Code::Unavailable,
            "the server is draining; try another one, or this one again in a moment",
        )
        .retry_after(Duration::from_secs(1)))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("store", &self.store)
            .field("draining", &self.is_draining())
            .finish_non_exhaustive()
    }
}
