//! The trait for housekeeping, and the sum of all traits.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::control::Control;
use crate::error::Result;
use crate::inspect::Inspect;
use crate::queue::Queue;

/// What a store's own node does with it. There is no leader: every node may sweep on a jittered
/// tick.
#[async_trait]
pub trait Maintain: fmt::Debug + Send + Sync + 'static {
    /// One bounded slice of promoting, expiring and pruning: at most `budget` tasks are touched. It
    /// is idempotent, and says when it is next needed (zero: at once, there was more than the
    /// budget).
    async fn sweep(&self, budget: usize) -> Result<Swept>;
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Tasks that became available because their time had come.
    pub promoted: u64,
    /// Leases that ran out.
    pub lost: u64,
    /// Tasks that did not start in time.
    pub expired: u64,
    /// Finished tasks that were forgotten.
    pub pruned: u64,
    /// When to sweep again at the latest.
    pub next: Duration,
}

/// A whole store: its own node may do everything with it.
pub trait Store: Queue + Inspect + Control + Maintain {}

impl<S: Queue + Inspect + Control + Maintain> Store for S {}
