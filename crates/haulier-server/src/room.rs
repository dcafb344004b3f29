//! How much of what callers hand over the server may hold at a time: bodies that are coming in,
//! and what waits for the store. A store that stands still (a hung disk) must not fill the memory
//! (L5): a call that finds no room is refused at once, and may come again; a worker's stream is
//! read on when there is room, before any new call gets some.

use std::sync::Arc;
use std::time::Duration;

use haulier_core::probe::planted;
use haulier_core::{Code, Error, limits};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Kilobytes that there is room for.
const KILOBYTES_MAX: usize = 96 * 1024;
/// What a task takes besides its payload, about.
const ENVELOPE_BYTES: u64 = 1024;

const _: () = assert!(
    limits::MESSAGE_BYTES_MAX + limits::ITEMS_MAX * 1024 < KILOBYTES_MAX * 1024,
    "the largest call finds room"
);

/// The room of one server. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Room(Arc<Semaphore>);

/// What somebody has of it, until it is dropped.
pub(crate) type Place = OwnedSemaphorePermit;

impl Room {
    /// Nobody is in it.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(KILOBYTES_MAX)))
    }

    /// Room for so many tasks, besides their payloads: the bodies in which they came have theirs.
    ///
    /// # Errors
    /// [`Code::Throttled`] if there is none.
    pub(crate) fn take_for_tasks(&self, count: usize) -> Result<Place, Error> {
        self.take(kilobytes(count as u64 * ENVELOPE_BYTES))
    }

    /// Makes a place one for so many bytes.
    ///
    /// # Errors
    /// [`Code::Throttled`] if there is no room; the place stays as it is.
    pub(crate) fn grow(&self, place: &mut Option<Place>, bytes: u64) -> Result<(), Error> {
        let has = place.as_ref().map_or(0, Place::num_permits);
        let more = kilobytes(bytes).saturating_sub(has);
        if more > 0 {
            let more = self.take(more)?;
            match place {
                Some(place) => place.merge(more),
                None => *place = Some(more),
            }
        }
        Ok(())
    }

    /// Room for so many bytes, once there is some.
    pub(crate) async fn wait(self, bytes: u64) -> Option<Place> {
        let kilobytes = kilobytes(bytes).min(KILOBYTES_MAX);
        let kilobytes = u32::try_from(kilobytes).unwrap_or(u32::MAX);
        self.0.acquire_many_owned(kilobytes).await.ok()
    }

    fn take(&self, kilobytes: usize) -> Result<Place, Error> {
        // More than a semaphore can count is more than there is.
        let kilobytes = u32::try_from(kilobytes).unwrap_or(u32::MAX);
        Arc::clone(&self.0).try_acquire_many_owned(kilobytes).map_err(|_| {
            Error::new(
                Code::Throttled,
                "too much waits for the store already; repeat this call in a moment",
            )
            .retry_after(Duration::from_secs(1))
        })
    }
}

fn kilobytes(bytes: u64) -> usize {
    if planted("endless-inbox") {
        return 0;
    }
    usize::try_from(bytes.div_ceil(1024)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGEST: u64 = limits::MESSAGE_BYTES_MAX as u64;

    /// Fills a room with the largest calls that there are.
    fn filled(room: &Room) -> Vec<Place> {
        let mut held = Vec::new();
        loop {
            let mut place = None;
            match room.grow(&mut place, LARGEST) {
                Ok(()) => held.extend(place),
                Err(refused) => {
                    assert_eq!(refused.code(), Code::Throttled);
                    return held;
                }
            }
            assert!(held.len() < 100, "L5: there is room without end");
        }
    }

    #[test]
    fn whoever_finds_no_room_is_refused_until_somebody_has_left() {
        let room = Room::new();
        let mut held = filled(&room);
        assert_eq!(held.len(), 4);
        held.pop();
        assert!(room.grow(&mut None, LARGEST).is_ok());
    }

    #[test]
    fn a_place_grows_with_what_has_come_and_ends_as_a_whole() {
        let room = Room::new();
        let mut place = None;
        for bytes in [1, 1_024, 1_025, 10_000, 10_000] {
            room.grow(&mut place, bytes).unwrap();
        }
        assert_eq!(place.as_ref().map(OwnedSemaphorePermit::num_permits), Some(10));
        drop(place);
        assert_eq!(room.0.available_permits(), KILOBYTES_MAX);
    }

    #[tokio::test]
    async fn who_waits_for_room_comes_before_who_does_not() {
        let room = Room::new();
        let mut held = filled(&room);
        let mut waiting = Box::pin(room.clone().wait(2 * LARGEST));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        held.pop();
        assert!(room.grow(&mut None, LARGEST).is_err(), "what was left is kept for who waits");
        held.pop();
        assert!(waiting.await.is_some());
    }

    #[test]
    fn a_call_with_as_many_tasks_as_are_allowed_finds_room() {
        let room = Room::new();
        let mut body = None;
        room.grow(&mut body, LARGEST).unwrap();
        assert!(room.take_for_tasks(limits::ITEMS_MAX).is_ok());
    }
}
