//! Short words for the cases, so that a case reads as the sentence in its name. Everything here
//! goes through the traits; a call that fails or answers in the wrong shape ends the test where it
//! stands.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use haulier_core::limits;
use haulier_core::{
    Beat, Cause, Changed, Code, Enqueued, Error, Failure, Held, Include, Kind, Lease, LeaseBeat,
    LeaseKey, NewTask, Outcome, Payload, QueueName, QueueSettings, QueueStats, SettingsPatch,
    Settled, Settlement, State, TaskId, TaskView, Want, WantedQueue, WorkerId,
};

use tokio::sync::Barrier;
use tokio::task::JoinHandle;

use crate::Rig;

/// A second. Cases count in it.
pub const SECOND: Duration = Duration::from_secs(1);
/// What the cases' leases last unless a case says otherwise.
pub const TTL: Duration = Duration::from_secs(30);
/// Real time after which a wait that the contract ends is given up. It can only fail a test.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Ends the test if there is no value.
pub trait Must<T> {
    /// The value.
    fn must(self) -> T;
}

impl<T, E: fmt::Debug> Must<T> for Result<T, E> {
    #[track_caller]
    fn must(self) -> T {
        match self {
            Ok(value) => value,
            Err(error) => panic!("the call failed: {error:?}"),
        }
    }
}

impl<T> Must<T> for Option<T> {
    #[track_caller]
    fn must(self) -> T {
        match self {
            Some(value) => value,
            None => panic!("there is no value"),
        }
    }
}

/// The one item of an answer to one item.
#[track_caller]
pub fn only<T>(mut items: Vec<T>) -> T {
    assert_eq!(items.len(), 1, "one item was asked about");
    items.remove(0)
}

/// Milliseconds.
pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A queue of that name.
pub fn queue(name: &str) -> QueueName {
    QueueName::new(name).must()
}

/// A worker of that name.
pub fn worker(name: &str) -> WorkerId {
    WorkerId::new(name).must()
}

/// A kind of that name.
pub fn kind(name: &str) -> Kind {
    Kind::new(name).must()
}

/// An id that no other call returns; later ones sort after earlier ones.
pub fn new_id() -> TaskId {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    numbered_id(COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The id of that number.
pub fn numbered_id(number: u64) -> TaskId {
    let mut bytes = [0x42; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    TaskId::from_bytes(bytes)
}

/// A new task for the queue `default`, ready at once.
pub fn task() -> NewTask {
    NewTask::new(new_id(), kind("work"), Payload::json("{}"))
}

/// [`task`] with changes.
pub fn task_with(change: impl FnOnce(&mut NewTask)) -> NewTask {
    let mut task = task();
    change(&mut task);
    task
}

/// [`task`] for another queue.
pub fn task_in(name: &str) -> NewTask {
    task_with(|task| task.queue = queue(name))
}

/// Hands one task over and returns the answer.
pub async fn offer(rig: &impl Rig, task: NewTask) -> Enqueued {
    only(rig.queue().enqueue(vec![task]).await.must())
}

/// Stores one new task.
pub async fn put(rig: &impl Rig, task: NewTask) -> TaskId {
    match offer(rig, task).await {
        Enqueued::Inserted { id, .. } => id,
        other => panic!("the task was not inserted: {other:?}"),
    }
}

/// Stores new tasks, in one call.
pub async fn put_all(rig: &impl Rig, tasks: Vec<NewTask>) -> Vec<TaskId> {
    let answers = rig.queue().enqueue(tasks).await.must();
    answers
        .into_iter()
        .map(|answer| match answer {
            Enqueued::Inserted { id, .. } => id,
            other => panic!("a task was not inserted: {other:?}"),
        })
        .collect()
}

/// A want of worker `w` for up to `max` tasks of the queue `default`.
pub fn want(max: u32) -> Want {
    want_of("w", max)
}

/// A want of that worker for up to `max` tasks of the queue `default`.
pub fn want_of(name: &str, max: u32) -> Want {
    want_from(name, &["default"], max)
}

/// A want of that worker for up to `max` tasks, over those queues together.
pub fn want_from(name: &str, queues: &[&str], max: u32) -> Want {
    let queues: Arc<[WantedQueue]> =
        queues.iter().map(|name| WantedQueue { queue: queue(name), max }).collect();
    Want { worker: worker(name), queues, kinds: Arc::new([]), max, ttl: TTL }
}

/// What a want gets without waiting.
pub async fn lease(rig: &impl Rig, want: Want) -> Vec<Lease> {
    only(rig.queue().lease(vec![want], Duration::ZERO).await.must())
}

/// Up to `max` leases of the queue `default` for worker `w`.
pub async fn take(rig: &impl Rig, max: u32) -> Vec<Lease> {
    lease(rig, want(max)).await
}

/// The next task of the queue `default`, for worker `w`.
pub async fn take_one(rig: &impl Rig) -> Lease {
    only(take(rig, 1).await)
}

/// The next task of the queue `default`, for that worker.
pub async fn take_as(rig: &impl Rig, name: &str) -> Lease {
    only(lease(rig, want_of(name, 1)).await)
}

/// The ids of leases, in their order.
pub fn ids(leases: &[Lease]) -> Vec<TaskId> {
    leases.iter().map(|lease| lease.key.task).collect()
}

/// Ends a lease.
pub async fn settle(rig: &impl Rig, key: LeaseKey, outcome: Outcome) -> Settled {
    only(rig.queue().settle(vec![Settlement { key, outcome }]).await.must())
}

/// Completes a task without a result.
pub const COMPLETE: Outcome = Outcome::Complete { result: None };

/// The answer to a settlement that was carried out in time.
pub const fn applied(state: State) -> Settled {
    Settled::Applied { state, late: false }
}

/// The answer to a settlement that was carried out although its lease had run out.
pub const fn applied_late(state: State) -> Settled {
    Settled::Applied { state, late: true }
}

/// A failure that a handler might report.
pub fn failure() -> Failure {
    Failure::new(Cause::Error, "the mail server said no").with_class("SmtpError")
}

/// A failing attempt with what comes next.
pub fn fail(retry_in: Option<Duration>) -> Outcome {
    Outcome::Fail { failure: failure(), retry_in }
}

/// One of every outcome, none of them refused.
pub fn every_outcome() -> Vec<Outcome> {
    vec![
        Outcome::Complete { result: Some(Payload::json("1")) },
        fail(Some(SECOND)),
        fail(None),
        Outcome::Reject { failure: failure() },
        Outcome::Snooze { delay: SECOND },
        Outcome::Release,
        Outcome::Cancelled,
    ]
}

/// Stores one task, leases it and completes it.
pub async fn put_completed(rig: &impl Rig, task: NewTask) -> TaskId {
    let want = want_from("w", &[task.queue.as_str()], 1);
    let id = put(rig, task).await;
    let lease = only(lease(rig, want).await);
    assert_eq!(lease.key.task, id, "nothing else was there to lease");
    assert_eq!(settle(rig, lease.key, COMPLETE).await, applied(State::Completed));
    id
}

/// Beats for leases of worker `w`.
pub async fn renew(rig: &impl Rig, keys: &[LeaseKey], ttl: Duration) -> Vec<Held> {
    renew_as(rig, "w", keys, ttl).await
}

/// Beats for leases of that worker.
pub async fn renew_as(rig: &impl Rig, name: &str, keys: &[LeaseKey], ttl: Duration) -> Vec<Held> {
    let leases = keys.iter().copied().map(LeaseBeat::renew).collect();
    let beat = Beat { worker: worker(name), about: None, ttl, leases };
    only(rig.queue().beat(vec![beat]).await.must()).held
}

/// A task with everything that is kept of it, if it is known.
pub async fn find(rig: &impl Rig, id: TaskId) -> Option<TaskView> {
    only(rig.inspect().get(vec![id], Include::ALL, Duration::ZERO).await.must())
}

/// A task that must be known.
pub async fn view(rig: &impl Rig, id: TaskId) -> TaskView {
    match find(rig, id).await {
        Some(view) => view,
        None => panic!("task {id} is not known"),
    }
}

/// Where a task that must be known stands.
pub async fn state(rig: &impl Rig, id: TaskId) -> State {
    view(rig, id).await.state()
}

/// Calls one task off.
pub async fn cancel(rig: &impl Rig, id: TaskId) -> Changed {
    only(rig.control().cancel(vec![id]).await.must())
}

/// Has one task done again.
pub async fn rerun(rig: &impl Rig, id: TaskId) -> Changed {
    only(rig.control().rerun(vec![id]).await.must())
}

/// Forgets one task.
pub async fn delete(rig: &impl Rig, id: TaskId) -> Changed {
    only(rig.control().delete(vec![id]).await.must())
}

/// Changes the settings of the queue `default`.
pub async fn configure(rig: &impl Rig, patch: SettingsPatch) -> QueueSettings {
    rig.control().configure(QueueName::default(), patch).await.must()
}

/// A queue as it stands; it must be listed.
pub async fn stats(rig: &impl Rig, name: &str) -> QueueStats {
    let all = rig.inspect().queues().await.must();
    match all.into_iter().find(|stats| stats.queue.as_str() == name) {
        Some(stats) => stats,
        None => panic!("queue {name} is not listed"),
    }
}

/// Why a task was not stored.
#[track_caller]
pub fn refused(answer: Enqueued) -> Code {
    match answer {
        Enqueued::Refused(refusal) => {
            assert!(!refusal.message.is_empty(), "a refusal says what to do");
            refusal.code
        }
        other => panic!("the task was not refused: {other:?}"),
    }
}

/// Which task stands for the new one, and where it stands.
#[track_caller]
pub fn existing(answer: Enqueued) -> (TaskId, Option<State>) {
    match answer {
        Enqueued::Existing { id, state, .. } => (id, state),
        other => panic!("no other task stands for this one: {other:?}"),
    }
}

/// Why an operator's wish was not carried out.
#[track_caller]
pub fn refused_change(answer: Changed) -> Code {
    match answer {
        Changed::Refused(refusal) => refusal.code,
        other => panic!("the change was not refused: {other:?}"),
    }
}

/// Why a settlement was not carried out.
#[track_caller]
pub fn refused_end(answer: Settled) -> Code {
    match answer {
        Settled::Refused(refusal) => refusal.code,
        other => panic!("the settlement was not refused: {other:?}"),
    }
}

/// Why a call failed as a whole.
#[track_caller]
pub fn failed<T: fmt::Debug>(result: Result<T, Error>) -> Code {
    match result {
        Err(error) => error.code(),
        Ok(answer) => panic!("the call did not fail: {answer:?}"),
    }
}

/// Whether a call failed because it carries too much.
pub fn is_too_much<T: fmt::Debug>(result: Result<T, Error>) -> bool {
    matches!(failed(result), Code::TooLarge | Code::Invalid)
}

/// Looks again and again until `condition` holds; ends the test if it never does.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let look = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    let came = tokio::time::timeout(PATIENCE, look).await;
    assert!(came.is_ok(), "it never came to pass that {what}");
}

/// Looks until the store has heard of worker `w`: a `lease` of it that waits is waiting by then.
pub async fn until_known(rig: &impl Rig, name: &str) {
    let id = worker(name);
    eventually("the worker is known", async || {
        let workers = rig.inspect().workers().await.must();
        workers.iter().any(|view| view.worker == id)
    })
    .await;
}

/// What a spawned call answers; ends the test if it does not.
pub async fn answer<T>(call: JoinHandle<T>) -> T {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => panic!("the call panicked: {error}"),
        Err(elapsed) => panic!("the call never answered: {elapsed}"),
    }
}

/// A `lease` of one want that waits in the background.
pub fn wait_for(rig: &impl Rig, want: Want, wait: Duration) -> JoinHandle<Vec<Lease>> {
    let queue = rig.queue();
    tokio::spawn(async move { only(queue.lease(vec![want], wait).await.must()) })
}

/// Lets time pass second by second until a spawned call has answered.
pub async fn elapse_until_answered<T>(rig: &mut impl Rig, call: JoinHandle<T>) -> T {
    let elapse = async {
        while !call.is_finished() {
            rig.elapse(SECOND).await;
            tokio::task::yield_now().await;
        }
    };
    let came = tokio::time::timeout(PATIENCE, elapse).await;
    assert!(came.is_ok(), "the call did not answer, however much time passed");
    answer(call).await
}

/// What 64 callers get who ask for the same at the same time.
pub async fn all_at_once<T: Send + 'static>(call: impl Fn(usize) -> BoxFuture<T>) -> Vec<T> {
    let barrier = Arc::new(Barrier::new(CALLERS));
    let calls: Vec<JoinHandle<T>> = (0..CALLERS)
        .map(|number| {
            let (call, barrier) = (call(number), Arc::clone(&barrier));
            tokio::spawn(async move {
                barrier.wait().await;
                call.await
            })
        })
        .collect();
    let mut answers = Vec::with_capacity(CALLERS);
    for call in calls {
        answers.push(answer(call).await);
    }
    answers
}

/// A future that can be sent to another thread.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How many callers meet in the cases where several want the same.
pub const CALLERS: usize = 64;
