//! How much of what callers hand over may wait for the store at a time. A store that stands still
//! (a hung disk) must not fill the memory with tasks (L5): whoever comes when the room is taken is
//! refused at once, and may come again.

use std::sync::Arc;
use std::time::Duration;

use haulier_core::probe::planted;
use haulier_core::{Code, Error, NewTask, limits};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Kilobytes of tasks that may be on their way into the store.
const KILOBYTES_MAX: usize = 128 * 1024;
/// What a task takes besides its payload, about.
const ENVELOPE_BYTES: usize = 1024;

const _: () = assert!(
    limits::MESSAGE_BYTES_MAX + limits::ITEMS_MAX * ENVELOPE_BYTES < KILOBYTES_MAX * 1024,
    "the largest call finds room"
);

/// The room of one server. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Room(Arc<Semaphore>);

impl Room {
    /// Nobody is in it.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(KILOBYTES_MAX)))
    }

    /// Room for these tasks, until what is returned is dropped.
    ///
    /// # Errors
    /// [`Code::Throttled`] if there is none.
    pub(crate) fn take(&self, tasks: &[NewTask]) -> Result<OwnedSemaphorePermit, Error> {
        let bytes: usize = tasks.iter().map(|new| new.payload.bytes.len() + ENVELOPE_BYTES).sum();
        let kilobytes = if planted("endless-inbox") { 0 } else { bytes.div_ceil(1024) };
        // More than a semaphore can count is more than there is.
        let kilobytes = u32::try_from(kilobytes).unwrap_or(u32::MAX);
        Arc::clone(&self.0).try_acquire_many_owned(kilobytes).map_err(|_| {
            Error::new(
                Code::Throttled,
                "too many tasks wait for the store already; hand these over again in a moment",
            )
            .retry_after(Duration::from_secs(1))
        })
    }
}

#[cfg(test)]
mod tests {
    use haulier_core::{Kind, ManualClock, Payload, SeededEntropy, TaskId};

    use super::*;

    fn tasks(count: usize, bytes: usize) -> Vec<NewTask> {
        let (clock, dice) = (ManualClock::new(), SeededEntropy::from_u64(1));
        let payload = Payload::new(vec![0; bytes], "a/b");
        let task = |_| {
            let id = TaskId::generate(&clock, &dice);
            NewTask::new(id, Kind::new("k").unwrap(), payload.clone())
        };
        (0..count).map(task).collect()
    }

    #[test]
    fn whoever_finds_no_room_is_refused_until_somebody_has_left() {
        let room = Room::new();
        let large = tasks(1, limits::PAYLOAD_BYTES_MAX);
        let mut held = Vec::new();
        let refused = loop {
            match room.take(&large) {
                Ok(place) => held.push(place),
                Err(error) => break error,
            }
            assert!(held.len() < 100, "L5: there is room without end");
        };
        assert_eq!((refused.code(), held.len()), (Code::Throttled, 7));
        held.pop();
        assert!(room.take(&large).is_ok());
    }

    #[test]
    fn a_call_with_as_many_tasks_as_are_allowed_finds_room() {
        assert!(Room::new().take(&tasks(limits::ITEMS_MAX, 0)).is_ok());
    }
}
