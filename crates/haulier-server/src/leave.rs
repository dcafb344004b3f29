//! The way out for answers that may be large. Their room is taken before the store is asked, and
//! given back piece by piece as they are written or dropped: readers that ask and do not read must
//! not fill the memory (L5). Whoever finds no room waits for it, not for ever.
//!
//! A reader that takes nothing gives way: it loses its connection after [`PATIENCE`], and sooner
//! if others wait for the room.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use haulier_core::{Code, Error, Include, limits};
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::connection::Cut;
use crate::room::{Place, shrink};
use crate::shared::Shared;

/// The longest that a call waits for room: until readers that take nothing have given way.
const ROOM_WAIT: Duration = Duration::from_secs(15);
/// The longest that a reader may take for a piece.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same, if others wait for room.
const PATIENCE_IF_WANTED: Duration = Duration::from_secs(1);
/// An answer is written in pieces of so many bytes.
const PIECE_BYTES: usize = 64 * 1024;
/// What is read of the store stands in the memory about so often until it is on its way: as it was
/// read, as it is written, and what lies between.
const COPIES: usize = 4;
/// What a task takes besides its large parts, as a rule.
const BARE_TASK_BYTES: usize = 32 * 1024;

/// The room that an answer has.
#[derive(Debug, Clone)]
pub(crate) struct Held(Arc<Mutex<Option<Place>>>);

impl Held {
    fn new(place: Place) -> Self {
        Self(Arc::new(Mutex::new(Some(place))))
    }
}

impl Shared {
    /// Room for an answer with tasks, once there is some.
    ///
    /// # Errors
    /// [`Code::Throttled`] if answers that are not read fill it.
    pub(crate) async fn room_for_tasks(&self, include: Include) -> Result<Held, Error> {
        let bytes = COPIES * self.task_bytes_max(include).max(limits::PAGE_BYTES_MAX);
        tokio::select! {
            biased;
            Some(place) = self.answers.clone().wait(bytes as u64) => Ok(Held::new(place)),
            () = self.clock.sleep(ROOM_WAIT) => Err(no_room()),
        }
    }

    /// Room for leases, which are there and do not wait.
    ///
    /// # Errors
    /// [`Code::Throttled`] if answers that are not read fill it.
    pub(crate) fn room_for_leases(&self, bytes: usize) -> Result<Held, Error> {
        let bytes = COPIES * (bytes + PIECE_BYTES);
        self.answers.try_take(bytes as u64).map(Held::new).ok_or_else(no_room)
    }

    /// How many tasks may be read at once, without knowing how large they are.
    pub(crate) fn tasks_at_once(&self, include: Include) -> usize {
        (2 * limits::PAGE_BYTES_MAX / self.task_bytes_max(include)).max(1)
    }

    /// What a task takes at most with these parts.
    fn task_bytes_max(&self, include: Include) -> usize {
        let payload = self.capabilities().payload_bytes_max;
        let if_has = |has: bool, bytes: usize| if has { bytes } else { 0 };
        BARE_TASK_BYTES
            + if_has(include.payload, payload)
            + if_has(include.result, payload)
            + if_has(include.checkpoints, limits::CHECKPOINTS_BYTES_MAX)
    }
}

fn no_room() -> Error {
    let text = "answers that nobody reads fill the room for answers; nothing was done, repeat this \
                call in a moment";
    Error::new(Code::Throttled, text).retry_after(Duration::from_secs(1))
}

/// Lets an answer go, in pieces that keep its room until they are written.
pub(crate) async fn leave(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let cut = request.extensions().get::<Cut>().cloned();
    let mut response = next.run(request).await;
    let held = response.extensions_mut().remove::<Held>();
    let Some(place) = held.and_then(|held| held.0.lock().take()) else { return response };
    response.map(|body| {
        let (gone, going) = watch::channel(());
        if let Some(cut) = cut {
            tokio::spawn(urge(shared, going, cut));
        }
        Body::new(Leaving::new(body, place, gone))
    })
}

/// Cuts the connection off whose reader takes no piece for too long.
async fn urge(shared: Shared, mut going: watch::Receiver<()>, cut: Cut) {
    loop {
        tokio::select! {
            biased;
            gone = going.changed() => if gone.is_err() { return },
            () = patience(&shared) => {
                tracing::debug!("a reader that does not read its answer is cut off");
                return cut.off();
            }
        }
    }
}

async fn patience(shared: &Shared) {
    let until = shared.clock.monotonic().saturating_add(PATIENCE);
    while shared.clock.monotonic() < until {
        shared.clock.sleep(PATIENCE_IF_WANTED).await;
        if shared.answers.is_wanted() {
            return;
        }
    }
}

/// An answer on its way.
struct Leaving {
    body: Body,
    /// What came of it, and has not left.
    rest: Bytes,
    /// The room of that.
    place: Place,
    gone: watch::Sender<()>,
}

impl Leaving {
    fn new(body: Body, mut place: Place, gone: watch::Sender<()>) -> Self {
        // An answer that is written already needs no more than itself.
        if let Some(bytes) = body.size_hint().exact() {
            shrink(&mut place, bytes);
        }
        Self { body, rest: Bytes::new(), place, gone }
    }

    /// The next piece, with its part of the room.
    fn piece(&mut self) -> Bytes {
        let bytes = self.rest.split_to(self.rest.len().min(PIECE_BYTES));
        let left = self.place.num_permits();
        let share = if self.rest.is_empty() { left } else { left.min(PIECE_BYTES / 1024) };
        Bytes::from_owner(Piece { bytes, _place: self.place.split(share), gone: self.gone.clone() })
    }
}

impl HttpBody for Leaving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            match frame.into_data() {
                Ok(data) => {
                    // What it was made of is gone.
                    shrink(&mut self.place, data.len() as u64);
                    self.rest = data;
                }
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        Poll::Ready(Some(Ok(Frame::data(self.piece()))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (body, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + rest);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

/// A part of an answer, until it is written or dropped.
struct Piece {
    bytes: Bytes,
    _place: Option<Place>,
    gone: watch::Sender<()>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.gone.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use haulier_core::{ManualClock, SeededEntropy, Store};

    use super::*;

    fn shared(clock: &ManualClock) -> Shared {
        let clock = Arc::new(clock.clone());
        let store: Arc<dyn Store> = Arc::new(haulier_memory::MemoryStore::new(clock.clone()));
        Shared::new(store, clock, Arc::new(SeededEntropy::from_u64(1)))
    }

    /// An answer of so many bytes that found room, and how its reader is told to go.
    async fn answer(shared: &Shared, bytes: usize) -> Body {
        let held = shared.room_for_tasks(Include::ALL).await.unwrap();
        let place = held.0.lock().take().unwrap();
        let (gone, _) = watch::channel(());
        Body::new(Leaving::new(Body::from(vec![b'x'; bytes]), place, gone))
    }

    /// Answers of megabytes that nobody reads, as many as find room.
    async fn unread(shared: &Shared) -> Vec<Body> {
        let mut unread = Vec::new();
        loop {
            let mut asking = Box::pin(answer(shared, 5 << 20));
            match futures_util::poll!(&mut asking) {
                Poll::Ready(body) => unread.push(body),
                Poll::Pending => return unread,
            }
            assert!(unread.len() < 100, "L5: there is room without end");
        }
    }

    #[tokio::test]
    async fn answers_that_nobody_reads_keep_their_room_until_they_are_dropped() {
        let shared = shared(&ManualClock::new());
        let mut unread = unread(&shared).await;
        assert_eq!(unread.len(), 17, "of megabytes, in 96");
        unread.truncate(13);
        assert!(futures_util::poll!(Box::pin(answer(&shared, 1))).is_ready());
    }

    #[tokio::test]
    async fn who_finds_no_room_for_an_answer_waits_for_it_and_not_for_ever() {
        let clock = ManualClock::new();
        let shared = shared(&clock);
        let _unread = unread(&shared).await;
        let mut asking = Box::pin(shared.room_for_tasks(Include::default()));
        assert!(futures_util::poll!(&mut asking).is_pending());
        assert!(shared.answers.is_wanted());
        clock.advance(ROOM_WAIT);
        let refused = asking.await.unwrap_err();
        assert_eq!((refused.code(), refused.is_retryable()), (Code::Throttled, true));
        assert!(!shared.answers.is_wanted());
    }

    #[tokio::test]
    async fn what_is_read_gives_its_room_back_and_arrives_byte_for_byte() {
        let shared = shared(&ManualClock::new());
        let free = |shared: &Shared| shared.answers.try_take(96 << 20).is_some();
        let sent: Vec<u8> = (0..=255).cycle().take(3 * PIECE_BYTES + 5).collect();
        let held = shared.room_for_tasks(Include::ALL).await.unwrap();
        let place = held.0.lock().take().unwrap();
        let (gone, mut going) = watch::channel(());
        let mut body = Body::new(Leaving::new(Body::from(sent.clone()), place, gone));
        assert_eq!(body.size_hint().exact(), Some(sent.len() as u64));
        let mut pieces = Vec::new();
        let mut stream = std::mem::take(&mut body).into_data_stream();
        while let Some(piece) = stream.next().await {
            pieces.push(piece.unwrap());
            assert!(!going.has_changed().unwrap(), "nothing is written yet");
        }
        assert_eq!(pieces.concat(), sent);
        drop(stream);
        assert!(!free(&shared), "what was taken and not written keeps its room");
        drop(pieces.pop());
        assert!(going.has_changed().unwrap());
        drop(pieces);
        assert!(free(&shared));
        assert!(going.changed().await.is_ok() && going.changed().await.is_err(), "it is over");
    }

    #[tokio::test]
    async fn a_reader_that_takes_nothing_gives_way_after_a_while_and_sooner_to_others() {
        let clock = ManualClock::new();
        let shared = shared(&clock);
        let unread = unread(&shared).await;
        let (gone, going) = watch::channel(());
        let mut urging = Box::pin(urge(shared.clone(), going, Cut::default()));
        assert!(futures_util::poll!(&mut urging).is_pending());
        for _ in 0..5 {
            clock.advance(PATIENCE_IF_WANTED);
            assert!(futures_util::poll!(&mut urging).is_pending());
        }
        gone.send_replace(());
        for _ in 0..9 {
            assert!(futures_util::poll!(&mut urging).is_pending(), "it reads");
            clock.advance(PATIENCE_IF_WANTED);
        }
        clock.advance(PATIENCE_IF_WANTED);
        assert!(futures_util::poll!(&mut urging).is_ready(), "L5: it takes nothing");
        let mut asking = Box::pin(shared.room_for_tasks(Include::default()));
        assert!(futures_util::poll!(&mut asking).is_pending());
        let mut urging = Box::pin(urge(shared.clone(), gone.subscribe(), Cut::default()));
        assert!(futures_util::poll!(&mut urging).is_pending());
        clock.advance(PATIENCE_IF_WANTED);
        assert!(futures_util::poll!(&mut urging).is_ready(), "L6: others wait");
        drop(unread);
    }

    #[tokio::test]
    async fn the_largest_answer_finds_room() {
        let clock = Arc::new(ManualClock::new());
        let store = haulier_memory::MemoryStore::new(clock.clone())
            .with_payload_bytes_max(limits::PAYLOAD_BYTES_MAX);
        let shared = Shared::new(Arc::new(store), clock, Arc::new(SeededEntropy::from_u64(1)));
        assert!(shared.room_for_tasks(Include::ALL).await.is_ok());
        assert!(shared.room_for_leases(limits::MESSAGE_BYTES_MAX).is_ok());
        assert_eq!(shared.tasks_at_once(Include::ALL), 1);
    }
}
