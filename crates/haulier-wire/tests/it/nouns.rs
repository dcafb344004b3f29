//! Arbitrary nouns. Spans are whole milliseconds: the wire has no finer ones.

use std::sync::Arc;
use std::time::Duration;

use haulier_core::control::Retain;
use haulier_core::{
    Backoff, Beat, Cause, Checkpoint, Delivery, Durability, Ended, Enqueued, Epoch, Failure, Kind,
    Lease, LeaseBeat, LeaseKey, LeaseView, NewTask, OnConflict, Outcome, Pairs, Payload, Policy,
    Priority, Progress, QueueName, QueueSettings, QueueStats, Refusal, SettingsPatch, Settlement,
    Standing, Start, State, StateCounts, Task, TaskId, TaskView, Timestamp, Unique, Until, Want,
    WantedQueue, WorkerAbout, WorkerId, WorkerView,
};
use haulier_core::{Code, DeadReason, Directive, Settled};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

const NAME: &str = "[A-Za-z0-9][A-Za-z0-9._-]{0,20}";

pub fn span() -> impl Strategy<Value = Duration> {
    prop_oneof![Just(0), 0u64..100_000, any::<u64>()].prop_map(Duration::from_millis)
}

pub fn time() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp)
}

pub fn queue() -> impl Strategy<Value = QueueName> {
    prop_oneof![Just("default".to_owned()), NAME].prop_map(|name| QueueName::new(name).unwrap())
}

pub fn kind() -> impl Strategy<Value = Kind> {
    NAME.prop_map(|name| Kind::new(name).unwrap())
}

pub fn worker() -> impl Strategy<Value = WorkerId> {
    NAME.prop_map(|name| WorkerId::new(name).unwrap())
}

pub fn id() -> impl Strategy<Value = TaskId> {
    any::<[u8; 16]>().prop_map(TaskId::from_bytes)
}

pub fn key() -> impl Strategy<Value = LeaseKey> {
    (id(), any::<u64>()).prop_map(|(task, epoch)| LeaseKey { task, epoch: Epoch(epoch) })
}

pub fn payload() -> impl Strategy<Value = Payload> {
    (vec(any::<u8>(), 0..64), prop_oneof![Just(Payload::JSON.to_owned()), ".{0,12}"])
        .prop_map(|(bytes, content_type)| Payload::new(bytes, content_type))
}

fn pairs() -> impl Strategy<Value = Pairs> {
    vec((".{0,8}", ".{0,8}"), 0..4).prop_map(|pairs| pairs.into_iter().collect())
}

fn backoff() -> impl Strategy<Value = Backoff> {
    let any = (span(), span(), any::<u32>(), any::<u32>());
    prop_oneof![
        Just(Backoff::default()),
        any.prop_map(|(base, max, factor_permille, jitter_permille)| Backoff {
            base,
            max,
            factor_permille,
            jitter_permille
        }),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let any = (any::<u32>(), backoff(), span(), option::of(span()));
    prop_oneof![
        Just(Policy::default()),
        any.prop_map(|(max_attempts, backoff, timeout, retain)| Policy {
            max_attempts,
            backoff,
            timeout,
            retain
        }),
    ]
}

fn unique() -> impl Strategy<Value = Unique> {
    let conflicts = vec![OnConflict::Return, OnConflict::Reject, OnConflict::Replace];
    (".{0,12}", span(), select(vec![Until::Start, Until::Finish]), select(conflicts)).prop_map(
        |(key, window, until, on_conflict)| Unique { key: key.into(), window, until, on_conflict },
    )
}

pub fn task() -> impl Strategy<Value = Task> {
    let names = (id(), queue(), kind(), payload());
    let rules = (0u8..10, policy(), option::of(span()), pairs(), pairs());
    (names, rules).prop_map(|((id, queue, kind, payload), rules)| {
        let (priority, policy, expires_in, headers, labels) = rules;
        let priority = Priority::new(priority).unwrap();
        Task { id, queue, kind, payload, priority, policy, expires_in, headers, labels }
    })
}

pub fn new_task() -> impl Strategy<Value = NewTask> {
    let start =
        prop_oneof![Just(Start::Now), span().prop_map(Start::After), time().prop_map(Start::At)];
    (task(), start, option::of(unique())).prop_map(|(task, start, unique)| NewTask {
        task,
        start,
        unique,
    })
}

pub fn refusal() -> impl Strategy<Value = Refusal> {
    (select(Code::ALL.to_vec()), ".{0,20}").prop_map(|(code, message)| Refusal::new(code, message))
}

fn state() -> impl Strategy<Value = State> {
    select(State::ALL.to_vec())
}

fn durability() -> impl Strategy<Value = Durability> {
    select(vec![Durability::D0, Durability::D1, Durability::D2, Durability::D3])
}

pub fn enqueued() -> impl Strategy<Value = Enqueued> {
    prop_oneof![
        (id(), state(), durability()).prop_map(|(id, state, durability)| Enqueued::Inserted {
            id,
            state,
            durability
        }),
        (id(), option::of(state()), durability())
            .prop_map(|(id, state, durability)| Enqueued::Existing { id, state, durability }),
        refusal().prop_map(Enqueued::Refused),
    ]
}

pub fn want() -> impl Strategy<Value = Want> {
    let wanted = (queue(), any::<u32>()).prop_map(|(queue, max)| WantedQueue { queue, max });
    (worker(), vec(wanted, 0..4), vec(kind(), 0..4), any::<u32>(), span()).prop_map(
        |(worker, queues, kinds, max, ttl)| Want {
            worker,
            queues: queues.into(),
            kinds: kinds.into(),
            max,
            ttl,
        },
    )
}

pub fn checkpoints() -> impl Strategy<Value = Vec<Checkpoint>> {
    let one = (".{0,8}", vec(any::<u8>(), 0..8))
        .prop_map(|(name, value)| Checkpoint { name: name.into(), value: value.into() });
    vec(one, 0..4)
}

pub fn lease() -> impl Strategy<Value = Lease> {
    (task(), any::<u64>(), any::<u32>(), any::<u32>(), span(), time(), checkpoints()).prop_map(
        |(task, epoch, attempt, losses, ttl, enqueued_at, checkpoints)| Lease {
            key: LeaseKey { task: task.id, epoch: Epoch(epoch) },
            task: Arc::new(task),
            attempt,
            losses,
            ttl,
            enqueued_at,
            checkpoints,
        },
    )
}

fn progress() -> impl Strategy<Value = Progress> {
    (0.0f64..=1.0, ".{0,8}").prop_map(|(fraction, note)| Progress { fraction, note: note.into() })
}

pub fn about() -> impl Strategy<Value = WorkerAbout> {
    (".{0,12}", vec(queue(), 0..3), vec(kind(), 0..3), any::<u32>())
        .prop_map(|(version, queues, kinds, slots)| WorkerAbout { version, queues, kinds, slots })
}

pub fn beat() -> impl Strategy<Value = Beat> {
    let lease = (key(), option::of(progress()), checkpoints())
        .prop_map(|(key, progress, checkpoints)| LeaseBeat { key, progress, checkpoints });
    (worker(), option::of(about()), span(), vec(lease, 0..4)).prop_map(
        |(worker, about, ttl, leases)| Beat { worker, about: about.map(Arc::new), ttl, leases },
    )
}

pub fn failure() -> impl Strategy<Value = Failure> {
    let causes = vec![Cause::Error, Cause::Timeout, Cause::Panic, Cause::Decode];
    (select(causes), ".{0,8}", ".{0,8}", ".{0,8}").prop_map(|(cause, class, message, trace)| {
        Failure::new(cause, &message).with_class(&class).with_trace(&trace)
    })
}

pub fn settlement() -> impl Strategy<Value = Settlement> {
    let outcome = prop_oneof![
        option::of(payload()).prop_map(|result| Outcome::Complete { result }),
        (failure(), option::of(span()))
            .prop_map(|(failure, retry_in)| Outcome::Fail { failure, retry_in }),
        failure().prop_map(|failure| Outcome::Reject { failure }),
        span().prop_map(|delay| Outcome::Snooze { delay }),
        Just(Outcome::Release),
        Just(Outcome::Cancelled),
    ];
    (key(), outcome).prop_map(|(key, outcome)| Settlement { key, outcome })
}

pub fn settled() -> impl Strategy<Value = Settled> {
    prop_oneof![
        (state(), any::<bool>()).prop_map(|(state, late)| Settled::Applied { state, late }),
        Just(Settled::Cancelled),
        Just(Settled::Stale),
        refusal().prop_map(Settled::Refused),
    ]
}

fn delivery() -> impl Strategy<Value = Delivery> {
    let ended = option::of(select(Ended::ALL.to_vec()));
    let who = (any::<u64>(), any::<u32>(), worker(), time());
    (who, option::of(time()), ended, option::of(failure()), any::<bool>()).prop_map(
        |((epoch, attempt, worker, leased_at), ended_at, ended, failure, late)| Delivery {
            epoch: Epoch(epoch),
            attempt,
            worker,
            leased_at,
            ended_at,
            ended,
            failure,
            late,
        },
    )
}

fn standing() -> impl Strategy<Value = Standing> {
    let reason = option::of(select(DeadReason::ALL.to_vec()));
    (state(), reason, any::<(u32, u32, bool, bool)>()).prop_map(|(state, reason, rest)| {
        let (attempt, losses, cancel_requested, started) = rest;
        Standing { state, reason, attempt, losses, cancel_requested, started }
    })
}

pub fn view() -> impl Strategy<Value = TaskView> {
    let lease =
        (worker(), span()).prop_map(|(worker, expires_in)| LeaseView { worker, expires_in });
    let what = (task(), standing(), any::<u64>(), time(), time(), option::of(time()));
    let parts = (option::of(unique()), option::of(lease), option::of(progress()), checkpoints());
    (what, parts, option::of(payload()), vec(delivery(), 0..3)).prop_map(
        |(what, parts, result, deliveries)| {
            let (task, standing, epoch, enqueued_at, due_at, finished_at) = what;
            let (unique, lease, progress, checkpoints) = parts;
            TaskView {
                task: Arc::new(task),
                standing,
                epoch: Epoch(epoch),
                enqueued_at,
                due_at,
                finished_at,
                unique,
                lease,
                progress,
                checkpoints,
                result,
                deliveries,
            }
        },
    )
}

pub fn settings() -> impl Strategy<Value = QueueSettings> {
    let retain = (span(), any::<u64>(), span(), span());
    (any::<bool>(), option::of(any::<u32>()), option::of(any::<u64>()), retain).prop_map(
        |(paused, concurrency, max_tasks, (completed, completed_count, cancelled, dead))| {
            let retain = Retain { completed, completed_count, cancelled, dead };
            QueueSettings { paused, concurrency, max_tasks, retain }
        },
    )
}

pub fn patch() -> impl Strategy<Value = SettingsPatch> {
    let limits = (option::of(option::of(any::<u32>())), option::of(option::of(any::<u64>())));
    let retain =
        (option::of(span()), option::of(any::<u64>()), option::of(span()), option::of(span()));
    (option::of(any::<bool>()), limits, retain).prop_map(|(paused, limits, retain)| SettingsPatch {
        paused,
        concurrency: limits.0,
        max_tasks: limits.1,
        retain_completed: retain.0,
        retain_completed_count: retain.1,
        retain_cancelled: retain.2,
        retain_dead: retain.3,
    })
}

pub fn stats() -> impl Strategy<Value = QueueStats> {
    let totals = any::<(u64, u64, u64)>();
    (queue(), any::<[u64; 7]>(), option::of(span()), settings(), totals).prop_map(
        |(queue, numbers, oldest_available, settings, (accepted, removed, finished))| {
            let mut counts = StateCounts::default();
            for (state, number) in State::ALL.into_iter().zip(numbers) {
                *counts.slot(state) = number;
            }
            QueueStats { queue, counts, oldest_available, settings, accepted, removed, finished }
        },
    )
}

pub fn directive() -> impl Strategy<Value = Directive> {
    select(vec![Directive::Run, Directive::Quiet, Directive::Stop])
}

pub fn worker_view() -> impl Strategy<Value = WorkerView> {
    (worker(), option::of(about()), directive(), any::<u64>(), span()).prop_map(
        |(worker, about, directive, leases, silent_for)| WorkerView {
            worker,
            about: about.map(Arc::new),
            directive,
            leases,
            silent_for,
        },
    )
}
