//! What a store can keep, said before anything is stored in it.
//!
//! A user meets a missing capability when connecting or enqueueing ([`crate::Code::NotSupported`]),
//! never in the middle of the night.

use std::fmt;
use std::time::Duration;

/// How much has to go wrong before an acknowledged task is lost. Ordered: more is safer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// Memory: lost with the process.
    D0,
    /// Operating system's cache or an asynchronous replica: lost with the machine.
    D1,
    /// Synced to disk before the acknowledgement, on one node: lost with its disk.
    D2,
    /// On several machines before the acknowledgement: survives the loss of one.
    D3,
}

impl Durability {
    /// The class as people write it: `D2`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::D0 => "D0",
            Self::D1 => "D1",
            Self::D2 => "D2",
            Self::D3 => "D3",
        }
    }

    /// What the class survives, in words for a start-up line.
    pub const fn explain(self) -> &'static str {
        match self {
            Self::D0 => "memory only: tasks are lost when the process ends",
            Self::D1 => "operating system's cache: survives a killed process, not a power cut",
            Self::D2 => "synced to disk before every acknowledgement: survives a power cut",
            Self::D3 => "on several machines before every acknowledgement: survives losing one",
        }
    }

    /// The class of that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::D0, Self::D1, Self::D2, Self::D3].into_iter().find(|class| class.as_str() == text)
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a store can do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent ability")]
pub struct Capabilities {
    /// The store's name: `memory`, `embedded`, `postgres`, …
    pub store: String,
    /// What an acknowledgement is worth.
    pub durability: Durability,
    /// Tasks can be looked up and listed by id and filter.
    pub lookup: bool,
    /// Unique keys are honoured.
    pub unique: bool,
    /// A task can be cancelled.
    pub cancel: bool,
    /// Results, progress and checkpoints are kept.
    pub results: bool,
    /// Within a queue, higher priorities come first and equals in order of their enqueueing.
    pub ordered: bool,
    /// How long a task's id is remembered after the task is gone.
    pub dedup_window: Duration,
    /// Largest payload or result accepted, in bytes.
    pub payload_bytes_max: usize,
}

impl Capabilities {
    /// A store that keeps everything, as the embedded one does.
    pub fn full(store: impl Into<String>, durability: Durability) -> Self {
        Self {
            store: store.into(),
            durability,
            lookup: true,
            unique: true,
            cancel: true,
            results: true,
            ordered: true,
            dedup_window: crate::limits::DEDUP_WINDOW,
            payload_bytes_max: crate::limits::PAYLOAD_BYTES_DEFAULT,
        }
    }
}
