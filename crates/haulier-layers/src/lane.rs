//! One lane of calls: items that are brought while a call is out go together with the next one. No
//! timer and no task of its own: whoever waits for an answer drives the call, and if it goes away,
//! another one who waits goes on with the same call.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use haulier_core::limits::{FRAME_BYTES_MAX, ITEMS_MAX};
use haulier_core::{Error, Result};
use tokio::sync::{Mutex as AsyncMutex, oneshot};

type Call<A> = Pin<Box<dyn Future<Output = Result<Vec<A>>> + Send>>;
type MakeCall<T, A> = Box<dyn Fn(Vec<T>) -> Call<A> + Send + Sync>;

/// How many items a caller brought, and where their answers go.
type Caller<A> = (usize, oneshot::Sender<Result<Vec<A>>>);

/// Items of one caller, and where their answers go.
struct Parcel<T, A> {
    number: u64,
    items: Vec<T>,
    bytes: usize,
    answer: oneshot::Sender<Result<Vec<A>>>,
}

/// Who asked, and what the call gave.
type Answered<A> = (Vec<Caller<A>>, Result<Vec<A>>);

/// A call that is out, and whose items it carries.
struct Out<A> {
    call: Call<A>,
    callers: Vec<Caller<A>>,
}

/// Parcels that no call carries yet, by number.
struct Waiting<T, A> {
    parcels: VecDeque<Parcel<T, A>>,
    last: u64,
}

/// Merges calls of one verb.
pub(crate) struct Lane<T, A> {
    make: MakeCall<T, A>,
    weigh: fn(&T) -> usize,
    waiting: Mutex<Waiting<T, A>>,
    out: AsyncMutex<Option<Out<A>>>,
}

impl<T, A> Lane<T, A>
where
    T: Send + 'static,
    A: Send + 'static,
{
    /// A lane whose calls are made by `make`; `weigh` says about how many bytes an item has.
    pub fn new(
        weigh: fn(&T) -> usize,
        make: impl Fn(Vec<T>) -> Call<A> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            make: Box::new(make),
            weigh,
            waiting: Mutex::new(Waiting { parcels: VecDeque::new(), last: 0 }),
            out: AsyncMutex::default(),
        })
    }

    /// Sends items with whatever else waits, and gives their answers. A caller that goes away takes
    /// along what no call carries yet, so that a call that hangs gathers nothing behind it; what is
    /// out is carried to its end, as a call whose answer is lost.
    pub async fn send(&self, items: Vec<T>) -> Result<Vec<A>> {
        let (answer, mut answered) = oneshot::channel();
        let _stand = self.stand(items, answer);
        let mut drive = pin!(self.drive());
        poll_fn(|cx| {
            // The answer may come by somebody else's driving; only then is there nothing left to
            // drive.
            if let Poll::Ready(answer) = Pin::new(&mut answered).poll(cx) {
                return Poll::Ready(answer.unwrap_or_else(|_| Err(lost())));
            }
            if drive.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            // Not polled: a task that has polled as often as its runtime allows at a time would be
            // told to wait although the answer is here, and take it for lost.
            Poll::Ready(answered.try_recv().unwrap_or_else(|_| Err(lost())))
        })
        .await
    }

    fn stand(&self, items: Vec<T>, answer: oneshot::Sender<Result<Vec<A>>>) -> Stand<'_, T, A> {
        let bytes = items.iter().map(self.weigh).sum();
        let mut waiting = self.lock();
        waiting.last += 1;
        let number = waiting.last;
        waiting.parcels.push_back(Parcel { number, items, bytes, answer });
        Stand { waiting: &self.waiting, number }
    }

    /// Makes calls until nothing waits.
    async fn drive(&self) {
        let mut out = self.out.lock().await;
        loop {
            if out.is_none() {
                *out = self.next();
            }
            if out.is_none() {
                return;
            }
            let (callers, answers) = poll_fn(|cx| advance(&mut out, cx)).await;
            deliver(callers, answers);
        }
    }

    /// The next call: as many parcels as fit, at least one.
    fn next(&self) -> Option<Out<A>> {
        let mut waiting = self.lock();
        let (mut count, mut bytes, mut parcels) = (0, 0, 0);
        for parcel in &waiting.parcels {
            count += parcel.items.len();
            bytes += parcel.bytes;
            if parcels > 0 && (count > ITEMS_MAX || bytes > FRAME_BYTES_MAX) {
                break;
            }
            parcels += 1;
        }
        if parcels == 0 {
            return None;
        }
        let mut items = Vec::with_capacity(count);
        let mut callers = Vec::with_capacity(parcels);
        for parcel in waiting.parcels.drain(..parcels) {
            callers.push((parcel.items.len(), parcel.answer));
            items.extend(parcel.items);
        }
        drop(waiting);
        Some(Out { call: (self.make)(items), callers })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T, A>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A caller's stand in the lane. With the caller goes its parcel, if no call has taken it.
struct Stand<'a, T, A> {
    waiting: &'a Mutex<Waiting<T, A>>,
    number: u64,
}

impl<T, A> Drop for Stand<'_, T, A> {
    fn drop(&mut self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let found = waiting.parcels.binary_search_by_key(&self.number, |parcel| parcel.number);
        if let Ok(at) = found {
            waiting.parcels.remove(at);
        }
    }
}

/// Goes on with the call that is out. It stays in its place while it is pending, so that another
/// caller can go on with it; if it panics it is gone, and its callers are told that it was lost.
fn advance<A>(out: &mut Option<Out<A>>, cx: &mut Context<'_>) -> Poll<Answered<A>> {
    let Some(mut current) = out.take() else {
        return Poll::Ready((Vec::new(), Ok(Vec::new())));
    };
    match current.call.as_mut().poll(cx) {
        Poll::Ready(answers) => Poll::Ready((current.callers, answers)),
        Poll::Pending => {
            *out = Some(current);
            Poll::Pending
        }
    }
}

/// Gives every caller its share, or everybody the error.
fn deliver<A>(callers: Vec<Caller<A>>, answers: Result<Vec<A>>) {
    let asked: usize = callers.iter().map(|(count, _)| count).sum();
    let mut answers = match answers {
        Ok(answers) if answers.len() == asked => Ok(answers.into_iter()),
        Ok(_) => Err(Error::internal("the store gave another number of answers than asked")),
        Err(error) => Err(error),
    };
    for (count, caller) in callers {
        let share = match &mut answers {
            Ok(answers) => Ok(answers.take(count).collect()),
            Err(error) => Err(error.clone()),
        };
        // A caller that went away no longer asks.
        let _heard = caller.send(share).is_ok();
    }
}

/// The call was lost with whoever drove it.
fn lost() -> Error {
    let message = "the call was lost; repeat it with the same ids";
    Error::new(haulier_core::Code::UnknownOutcome, message)
}

impl<T, A> fmt::Debug for Lane<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lane")
    }
}
