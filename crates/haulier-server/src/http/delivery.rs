//! The body that hands leases out. A lease that cannot be written is released at once, so that a
//! client which is gone does not hold a task until its ttl runs out.
//!
//! What is known is what the connection took: a body that is dropped before it was taken and
//! flushed was not delivered. Bytes that the machine took and the client never read are found by
//! the ttl.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::Stream;
use haulier_core::{Directive, Error, Lease, LeaseKey, Outcome, Settlement, limits};
use http::{HeaderValue, header};

use super::problem::Fault;
use crate::api;
use crate::shared::Shared;

/// Leases on their way out; what is dropped on the way is released.
pub(super) struct Delivery {
    shared: Shared,
    keys: Vec<LeaseKey>,
    step: Step,
}

enum Step {
    /// To be written.
    Whole(Bytes),
    /// Written into the connection's buffer.
    Taken,
    /// The connection had its turn to flush the buffer.
    Flushed,
}

impl Delivery {
    /// The response that carries these leases; those that would make it too large are released.
    pub(super) fn response(shared: &Shared, leases: &[Lease], directive: Directive) -> Response {
        let (fit, bytes) = fitting(leases);
        let (leases, rest) = leases.split_at(fit);
        drop(Self::of(shared, rest));
        let mut delivery = Self::of(shared, leases);
        let held = match shared.room_for_leases(bytes) {
            Ok(held) => held,
            Err(full) => return Fault::from(full).into_response(),
        };
        let leases = api::Leases {
            leases: leases.iter().map(api::Lease::from).collect(),
            directive: api::Word(directive),
        };
        match serde_json::to_vec(&leases) {
            Ok(body) => {
                delivery.step = Step::Whole(body.into());
                let mut response = Body::from_stream(delivery).into_response();
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(header::CONTENT_TYPE, json);
                response.extensions_mut().insert(held);
                response
            }
            Err(error) => {
                let error =
                    Error::internal("the leases cannot be written as JSON").caused_by(error);
                Fault::from(error).into_response()
            }
        }
    }

    /// Leases that nobody has taken yet.
    fn of(shared: &Shared, leases: &[Lease]) -> Self {
        let keys = leases.iter().map(|lease| lease.key).collect();
        Self { shared: shared.clone(), keys, step: Step::Flushed }
    }
}

/// How many leases fit one answer, and their bytes; one does in any case.
fn fitting(leases: &[Lease]) -> (usize, usize) {
    let mut sum = 0;
    for (at, lease) in leases.iter().enumerate() {
        let checkpoints = lease.checkpoints.iter().map(|done| done.value.len());
        let bytes = lease.task.payload.bytes.len() + checkpoints.sum::<usize>();
        if at > 0 && sum + bytes > limits::FRAME_BYTES_MAX {
            return (at, sum);
        }
        sum += bytes;
    }
    (leases.len(), sum)
}

impl Stream for Delivery {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match std::mem::replace(&mut self.step, Step::Taken) {
            Step::Whole(body) => Poll::Ready(Some(Ok(body))),
            Step::Taken => {
                // One turn for the connection: it flushes when the body has nothing more, and fails
                // if the client has reset it.
                self.step = Step::Flushed;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Step::Flushed => {
                self.step = Step::Flushed;
                self.keys.clear();
                Poll::Ready(None)
            }
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        let keys = std::mem::take(&mut self.keys);
        // Without a runtime the process ends, and the leases run out.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if keys.is_empty() {
            return;
        }
        let store = self.shared.store.clone();
        runtime.spawn(async move {
            let count = keys.len();
            let release = |key| Settlement { key, outcome: Outcome::Release };
            match store.settle(keys.into_iter().map(release).collect()).await {
                Ok(_) => tracing::debug!(count, "released leases whose client was gone"),
                Err(error) => {
                    let code = error.code();
                    tracing::warn!(count, %code, "leases of a gone client run out: {error}");
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use futures_util::StreamExt as _;
    use haulier_core::{
        Include, Kind, ManualClock, NewTask, Payload, QueueName, SeededEntropy, State, Store,
        TaskId, Want, WorkerId,
    };

    use super::*;

    /// A store with one leased task, and the response that would hand it out.
    async fn leased() -> (Shared, TaskId, Response) {
        let clock = Arc::new(ManualClock::new());
        let store: Arc<dyn Store> = Arc::new(haulier_memory::MemoryStore::new(clock.clone()));
        let shared = Shared::new(store, clock, Arc::new(SeededEntropy::from_u64(1)));
        let id = shared.new_id();
        let task = NewTask::new(id, Kind::new("hello").unwrap(), Payload::json("{}"));
        shared.store.enqueue(vec![task]).await.unwrap();
        let want = Want::new(WorkerId::new("w").unwrap(), QueueName::default(), 1);
        let leases = shared.store.lease(vec![want], Duration::ZERO).await.unwrap().remove(0);
        let response = Delivery::response(&shared, &leases, Directive::Run);
        (shared, id, response)
    }

    async fn state(shared: &Shared, id: TaskId) -> State {
        // The release runs on a task of its own: let it.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let views = shared.store.get(vec![id], Include::default(), Duration::ZERO).await.unwrap();
        views[0].as_ref().unwrap().state()
    }

    #[tokio::test]
    async fn leases_that_nobody_takes_are_released_at_once() {
        let (shared, id, response) = leased().await;
        drop(response);
        assert_eq!(state(&shared, id).await, State::Available);
    }

    #[tokio::test]
    async fn leases_that_were_taken_and_not_flushed_are_released_at_once() {
        let (shared, id, response) = leased().await;
        let mut body = response.into_body().into_data_stream();
        assert!(body.next().await.is_some());
        drop(body);
        assert_eq!(state(&shared, id).await, State::Available);
    }

    #[tokio::test]
    async fn leases_that_were_written_stay_with_their_worker() {
        let (shared, id, response) = leased().await;
        let body = response.into_body().into_data_stream().collect::<Vec<_>>().await;
        assert_eq!(body.len(), 1);
        assert_eq!(state(&shared, id).await, State::Running);
    }
}
