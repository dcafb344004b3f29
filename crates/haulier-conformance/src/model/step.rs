//! The steps of a history and how they are drawn. Numbers are drawn from small sets, so that ids,
//! unique keys, queues and workers meet each other often.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use haulier_core::SettingsPatch;

use crate::prelude::ms;

/// One step. Tasks, queues, kinds, workers and keys are numbers; times are milliseconds.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Enqueue(Vec<Spec>),
    Lease(Vec<WantSpec>),
    Beat { worker: u8, ttl: u64, leases: Vec<BeatSpec> },
    Settle(Vec<(Pick, End)>),
    Cancel(Vec<u8>),
    Rerun(Vec<u8>),
    Delete(Vec<u8>),
    Configure { queue: u8, patch: SettingsPatch },
    Elapse(u64),
    Reopen,
}

/// How many tasks, queues, kinds, workers and unique keys there are.
pub(super) const TASKS: u8 = 24;
const QUEUES: u8 = 3;
pub(super) const KINDS: u8 = 2;
const WORKERS: u8 = 4;
const KEYS: u8 = 3;

/// A key that was handed out, counted from the newest: old ones are picked, too.
pub(super) type Pick = u8;

/// A task to be handed over. Its work follows from its number, unless it is twisted: then the same
/// id comes with other work.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    pub task: u8,
    pub queue: u8,
    pub twisted: bool,
    pub priority: u8,
    pub start: StartSpec,
    pub attempts: u32,
    pub timeout: u64,
    pub retain: Option<u64>,
    pub expires_in: Option<u64>,
    pub unique: Option<UniqueSpec>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum StartSpec {
    Now,
    After(u64),
    /// From now, by the calendar.
    At(i64),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct UniqueSpec {
    pub key: u8,
    pub window: u64,
    pub until_start: bool,
    pub on_conflict: u8,
}

#[derive(Debug, Clone)]
pub(super) struct WantSpec {
    pub worker: u8,
    pub queues: Vec<(u8, u32)>,
    pub kinds: Vec<u8>,
    pub max: u32,
    pub ttl: u64,
}

#[derive(Debug, Clone)]
pub(super) struct BeatSpec {
    pub key: Pick,
    pub progress: Option<u8>,
    pub checkpoints: Vec<(u8, u8)>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Complete(Option<u8>),
    Fail(Option<u64>),
    Reject,
    Snooze(u64),
    Release,
    Cancelled,
    /// A delay beyond the limit.
    TooLong,
}

/// One step, the frequent ones more often.
pub(super) fn steps() -> impl Strategy<Value = Step> {
    let tasks = || vec(0..TASKS, 1..4);
    prop_oneof![
        6 => vec(spec(), 1..4).prop_map(Step::Enqueue),
        7 => vec(want(), 1..4).prop_map(Step::Lease),
        4 => (0..WORKERS, ttl(), vec(beat(), 0..4))
            .prop_map(|(worker, ttl, leases)| Step::Beat { worker, ttl, leases }),
        8 => vec((pick(), end()), 1..4).prop_map(Step::Settle),
        2 => tasks().prop_map(Step::Cancel),
        2 => tasks().prop_map(Step::Rerun),
        1 => tasks().prop_map(Step::Delete),
        1 => (0..QUEUES, patch()).prop_map(|(queue, patch)| Step::Configure { queue, patch }),
        6 => elapse().prop_map(Step::Elapse),
        1 => Just(Step::Reopen),
    ]
}

fn spec() -> impl Strategy<Value = Spec> {
    let what =
        (0..TASKS, 0..QUEUES, prop::bool::weighted(0.1), prop::sample::select(vec![0, 4, 9]));
    let start = prop_oneof![
        4 => Just(StartSpec::Now),
        1 => (1..90_000u64).prop_map(StartSpec::After),
        1 => (-9_000..90_000i64).prop_map(StartSpec::At),
    ];
    let timeout = prop_oneof![3 => Just(1_800_000), 1 => 1_000..40_000u64];
    let retain = option::weighted(0.2, 0..300_000u64);
    let expires_in = option::weighted(0.2, 1..120_000u64);
    let policy = (1..6u32, timeout, retain, expires_in);
    let unique = (0..KEYS, prop_oneof![Just(0), 1..200_000u64], any::<bool>(), 0..3u8).prop_map(
        |(key, window, until_start, on_conflict)| UniqueSpec {
            key,
            window,
            until_start,
            on_conflict,
        },
    );
    (what, start, policy, option::weighted(0.3, unique)).prop_map(
        |((task, queue, twisted, priority), start, policy, unique)| {
            let (attempts, timeout, retain, expires_in) = policy;
            Spec {
                task,
                queue: if twisted { queue } else { task % QUEUES },
                twisted,
                priority,
                start,
                attempts,
                timeout,
                retain,
                expires_in,
                unique,
            }
        },
    )
}

fn want() -> impl Strategy<Value = WantSpec> {
    let queues = vec((0..QUEUES, 0..4u32), 1..4);
    let kinds = prop_oneof![3 => Just(Vec::new()), 1 => vec(0..KINDS, 1..3)];
    (0..WORKERS, queues, kinds, 0..6u32, ttl())
        .prop_map(|(worker, queues, kinds, max, ttl)| WantSpec { worker, queues, kinds, max, ttl })
}

fn beat() -> impl Strategy<Value = BeatSpec> {
    let checkpoints = vec((0..3u8, any::<u8>()), 0..3);
    (pick(), option::of(any::<u8>()), checkpoints)
        .prop_map(|(key, progress, checkpoints)| BeatSpec { key, progress, checkpoints })
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        6 => option::of(any::<u8>()).prop_map(End::Complete),
        4 => option::weighted(0.8, 1..60_000u64).prop_map(End::Fail),
        1 => Just(End::Reject),
        2 => (1..60_000u64).prop_map(End::Snooze),
        2 => Just(End::Release),
        1 => Just(End::Cancelled),
        1 => Just(End::TooLong),
    ]
}

/// A patch of one setting.
fn set<T: std::fmt::Debug>(
    values: impl Strategy<Value = T>,
    set: impl Fn(&mut SettingsPatch, T),
) -> impl Strategy<Value = SettingsPatch> {
    values.prop_map(move |value| {
        let mut patch = SettingsPatch::default();
        set(&mut patch, value);
        patch
    })
}

fn patch() -> impl Strategy<Value = SettingsPatch> {
    let span = || (0..300_000u64).prop_map(ms);
    prop_oneof![
        set(any::<bool>(), |patch, paused| patch.paused = Some(paused)),
        set(option::of(1..3u32), |patch, most| patch.concurrency = Some(most)),
        set(option::of(0..8u64), |patch, most| patch.max_tasks = Some(most)),
        set(0..4u64, |patch, most| patch.retain_completed_count = Some(most)),
        set(span(), |patch, span| patch.retain_completed = Some(span)),
        set(span(), |patch, span| patch.retain_cancelled = Some(span)),
        set(span(), |patch, span| patch.retain_dead = Some(span)),
        Just(SettingsPatch::default()),
    ]
}

/// Mostly the newest.
fn pick() -> impl Strategy<Value = Pick> {
    prop_oneof![5 => 0..4u8, 1 => 0..40u8]
}

fn ttl() -> impl Strategy<Value = u64> {
    prop_oneof![1 => 100..5_000u64, 2 => 5_000..60_000u64]
}

fn elapse() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 1..5_000u64, 3 => 5_000..60_000u64, 1 => 60_000..4_000_000u64]
}
