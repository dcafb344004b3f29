//! Taking the steps of a history with one rig, and writing down what it answers in words that are
//! the same for every store that agrees with the specification.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use haulier_core::{
    Beat, Changed, Checkpoint, Clock, Delivery, Enqueued, Epoch, Filter, Include, Lease, LeaseBeat,
    LeaseKey, NewTask, OnConflict, Outcome, PageRequest, Payload, Priority, Progress, QueueName,
    QueueStats, Refusal, Settled, Settlement, Start, TaskId, TaskView, Timestamp, Unique, Until,
    Want, WantedQueue, WorkerId,
};

use super::step::{BeatSpec, End, KINDS, Pick, Spec, StartSpec, Step, TASKS, WantSpec};
use crate::Rig;
use crate::prelude::*;

/// A rig with what a history has to remember of it.
pub(super) struct Player<R> {
    rig: R,
    started: Timestamp,
    /// Every key that was handed out, in order.
    keys: Vec<LeaseKey>,
    /// The epochs of each task, in order.
    epochs: BTreeMap<TaskId, Vec<Epoch>>,
    reopened: bool,
    /// What queues had counted when they were seen first, since the store was reopened last.
    counted: BTreeMap<QueueName, [u64; 3]>,
}

impl<R: Rig> Player<R> {
    pub fn new(rig: R) -> Self {
        let started = rig.clock().wall();
        Self {
            rig,
            started,
            keys: Vec::new(),
            epochs: BTreeMap::new(),
            reopened: false,
            counted: BTreeMap::new(),
        }
    }

    /// Takes a step and says what was answered, a line an item.
    pub async fn take(&mut self, step: &Step) -> Vec<String> {
        let answer = match step {
            Step::Enqueue(specs) => {
                let tasks = specs.iter().map(|spec| self.task(spec)).collect();
                lines(self.rig.queue().enqueue(tasks).await.must(), enqueued)
            }
            Step::Lease(wants) => {
                let wants = wants.iter().map(want).collect();
                let shares = self.rig.queue().lease(wants, Duration::ZERO).await.must();
                shares.into_iter().map(|share| self.leased(share)).collect()
            }
            Step::Beat { worker, ttl, leases } => self.beat(*worker, *ttl, leases).await,
            Step::Settle(ends) => {
                let ends = ends.iter().filter_map(|(pick, end)| {
                    Some(Settlement { key: self.key(*pick)?, outcome: outcome(*end) })
                });
                lines(self.rig.queue().settle(ends.collect()).await.must(), settled)
            }
            Step::Cancel(tasks) => {
                lines(self.rig.control().cancel(numbered(tasks)).await.must(), changed)
            }
            Step::Rerun(tasks) => {
                lines(self.rig.control().rerun(numbered(tasks)).await.must(), changed)
            }
            Step::Delete(tasks) => {
                lines(self.rig.control().delete(numbered(tasks)).await.must(), changed)
            }
            Step::Configure { queue, patch } => {
                let name = queue_name(*queue);
                let all = self.rig.control().configure(name, patch.clone()).await.must();
                vec![format!("{all:?}")]
            }
            Step::Elapse(millis) => {
                self.rig.elapse(ms(*millis)).await;
                Vec::new()
            }
            Step::Reopen => self.reopen().await,
        };
        // What a step made due is done now, in every store.
        self.rig.elapse(Duration::ZERO).await;
        answer
    }

    /// Everything that can be seen.
    pub async fn look(&mut self) -> Vec<String> {
        let all = self.views().await;
        let mut seen: Vec<String> = all.iter().map(|view| self.view(view)).collect();
        let queues = self.rig.inspect().queues().await.must();
        seen.extend(queues.into_iter().map(|stats| format!("{:?}", self.since_reopened(stats))));
        let request = PageRequest { size: 7, ..PageRequest::default() };
        let page = self.rig.inspect().list(Filter::default(), request).await.must();
        seen.push(format!("newest {:?}", page.tasks.iter().map(|v| v.task.id).collect::<Vec<_>>()));
        let workers = self.rig.inspect().workers().await.must();
        seen.extend(workers.iter().map(|view| format!("{}: {}", view.worker, view.leases)));
        seen
    }

    /// What a queue has counted since the store was reopened last. Whether a store begins anew then
    /// or goes on counting is its own affair.
    fn since_reopened(&mut self, mut stats: QueueStats) -> QueueStats {
        assert_eq!(stats.accepted, stats.counts.total() + stats.removed, "I14");
        let now = [stats.accepted, stats.removed, stats.finished];
        let then = if self.reopened {
            *self.counted.entry(stats.queue.clone()).or_insert(now)
        } else {
            [0; 3]
        };
        let counts = [&mut stats.accepted, &mut stats.removed, &mut stats.finished];
        for (count, then) in counts.into_iter().zip(then) {
            assert!(*count >= then, "I14: a count went back from {then} to {count}");
            *count -= then;
        }
        stats
    }

    async fn views(&self) -> Vec<TaskView> {
        let ids = numbered(&(0..TASKS).collect::<Vec<_>>());
        let views = self.rig.inspect().get(ids, Include::ALL, Duration::ZERO).await.must();
        views.into_iter().flatten().collect()
    }

    async fn beat(&mut self, worker: u8, ttl: u64, leases: &[BeatSpec]) -> Vec<String> {
        let lease = |spec: &BeatSpec| {
            let checkpoint = |&(name, value): &(u8, u8)| Checkpoint {
                name: format!("step-{name}").into(),
                value: Bytes::from(vec![value]),
            };
            Some(LeaseBeat {
                key: self.key(spec.key)?,
                progress: spec.progress.map(|percent| Progress {
                    fraction: f64::from(percent) / 255.0,
                    note: format!("at {percent}").into(),
                }),
                checkpoints: spec.checkpoints.iter().map(checkpoint).collect(),
            })
        };
        let leases = leases.iter().filter_map(lease).collect();
        let beat = Beat { worker: worker_name(worker), about: None, ttl: ms(ttl), leases };
        lines(self.rig.queue().beat(vec![beat]).await.must(), |reply| format!("{reply:?}"))
    }

    /// Restarts, and brings every lease to the same time in every store: a cancelled one is ended.
    async fn reopen(&mut self) -> Vec<String> {
        self.rig.reopen().await;
        self.reopened = true;
        self.counted.clear();
        let mut answers = Vec::new();
        for view in self.views().await {
            let Some(lease) = &view.lease else { continue };
            let key = LeaseKey { task: view.task.id, epoch: view.epoch };
            if view.standing.cancel_requested {
                answers.push(settled(settle(&self.rig, key, Outcome::Cancelled).await));
            } else {
                let held = renew_as(&self.rig, lease.worker.as_str(), &[key], TTL).await;
                answers.push(format!("{held:?}"));
            }
        }
        answers
    }

    fn leased(&mut self, share: Vec<Lease>) -> String {
        let mut said = Vec::new();
        for lease in share {
            let epochs = self.epochs.entry(lease.key.task).or_default();
            assert!(epochs.last().is_none_or(|last| *last < lease.key.epoch), "I2: {lease:?}");
            epochs.push(lease.key.epoch);
            self.keys.push(lease.key);
            said.push(format!(
                "{:?} {:?} attempt {} losses {} ttl {:?} at {} with {:?}",
                lease.task,
                lease.task.payload.bytes,
                lease.attempt,
                lease.losses,
                lease.ttl,
                self.since(lease.enqueued_at),
                lease.checkpoints
            ));
        }
        said.join(" and ")
    }

    fn view(&self, view: &TaskView) -> String {
        let progress = view.progress.as_ref().filter(|_| !self.reopened);
        let deliveries: Vec<String> =
            view.deliveries.iter().map(|delivery| self.delivery(view.task.id, delivery)).collect();
        format!(
            "{:?} {:?} {:?} epoch {} at {} due {} finished {:?} {:?} {:?} {progress:?} {:?} {:?} \
             {deliveries:?}",
            view.task,
            view.task.payload.bytes,
            view.standing,
            self.rank(view.task.id, view.epoch),
            self.since(view.enqueued_at),
            self.since(view.due_at),
            view.finished_at.map(|at| self.since(at)),
            view.unique,
            view.lease,
            view.checkpoints,
            view.result.as_ref().map(|result| (result, &result.bytes)),
        )
    }

    fn delivery(&self, task: TaskId, delivery: &Delivery) -> String {
        let Delivery { epoch, attempt, worker, leased_at, ended_at, ended, failure, late } =
            delivery;
        format!(
            "{} attempt {attempt} by {worker} from {} to {:?} {ended:?} {failure:?} late {late}",
            self.rank(task, *epoch),
            self.since(*leased_at),
            ended_at.map(|at| self.since(at)),
        )
    }

    /// Which delivery of the task an epoch is, from 1; 0 for none.
    fn rank(&self, task: TaskId, epoch: Epoch) -> String {
        let known = self.epochs.get(&task).map(Vec::as_slice).unwrap_or_default();
        match known.iter().position(|other| *other == epoch) {
            Some(at) => (at + 1).to_string(),
            None if epoch == Epoch::default() => "0".to_owned(),
            None => format!("never handed out: {epoch}"),
        }
    }

    fn since(&self, at: Timestamp) -> String {
        format!("{:?}", at.since(self.started))
    }

    fn key(&self, pick: Pick) -> Option<LeaseKey> {
        self.keys.iter().rev().cycle().nth(usize::from(pick)).copied()
    }

    fn task(&self, spec: &Spec) -> NewTask {
        let number = u64::from(spec.task);
        let work = if spec.twisted { vec![spec.task, 1] } else { vec![spec.task] };
        let payload = Payload::new(work, Payload::BINARY);
        let kind = kind(&format!("kind-{}", spec.task % KINDS));
        let mut new = NewTask::new(numbered_id(number), kind, payload);
        new.queue = queue_name(spec.queue);
        new.priority = Priority::new(spec.priority).must();
        new.start = match spec.start {
            StartSpec::Now => Start::Now,
            StartSpec::After(millis) => Start::After(ms(millis)),
            StartSpec::At(millis) => {
                Start::At(Timestamp(self.rig.clock().wall().0.saturating_add_signed(millis)))
            }
        };
        new.policy.max_attempts = spec.attempts;
        new.policy.timeout = ms(spec.timeout);
        new.policy.retain = spec.retain.map(ms);
        new.expires_in = spec.expires_in.map(ms);
        new.unique = spec.unique.map(|unique| Unique {
            key: format!("key-{}", unique.key).into(),
            window: ms(unique.window),
            until: if unique.until_start { Until::Start } else { Until::Finish },
            on_conflict: [OnConflict::Return, OnConflict::Reject, OnConflict::Replace]
                [usize::from(unique.on_conflict)],
        });
        new
    }
}

fn want(spec: &WantSpec) -> Want {
    let wanted = |&(queue, max): &(u8, u32)| WantedQueue { queue: queue_name(queue), max };
    Want {
        worker: worker_name(spec.worker),
        queues: spec.queues.iter().map(wanted).collect::<Arc<[_]>>(),
        kinds: spec.kinds.iter().map(|number| kind(&format!("kind-{number}"))).collect(),
        max: spec.max,
        ttl: ms(spec.ttl),
    }
}

fn outcome(end: End) -> Outcome {
    match end {
        End::Complete(value) => Outcome::Complete {
            result: value.map(|value| Payload::new(vec![value], Payload::BINARY)),
        },
        End::Fail(retry_in) => fail(retry_in.map(ms)),
        End::Reject => Outcome::Reject { failure: failure() },
        End::Snooze(delay) => Outcome::Snooze { delay: ms(delay) },
        End::Release => Outcome::Release,
        End::Cancelled => Outcome::Cancelled,
        End::TooLong => Outcome::Snooze { delay: limits::DELAY_MAX + SECOND },
    }
}

fn numbered(tasks: &[u8]) -> Vec<TaskId> {
    tasks.iter().map(|number| numbered_id(u64::from(*number))).collect()
}

fn queue_name(number: u8) -> QueueName {
    queue(&format!("queue-{number}"))
}

fn worker_name(number: u8) -> WorkerId {
    worker(&format!("worker-{number}"))
}

fn lines<T>(answers: Vec<T>, say: impl Fn(T) -> String) -> Vec<String> {
    answers.into_iter().map(say).collect()
}

/// Texts are for people: only the code is the same everywhere.
fn refusal(refusal: &Refusal) -> String {
    format!("refused: {}", refusal.code)
}

fn enqueued(answer: Enqueued) -> String {
    match answer {
        // How durable an acknowledgement is depends on the store.
        Enqueued::Inserted { id, state, durability: _ } => format!("inserted {id} {state}"),
        Enqueued::Existing { id, state, durability: _ } => format!("existing {id} {state:?}"),
        Enqueued::Refused(why) => refusal(&why),
    }
}

fn settled(answer: Settled) -> String {
    match answer {
        Settled::Refused(why) => refusal(&why),
        other => say(&other),
    }
}

fn changed(answer: Changed) -> String {
    match answer {
        Changed::Refused(why) => refusal(&why),
        other => say(&other),
    }
}

fn say(answer: &dyn Debug) -> String {
    format!("{answer:?}")
}
