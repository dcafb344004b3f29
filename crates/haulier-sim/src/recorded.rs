//! Layers that write down what passes through them: what was asked, what was answered, and what was
//! never answered. They change nothing.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use haulier_core::clock::millis;
use haulier_core::{
    Beat, BeatReply, Capabilities, Changed, Control, Directive, Ended, Enqueued, Error, Include,
    Inspect, Lease, NewTask, OnConflict, Outcome, Queue, QueueName, QueueSettings, Result,
    SettingsPatch, Settled, Settlement, Start, State, Task, TaskId, TaskView, Until, Want,
    WorkerId,
};

use crate::history::{
    Asked, Counts, Done, EndedWord, Got, Granted, HeldWord, Key, Offer, Recorder, Setting,
    Settlement as Answer, StateWord, UniqueKey, View, What, Which, Wish, digest,
};

/// One client's side of the traits, written down under its name.
#[derive(Debug)]
pub struct Recorded<T: ?Sized> {
    name: Arc<str>,
    recorder: Recorder,
    inner: Arc<T>,
}

impl<T: ?Sized> Clone for Recorded<T> {
    fn clone(&self) -> Self {
        let (name, inner) = (Arc::clone(&self.name), Arc::clone(&self.inner));
        Self { name, recorder: self.recorder.clone(), inner }
    }
}

impl<T: ?Sized> Recorded<T> {
    /// Writes what `name` asks of `inner`.
    pub fn new(name: &str, recorder: Recorder, inner: Arc<T>) -> Self {
        Self { name: name.into(), recorder, inner }
    }

    fn invoke(&self, asked: impl IntoIterator<Item = Asked>) -> Call<'_> {
        let b = self.recorder.call();
        let mut items = 0;
        for (n, asked) in (0..).zip(asked) {
            self.recorder.record(&self.name, What::Invoke { b, n, asked });
            items = n + 1;
        }
        Call { name: &self.name, recorder: &self.recorder, b, items }
    }
}

/// A call that is out.
struct Call<'a> {
    name: &'a Arc<str>,
    recorder: &'a Recorder,
    b: u64,
    items: u32,
}

impl Call<'_> {
    fn answer(&self, n: u32, got: Got) {
        self.recorder.record(self.name, What::Ok { b: self.b, n, got });
    }

    fn refuse(&self, n: u32, code: haulier_core::Code) {
        let code = code.as_str().to_owned();
        self.recorder.record(self.name, What::Refused { b: self.b, n, code });
    }

    /// The call failed as a whole, for each of its items.
    fn fail(&self, error: &Error) {
        for n in 0..self.items {
            let (b, code) = (self.b, error.code().as_str().to_owned());
            let what = if error.may_have_applied() {
                What::Unknown { b, n, code }
            } else {
                What::Refused { b, n, code }
            };
            self.recorder.record(self.name, what);
        }
    }

    /// Writes the answers of a call, item by item.
    fn answers<A>(&self, answers: &Result<Vec<A>>, mut write: impl FnMut(u32, &A)) {
        match answers {
            Ok(answers) => (0..).zip(answers).for_each(|(n, answer)| write(n, answer)),
            Err(error) => self.fail(error),
        }
    }
}

/// A digest of what a task is.
pub fn digest_of(task: &Task) -> u64 {
    digest(&[task.queue.as_str().as_bytes(), task.kind.as_str().as_bytes(), &task.payload.bytes])
}

fn offer(task: &NewTask, wall_ms: u64) -> Offer {
    let delay_ms = match task.start {
        Start::Now => 0,
        Start::After(delay) => millis(delay),
        Start::At(at) => at.0.saturating_sub(wall_ms),
    };
    let unique = task.unique.as_ref().map(|unique| UniqueKey {
        key: unique.key.to_string(),
        window_ms: millis(unique.window),
        until_finish: unique.until == Until::Finish,
        replace: unique.on_conflict == OnConflict::Replace,
    });
    Offer {
        task: task.id,
        queue: task.queue.to_string(),
        kind: task.kind.to_string(),
        digest: digest_of(task),
        priority: task.priority.get(),
        max_attempts: task.policy.max_attempts,
        timeout_ms: millis(task.policy.timeout),
        delay_ms,
        expires_ms: task.expires_in.map(millis),
        retain_ms: task.policy.retain.map(millis),
        unique,
    }
}

fn wish(want: &Want, wait: Duration) -> Wish {
    Wish {
        queues: want.queues.iter().map(|wanted| wanted.queue.to_string()).collect(),
        kinds: want.kinds.iter().map(ToString::to_string).collect(),
        max: want.max,
        ttl_ms: millis(want.ttl),
        wait_ms: millis(wait),
    }
}

fn granted(lease: &Lease) -> Granted {
    Granted {
        key: lease.key.into(),
        attempt: lease.attempt,
        losses: lease.losses,
        ttl_ms: millis(lease.ttl),
        digest: digest_of(&lease.task),
    }
}

fn settle(settlement: &Settlement) -> Asked {
    let again = match &settlement.outcome {
        Outcome::Fail { retry_in, .. } => *retry_in,
        Outcome::Snooze { delay } => Some(*delay),
        _ => None,
    };
    Asked::Settle {
        key: settlement.key.into(),
        outcome: EndedWord(Ended::from(&settlement.outcome)),
        again_ms: again.map(millis),
    }
}

fn answer(settled: &Settled) -> Answer {
    match settled {
        Settled::Applied { state, late } => {
            Answer::Applied { state: StateWord(*state), late: *late }
        }
        Settled::Cancelled => Answer::Cancelled,
        Settled::Stale => Answer::Stale,
        Settled::Refused(_) => Answer::Refused,
    }
}

fn done(changed: &Changed) -> Done {
    match changed {
        Changed::Done(state) => Done::Done { state: StateWord(*state) },
        Changed::NotFound => Done::NotFound,
        Changed::Refused(_) => Done::Refused,
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<Q: Queue + ?Sized> Queue for Recorded<Q> {
    async fn enqueue(&self, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
        let call = self.invoke(tasks.iter().map(|task| Asked::Enqueue(offer(task, 0))));
        let answers = self.inner.enqueue(tasks).await;
        call.answers(&answers, |n, answer| match answer {
            Enqueued::Inserted { id, state, .. } => {
                let state = Some(StateWord(*state));
                call.answer(n, Got::Enqueue { task: *id, inserted: true, state });
            }
            Enqueued::Existing { id, state, .. } => {
                let state = state.map(StateWord);
                call.answer(n, Got::Enqueue { task: *id, inserted: false, state });
            }
            Enqueued::Refused(refusal) => call.refuse(n, refusal.code),
        });
        answers
    }

    async fn lease(&self, wants: Vec<Want>, wait: Duration) -> Result<Vec<Vec<Lease>>> {
        let call = self.invoke(wants.iter().map(|want| Asked::Lease(wish(want, wait))));
        let answers = self.inner.lease(wants, wait).await;
        call.answers(&answers, |n, leases| {
            for lease in leases {
                call.answer(n, Got::Lease(Some(granted(lease))));
            }
            if leases.is_empty() {
                call.answer(n, Got::Lease(None));
            }
        });
        answers
    }

    async fn beat(&self, beats: Vec<Beat>) -> Result<Vec<BeatReply>> {
        let call = self.invoke(beats.iter().flat_map(|beat| {
            let ttl_ms = millis(beat.ttl);
            beat.leases.iter().map(move |lease| Asked::Beat { key: lease.key.into(), ttl_ms })
        }));
        let answers = self.inner.beat(beats).await;
        let held = answers
            .clone()
            .map(|replies| replies.into_iter().flat_map(|reply| reply.held).collect::<Vec<_>>());
        call.answers(&held, |n, held| call.answer(n, Got::Beat { held: HeldWord(*held) }));
        answers
    }

    async fn watch(&self, worker: WorkerId, wait: Duration) -> Result<bool> {
        // A hint, of which nothing is promised.
        self.inner.watch(worker, wait).await
    }

    async fn settle(&self, ends: Vec<Settlement>) -> Result<Vec<Settled>> {
        let call = self.invoke(ends.iter().map(settle));
        let answers = self.inner.settle(ends).await;
        call.answers(&answers, |n, settled| call.answer(n, Got::Settle(answer(settled))));
        answers
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<C: Control + ?Sized> Control for Recorded<C> {
    async fn cancel(&self, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
        let call = self.invoke(ids.iter().map(|id| Asked::Cancel(Which { task: *id })));
        let answers = self.inner.cancel(ids).await;
        call.answers(&answers, |n, changed| call.answer(n, Got::Cancel(done(changed))));
        answers
    }

    async fn rerun(&self, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
        let call = self.invoke(ids.iter().map(|id| Asked::Rerun(Which { task: *id })));
        let answers = self.inner.rerun(ids).await;
        call.answers(&answers, |n, changed| call.answer(n, Got::Rerun(done(changed))));
        answers
    }

    async fn delete(&self, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
        let call = self.invoke(ids.iter().map(|id| Asked::Delete(Which { task: *id })));
        let answers = self.inner.delete(ids).await;
        call.answers(&answers, |n, changed| call.answer(n, Got::Delete(done(changed))));
        answers
    }

    async fn configure(&self, queue: QueueName, patch: SettingsPatch) -> Result<QueueSettings> {
        let setting = Setting {
            queue: queue.to_string(),
            paused: patch.paused,
            limits: patch.concurrency.is_some() || patch.max_tasks.is_some(),
            retains: patch.retain_completed.is_some()
                || patch.retain_completed_count.is_some()
                || patch.retain_cancelled.is_some()
                || patch.retain_dead.is_some(),
        };
        let call = self.invoke([Asked::Configure(setting)]);
        let answer = self.inner.configure(queue, patch).await;
        match &answer {
            Ok(_) => call.answer(0, Got::Configure),
            Err(error) => call.fail(error),
        }
        answer
    }

    async fn direct(&self, workers: Vec<WorkerId>, directive: Directive) -> Result<Vec<bool>> {
        self.inner.direct(workers, directive).await
    }
}

impl<I: Inspect + ?Sized> Recorded<I> {
    /// Reads tasks, with their payloads.
    ///
    /// # Errors
    /// Of the store.
    pub async fn get(&self, ids: Vec<TaskId>) -> Result<Vec<Option<TaskView>>> {
        let call = self.invoke(ids.iter().map(|id| Asked::Get(Which { task: *id })));
        let include = Include { payload: true, ..Include::default() };
        let answers = self.inner.get(ids, include, Duration::ZERO).await;
        call.answers(&answers, |n, found| call.answer(n, Got::Get(found.as_ref().map(view))));
        answers
    }

    /// Counts the tasks of every queue.
    ///
    /// # Errors
    /// Of the store.
    pub async fn count(&self) -> Result<()> {
        let queues = self.inner.queues().await?;
        let asked = queues.iter().map(|stats| Asked::Count { queue: stats.queue.to_string() });
        let call = self.invoke(asked);
        for (n, stats) in (0..).zip(&queues) {
            let count = |state: State| (StateWord(state), stats.counts.get(state));
            let states = State::ALL.into_iter().map(count).collect();
            let (accepted, removed) = (stats.accepted, stats.removed);
            call.answer(n, Got::Count(Counts { states, accepted, removed }));
        }
        Ok(())
    }
}

fn view(view: &TaskView) -> View {
    View {
        state: StateWord(view.standing.state),
        attempt: view.standing.attempt,
        losses: view.standing.losses,
        epoch: view.epoch.0,
        digest: Some(digest_of(&view.task)),
    }
}

/// A handler that runs, written down until it is gone, however that comes about.
#[derive(Debug)]
pub struct Running {
    name: Arc<str>,
    recorder: Recorder,
    key: Key,
}

impl Running {
    /// A handler of `name` begins.
    pub fn begin(name: &Arc<str>, recorder: &Recorder, key: Key) -> Self {
        recorder.record(name, What::Start { key });
        Self { name: Arc::clone(name), recorder: recorder.clone(), key }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.recorder.record(&self.name, What::End { key: self.key });
    }
}
