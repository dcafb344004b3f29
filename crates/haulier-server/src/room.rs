//! How much the server may hold for callers at a time (L5), in two rooms. In one is what they hand
//! over: bodies that are coming in, and what waits for the store. A store that stands still (a hung
//! disk) must not fill the memory: a call that finds no room is refused at once, and may come
//! again; a worker's stream is read on when there is room, before any new call gets some. In the
//! other are answers on their way out ([`crate::leave`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use haulier_core::probe::planted;
use haulier_core::{Code, Error, limits};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Kilobytes that there is room for, in each.
const KILOBYTES_MAX: usize = 96 * 1024;
/// What a task takes besides its payload, about.
const ENVELOPE_BYTES: u64 = 1024;

const _: () = assert!(
    limits::MESSAGE_BYTES_MAX + limits::ITEMS_MAX * 1024 < KILOBYTES_MAX * 1024,
    "the largest call finds room"
);

/// A room of one server. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    places: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

/// What somebody has of it, until it is dropped.
pub(crate) type Place = OwnedSemaphorePermit;

impl Room {
    /// Nobody is in it.
    pub(crate) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(KILOBYTES_MAX)), waiting: Arc::default() }
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

    /// Room for so many bytes, once there is some; all of it if they are more.
    pub(crate) async fn wait(self, bytes: u64) -> Option<Place> {
        let kilobytes = kilobytes(bytes).min(KILOBYTES_MAX);
        let kilobytes = u32::try_from(kilobytes).unwrap_or(u32::MAX);
        let _waiting = Waiting::new(&self.waiting);
        self.places.acquire_many_owned(kilobytes).await.ok()
    }

    /// Room for so many bytes, if there is some now.
    pub(crate) fn try_take(&self, bytes: u64) -> Option<Place> {
        let kilobytes = u32::try_from(kilobytes(bytes).min(KILOBYTES_MAX)).unwrap_or(u32::MAX);
        Arc::clone(&self.places).try_acquire_many_owned(kilobytes).ok()
    }

    /// Whether somebody waits for room.
    pub(crate) fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    fn take(&self, kilobytes: usize) -> Result<Place, Error> {
        // More than a semaphore can count is more than there is.
        let kilobytes = u32::try_from(kilobytes).unwrap_or(u32::MAX);
        Arc::clone(&self.places).try_acquire_many_owned(kilobytes).map_err(|_| {
            Error::new(
                Code::Throttled,
                "too much waits for the store already; repeat this call in a moment",
            )
            .retry_after(Duration::from_secs(1))
        })
    }
}

/// Somebody who waits for room, until it is dropped.
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn new(waiting: &Arc<AtomicUsize>) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(waiting))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Gives back of a place what so many bytes do not need.
pub(crate) fn shrink(place: &mut Place, bytes: u64) {
    let spare = place.num_permits().saturating_sub(kilobytes(bytes));
    drop(place.split(spare));
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
        assert_eq!(room.places.available_permits(), KILOBYTES_MAX);
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
