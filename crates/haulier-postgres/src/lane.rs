//! Merging of calls: while a statement is out, calls of the same verb gather, and the next one
//! carries them all. A database does a thousand tasks in a statement for a fraction of what a
//! thousand statements cost.
//!
//! A call is never split, and the first one goes out at once. While one is out, a small call goes
//! out beside it, because it is soon done; a large one waits until a statement is full or the one
//! that is out is back, for half-full statements cost more. Calls that wait are bounded in bytes;
//! beyond that stands [`Code::Throttled`].

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use haulier_core::{Code, Error, Result, limits};
use tokio::sync::oneshot;

/// Statements of one verb that are out at a time: one is carried out while the next one is written.
const OUT_MAX: usize = 2;
/// What is smaller does not wait for company.
const SMALL: usize = limits::ITEMS_MAX / 10;
/// Bytes of calls that wait.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The calls of one verb: `T` in, one `R` each, in the same order.
pub(crate) struct Lane<T, R>(Mutex<Waiting<T, R>>);

struct Waiting<T, R> {
    calls: VecDeque<Call<T, R>>,
    items: usize,
    bytes: usize,
    out: usize,
}

struct Call<T, R> {
    items: Vec<T>,
    bytes: usize,
    answer: oneshot::Sender<Result<Vec<R>>>,
}

impl<T, R> Default for Lane<T, R> {
    fn default() -> Self {
        Self(Mutex::new(Waiting { calls: VecDeque::new(), items: 0, bytes: 0, out: 0 }))
    }
}

impl<T, R> fmt::Debug for Lane<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.lock();
        f.debug_struct("Lane")
            .field("calls", &waiting.calls.len())
            .field("out", &waiting.out)
            .finish()
    }
}

/// A verb over many items; what it needs, it holds.
pub(crate) type Verb<T, R> =
    Arc<dyn Fn(Vec<T>) -> BoxFuture<'static, Result<Vec<R>>> + Send + Sync>;

impl<T: Send + 'static, R: Send + 'static> Lane<T, R> {
    /// Carries `verb` out on these items, which are so many bytes, together with those of others.
    /// It goes on if the caller does not wait for the answer.
    pub(crate) async fn call(
        self: &Arc<Self>,
        items: Vec<T>,
        bytes: usize,
        verb: Verb<T, R>,
    ) -> Result<Vec<R>> {
        let (answer, answered) = oneshot::channel();
        let goes = {
            let mut waiting = self.lock();
            if waiting.bytes > 0 && waiting.bytes + bytes > WAITING_BYTES_MAX {
                return Err(full(waiting.bytes));
            }
            waiting.bytes += bytes;
            waiting.items += items.len();
            waiting.calls.push_back(Call { items, bytes, answer });
            let worth = waiting.items < SMALL || waiting.items >= limits::ITEMS_MAX;
            let goes = waiting.out == 0 || (waiting.out < OUT_MAX && worth);
            waiting.out += usize::from(goes);
            goes
        };
        if goes {
            let ride = Ride { lane: Arc::clone(self), over: false };
            tokio::spawn(async move { ride.go(verb).await });
        }
        answered.await.unwrap_or_else(|_| Err(Error::internal("a batch ended without an answer")))
    }

    /// The calls that the next statement carries. If there are none, one statement less is out.
    fn next(&self) -> Option<Vec<Call<T, R>>> {
        let mut waiting = self.lock();
        let (mut items, mut bytes) = (0, 0);
        let mut taken = Vec::new();
        while let Some(call) = waiting.calls.front() {
            items += call.items.len();
            bytes += call.bytes;
            let fits = items <= limits::ITEMS_MAX && bytes <= limits::FRAME_BYTES_MAX;
            if !taken.is_empty() && !fits {
                break;
            }
            taken.extend(waiting.calls.pop_front());
        }
        waiting.bytes -= taken.iter().map(|call| call.bytes).sum::<usize>();
        waiting.items -= taken.iter().map(|call| call.items.len()).sum::<usize>();
        if taken.is_empty() {
            // In one step with having found nothing, or a call could come in between and wait for
            // ever.
            waiting.out -= 1;
            return None;
        }
        Some(taken)
    }
}

impl<T, R> Lane<T, R> {
    fn lock(&self) -> MutexGuard<'_, Waiting<T, R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of those that carry calls out, until none is left.
struct Ride<T, R> {
    lane: Arc<Lane<T, R>>,
    over: bool,
}

impl<T, R> Drop for Ride<T, R> {
    /// A ride that ended in a panic, or with the runtime, leaves nobody waiting for it.
    fn drop(&mut self) {
        if !self.over {
            let mut waiting = self.lane.lock();
            waiting.out -= 1;
            if waiting.out == 0 {
                waiting.calls.clear();
                (waiting.items, waiting.bytes) = (0, 0);
            }
        }
    }
}

impl<T: Send + 'static, R: Send + 'static> Ride<T, R> {
    async fn go(mut self, verb: Verb<T, R>) {
        while let Some(calls) = self.lane.next() {
            let mut items = Vec::with_capacity(calls.iter().map(|call| call.items.len()).sum());
            let mut waiters = Vec::with_capacity(calls.len());
            for call in calls {
                waiters.push((call.items.len(), call.answer));
                items.extend(call.items);
            }
            match verb(items).await {
                Ok(answers) => {
                    let mut answers = answers.into_iter();
                    for (count, waiter) in waiters {
                        // Who does not wait any more does not want to know.
                        drop(waiter.send(Ok(answers.by_ref().take(count).collect())));
                    }
                }
                Err(error) => {
                    for (_, waiter) in waiters {
                        drop(waiter.send(Err(error.clone())));
                    }
                }
            }
        }
        self.over = true;
    }
}

fn full(bytes: usize) -> Error {
    let text = format!(
        "{bytes} bytes of calls wait for the database already; send less at a time, or look at \
         what slows it down"
    );
    Error::new(Code::Throttled, text).retry_after(Duration::from_millis(100))
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    fn verb(gate: &Arc<Semaphore>, sizes: &Arc<Mutex<Vec<usize>>>) -> Verb<u32, u32> {
        let (gate, sizes) = (Arc::clone(gate), Arc::clone(sizes));
        Arc::new(move |items| {
            sizes.lock().unwrap().push(items.len());
            let gate = Arc::clone(&gate);
            Box::pin(async move {
                gate.acquire().await.unwrap().forget();
                Ok(items.into_iter().map(|item| item * 2).collect())
            })
        })
    }

    /// How many statements are out, and how many calls wait.
    fn state(lane: &Lane<u32, u32>) -> (usize, usize) {
        let waiting = lane.lock();
        (waiting.out, waiting.calls.len())
    }

    #[tokio::test]
    async fn calls_that_come_while_statements_are_out_go_together_and_each_gets_its_answers() {
        let lane = Arc::new(Lane::default());
        let (gate, sizes) = (Arc::new(Semaphore::new(0)), Arc::new(Mutex::new(Vec::new())));
        let call = |item: u32| {
            let (lane, verb) = (Arc::clone(&lane), verb(&gate, &sizes));
            tokio::spawn(async move { lane.call(vec![item, item + 1], 8, verb).await })
        };
        let mut calls = Vec::new();
        for at in 0..10 {
            calls.push(call(at * 10));
            let wanted = if at < 2 { (at as usize + 1, 0) } else { (2, at as usize - 1) };
            while state(&lane) != wanted {
                tokio::task::yield_now().await;
            }
        }
        gate.add_permits(100);
        for (at, call) in (0..10).zip(calls) {
            assert_eq!(call.await.unwrap().unwrap(), [at * 20, at * 20 + 2]);
        }
        assert_eq!(*sizes.lock().unwrap(), [2, 2, 16]);
        assert_eq!(state(&lane), (0, 0));
    }

    #[tokio::test]
    async fn a_large_call_waits_for_company_while_another_is_out_until_a_statement_is_full() {
        let lane = Arc::new(Lane::default());
        let (gate, sizes) = (Arc::new(Semaphore::new(0)), Arc::new(Mutex::new(Vec::new())));
        let mut calls = Vec::new();
        let half = limits::ITEMS_MAX / 2;
        for (size, wanted) in [(half, (1, 0)), (half, (1, 1)), (half, (2, 0)), (SMALL, (2, 1))] {
            let (lane, verb) = (Arc::clone(&lane), verb(&gate, &sizes));
            let own = Arc::clone(&lane);
            calls.push(tokio::spawn(async move { own.call(vec![1; size], 8, verb).await }));
            while state(&lane) != wanted {
                tokio::task::yield_now().await;
            }
        }
        gate.add_permits(100);
        for call in calls {
            call.await.unwrap().unwrap();
        }
        assert_eq!(*sizes.lock().unwrap(), [half, 2 * half, SMALL]);
    }

    #[tokio::test]
    async fn more_than_may_wait_is_refused_and_nothing_of_it_is_done() {
        let lane = Arc::new(Lane::default());
        let (gate, sizes) = (Arc::new(Semaphore::new(0)), Arc::new(Mutex::new(Vec::new())));
        let large = WAITING_BYTES_MAX / 2 + 1;
        let mut calls = Vec::new();
        for (out, waiting) in [(1, 0), (2, 0), (2, 1)] {
            let (lane, verb) = (Arc::clone(&lane), verb(&gate, &sizes));
            let own = Arc::clone(&lane);
            calls.push(tokio::spawn(async move { own.call(vec![1], large, verb).await }));
            while state(&lane) != (out, waiting) {
                tokio::task::yield_now().await;
            }
        }
        let error = lane.call(vec![1], large, verb(&gate, &sizes)).await.unwrap_err();
        assert_eq!(error.code(), Code::Throttled);
        gate.add_permits(100);
        for call in calls {
            call.await.unwrap().unwrap();
        }
        assert_eq!(*sizes.lock().unwrap(), [1, 1, 1]);
    }
}
