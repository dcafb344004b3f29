//! Tasks as columns: what a statement that stores many of them is given.

use haulier_core::{Backoff, NewTask, OnConflict, Policy, Start, Until};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::Given;
use crate::now::{millis, span};
use crate::row::{content_type_column, uuid};
use crate::text::{array, escape, numbers};

/// What every task has.
#[derive(Debug)]
pub(super) struct Columns<'a> {
    pub ids: Vec<Uuid>,
    pub queues: Vec<i32>,
    pub priorities: Vec<i16>,
    pub kinds: Vec<&'a str>,
    pub payloads: Vec<&'a [u8]>,
    pub content_types: Vec<Option<&'a str>>,
}

/// What few tasks have.
#[derive(Debug)]
pub(super) struct More {
    pub delays: Vec<Option<i64>>,
    pub ats: Vec<Option<i64>>,
    pub max_attempts: Vec<Option<i32>>,
    pub timeouts: Vec<Option<i64>>,
    pub backoffs: Vec<Option<String>>,
    pub retains: Vec<Option<i64>>,
    pub expires_ins: Vec<Option<i64>>,
    pub headers: Vec<Option<String>>,
    pub labels: Vec<Option<String>>,
    pub unique_keys: Vec<Option<String>>,
    pub unique_windows: Vec<Option<i64>>,
    pub unique_untils: Vec<Option<i16>>,
    pub unique_conflicts: Vec<Option<i16>>,
}

/// Everything that the statement `enqueue` is given.
#[derive(Debug)]
pub(super) struct All<'a> {
    /// The time, if it was read before.
    pub wall: Option<i64>,
    /// Leaves out tasks of queues with `max_tasks`.
    pub unlimited: bool,
    pub columns: Columns<'a>,
    pub more: More,
}

/// Whether a task has nothing but what every task has.
pub(super) fn is_bare(task: &NewTask) -> bool {
    task.start == Start::Now
        && task.policy == Policy::default()
        && task.expires_in.is_none()
        && task.headers.is_empty()
        && task.labels.is_empty()
        && task.unique.is_none()
}

impl<'a> Columns<'a> {
    pub(super) fn of(given: &[Given<'a>]) -> Self {
        Self {
            ids: given.iter().map(|given| uuid(given.task.id)).collect(),
            queues: given.iter().filter_map(|given| given.queue).collect(),
            priorities: column(given, |task| i16::from(task.priority.get())),
            kinds: column(given, |task| task.kind.as_str()),
            payloads: column(given, |task| &*task.payload.bytes),
            content_types: column(given, |task| content_type_column(&task.payload)),
        }
    }
}

impl More {
    pub(super) fn of(given: &[Given<'_>]) -> Self {
        let plain = Policy::default();
        let unique = |task: &NewTask| task.unique.clone();
        Self {
            delays: column(given, |task| match task.start {
                Start::After(delay) => Some(span(delay)),
                Start::Now | Start::At(_) => None,
            }),
            ats: column(given, |task| match task.start {
                Start::At(at) => Some(millis(at)),
                Start::Now | Start::After(_) => None,
            }),
            max_attempts: column(given, |task| {
                let most = i32::try_from(task.policy.max_attempts).unwrap_or(i32::MAX);
                (task.policy.max_attempts != plain.max_attempts).then_some(most)
            }),
            timeouts: column(given, |task| {
                (task.policy.timeout != plain.timeout).then(|| span(task.policy.timeout))
            }),
            backoffs: column(given, |task| {
                (task.policy.backoff != plain.backoff).then(|| backoff(&task.policy.backoff))
            }),
            retains: column(given, |task| task.policy.retain.map(span)),
            expires_ins: column(given, |task| task.expires_in.map(span)),
            headers: column(given, |task| pairs(&task.headers)),
            labels: column(given, |task| pairs(&task.labels)),
            unique_keys: column(given, |task| {
                unique(task).map(|unique| escape(&unique.key).into_owned())
            }),
            unique_windows: column(given, |task| unique(task).map(|unique| span(unique.window))),
            unique_untils: column(given, |task| {
                unique(task).map(|unique| i16::from(unique.until == Until::Finish))
            }),
            unique_conflicts: column(given, |task| {
                unique(task).map(|unique| match unique.on_conflict {
                    OnConflict::Return => 0,
                    OnConflict::Reject => 1,
                    OnConflict::Replace => 2,
                })
            }),
        }
    }
}

impl All<'_> {
    /// In the order of the statement.
    pub(super) fn params(&self) -> [&(dyn ToSql + Sync); 21] {
        let Self { wall, unlimited, columns, more } = self;
        [
            wall,
            unlimited,
            &columns.ids,
            &columns.queues,
            &columns.priorities,
            &columns.kinds,
            &columns.payloads,
            &columns.content_types,
            &more.delays,
            &more.ats,
            &more.max_attempts,
            &more.timeouts,
            &more.backoffs,
            &more.retains,
            &more.expires_ins,
            &more.headers,
            &more.labels,
            &more.unique_keys,
            &more.unique_windows,
            &more.unique_untils,
            &more.unique_conflicts,
        ]
    }
}

fn column<'a, T>(given: &[Given<'a>], of: impl Fn(&'a NewTask) -> T) -> Vec<T> {
    given.iter().map(|given| of(given.task)).collect()
}

fn backoff(backoff: &Backoff) -> String {
    numbers(&[
        span(backoff.base),
        span(backoff.max),
        i64::from(backoff.factor_permille),
        i64::from(backoff.jitter_permille),
    ])
}

fn pairs(pairs: &haulier_core::Pairs) -> Option<String> {
    (!pairs.is_empty()).then(|| array(pairs.iter().flat_map(|(name, value)| [name, value])))
}
