//! The workloads, each in a file: what it does to a site, and which figures come out. They share
//! the way tasks are handed over and taken ([`super::run`]), and leave to [`super`] how often they
//! run and what becomes of their figures.

pub mod backlog;
pub mod burst;
pub mod idle;
pub mod latency;
pub mod lifecycle;
pub mod memory;
pub mod one_way;
pub mod payloads;
pub mod priorities;
pub mod recovery;
pub mod retries;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::books::{Audited, Books};
use super::run::{Amount, Callers, Job, Make, Run};
use super::site::Site;
use crate::exit::Result;

/// One row of a benchmark: a workload with its numbers.
#[async_trait]
pub trait Case: fmt::Debug + Send + Sync {
    /// What tells it apart from the workload's other rows.
    fn label(&self) -> String {
        String::new()
    }

    /// Bytes of a payload, if the workload decides that.
    fn payload_bytes(&self) -> Option<usize> {
        None
    }

    /// How what it does to the disk is counted.
    fn counting(&self) -> Counting {
        Counting::Apart
    }

    /// Whether it looks at the server's process, which then has to be ours.
    fn needs_server(&self) -> bool {
        false
    }

    /// Measures it once.
    async fn round(&self, site: &mut Site) -> Result<Round>;
}

/// How what a case does to the disk is counted where that takes tracing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// In a round more, which is not timed.
    Apart,
    /// In the rounds themselves: hardly anything is traced in them.
    Within,
    /// Not at all, and why.
    Not(&'static str),
}

/// What came out of a round.
#[derive(Debug)]
pub struct Round {
    /// Its books, balanced.
    pub audited: Audited,
    /// Its figures; the first is the one that the workload is for.
    pub values: Vec<Value>,
}

/// One figure of a round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Value {
    /// What it is.
    pub name: &'static str,
    /// What it is counted in.
    pub unit: &'static str,
    /// Whether more is better.
    pub more_is_better: bool,
    /// How much it is.
    pub amount: f64,
}

impl Value {
    /// A figure of which more is better.
    pub const fn more(name: &'static str, unit: &'static str, amount: f64) -> Self {
        Self { name, unit, more_is_better: true, amount }
    }

    /// A figure of which less is better.
    pub const fn less(name: &'static str, unit: &'static str, amount: f64) -> Self {
        Self { name, unit, more_is_better: false, amount }
    }

    /// So many in that time.
    pub fn rate(name: &'static str, count: u64, took: Duration) -> Self {
        Self::more(name, "/s", float(count) / took.as_secs_f64().max(1e-9))
    }

    /// A time, in milliseconds.
    pub fn millis(name: &'static str, time: Duration) -> Self {
        Self::less(name, "ms", time.as_secs_f64() * 1_000.0)
    }
}

/// A count, to be divided.
#[expect(clippy::cast_precision_loss, reason = "figures for people have three digits")]
pub const fn float(count: u64) -> f64 {
    count as f64
}

/// Half and all but one in a hundred of the times that were measured.
pub fn quantiles(audited: &Audited) -> [Value; 2] {
    let times = &audited.times;
    [Value::millis("p50", times.at(500)), Value::millis("p99", times.at(990))]
}

/// Hands tasks over and ends them, both at the same time, until all are accepted. Answers how long
/// that took.
pub async fn flow(
    site: &Site,
    run: &Arc<Run>,
    callers: Callers,
    amount: Amount,
    (make, job): (&Make, Job),
) -> Result<(Books, Duration)> {
    let began = site.clock.monotonic();
    let produce = async {
        let books = run.produce(&site.clients, callers, amount, make).await?;
        run.close();
        Ok(books)
    };
    let (mut books, worked) = tokio::try_join!(produce, run.work(&site.clients, callers, job))?;
    let took = site.clock.monotonic().saturating_sub(began);
    books.add(worked);
    Ok((books, took))
}

/// Hands tasks over while nobody takes them; nothing more comes afterwards.
pub async fn fill(
    site: &Site,
    run: &Arc<Run>,
    callers: Callers,
    amount: Amount,
    make: &Make,
) -> Result<(Books, Duration)> {
    let began = site.clock.monotonic();
    let books = run.produce(&site.clients, callers, amount, make).await?;
    let took = site.clock.monotonic().saturating_sub(began);
    run.close();
    Ok((books, took))
}

/// Ends what stands in the queue, until all is accepted.
pub async fn drain(
    site: &Site,
    run: &Arc<Run>,
    callers: Callers,
    job: Job,
) -> Result<(Books, Duration)> {
    let began = site.clock.monotonic();
    let books = run.work(&site.clients, callers, job).await?;
    Ok((books, site.clock.monotonic().saturating_sub(began)))
}
