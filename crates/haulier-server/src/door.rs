//! The way in for bodies, of whichever protocol: a body comes within its time, and takes room from
//! its first byte until its call is answered. A store that stands still (a hung disk), or callers
//! that never end their bodies, must not fill the memory (L5): who finds no room is refused.
//!
//! Streams of workers last, so they pass; what comes on them finds room frame by frame.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody as _};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use haulier_core::{Code, Error};
use haulier_wire::status::to_status;
use parking_lot::Mutex;

use crate::grpc;
use crate::room::Place;
use crate::shared::Shared;

/// A body may take this long to arrive, and longer only if it comes at
/// [`BODY_BYTES_PER_SECOND_MIN`].
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
const BODY_BYTES_PER_SECOND_MIN: u64 = 1_024;
/// Calls whose bodies are streams.
const STREAMS: [&str; 2] = ["/Work", "/ServerReflectionInfo"];

/// Why a body does not come in.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Stopped {
    #[error("the body takes too long to arrive; nothing was done")]
    Late,
    #[error(transparent)]
    NoRoom(Error),
}

impl Stopped {
    /// What stopped a body, if it was stopped here; otherwise the caller ended it.
    pub(crate) fn of<'a>(mut error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        loop {
            match error.downcast_ref() {
                Some(stopped) => return Some(stopped),
                None => error = error.source()?,
            }
        }
    }

    fn to_error(&self) -> Error {
        match self {
            Self::Late => Error::new(Code::Invalid, self.to_string()),
            Self::NoRoom(error) => error.clone(),
        }
    }
}

/// Lets a call in, and keeps its room until it is answered.
pub(crate) async fn door(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_grpc = grpc::is_grpc(request.headers());
    let lasts = is_grpc && STREAMS.iter().any(|stream| path.ends_with(stream));
    if lasts || request.body().is_end_stream() {
        return next.run(request).await;
    }
    let place = Arc::default();
    let request = request.map(|body| {
        let body = Coming::new(shared, body, Arc::clone(&place)).pieces();
        if is_grpc {
            Body::from_stream(body.map(|piece| piece.map_err(as_status)))
        } else {
            Body::from_stream(body)
        }
    });
    let response = next.run(request).await;
    drop(place);
    response
}

/// What gRPC tells of an error in a body, if it is a status.
fn as_status(error: axum::Error) -> axum::Error {
    match Stopped::of(&error) {
        Some(stopped) => axum::Error::new(to_status(&stopped.to_error())),
        None => error,
    }
}

/// A body on its way in.
struct Coming {
    shared: Shared,
    body: BodyDataStream,
    begun: Duration,
    bytes: u64,
    place: Arc<Mutex<Option<Place>>>,
}

impl Coming {
    fn new(shared: Shared, body: Body, place: Arc<Mutex<Option<Place>>>) -> Self {
        let begun = shared.clock.monotonic();
        Self { shared, body: body.into_data_stream(), begun, bytes: 0, place }
    }

    fn pieces(self) -> impl stream::Stream<Item = Result<Bytes, axum::Error>> + Send {
        stream::unfold(Some(self), async |coming| {
            let mut coming = coming?;
            let piece = coming.next().await?;
            let rest = piece.is_ok().then_some(coming);
            Some((piece, rest))
        })
    }

    async fn next(&mut self) -> Option<Result<Bytes, axum::Error>> {
        let earned = Duration::from_secs(self.bytes / BODY_BYTES_PER_SECOND_MIN);
        let passed = self.shared.clock.monotonic().saturating_sub(self.begun);
        let left = (BODY_TIMEOUT + earned).saturating_sub(passed);
        let piece = tokio::select! {
            piece = self.body.next() => piece?,
            () = self.shared.clock.sleep(left) => return Some(Err(axum::Error::new(Stopped::Late))),
        };
        Some(piece.and_then(|piece| {
            self.bytes += piece.len() as u64;
            let grown = self.shared.room.grow(&mut self.place.lock(), self.bytes);
            grown.map(|()| piece).map_err(|error| axum::Error::new(Stopped::NoRoom(error)))
        }))
    }
}
