//! The contract of the worker, over the memory store and a clock that the tests move.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod attempts;
mod faults;
mod limits;
mod setup;
mod stops;
mod world;

use serde::{Deserialize, Serialize};

/// What the tests hand over: a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Which of them.
    pub number: u32,
}

impl haulier_worker::Task for Job {
    const KIND: &'static str = "job";
    type Output = String;
}
