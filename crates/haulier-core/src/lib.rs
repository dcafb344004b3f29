//! Nouns, storage traits and pure rules of Haulier, a durable distributed task queue.
//!
//! Everything else stands on this crate: a backend implements its traits, a worker and a server
//! call them, and the conformance suite holds every implementation to the contract written here. It
//! knows no runtime, no file and no socket; time comes in through [`Clock`] and chance through
//! [`Entropy`].
//!
//! | where | what |
//! |---|---|
//! | [`task`], [`name`], [`lease`] | the nouns: a task, its names, a worker's right to run it |
//! | [`queue`], [`inspect`], [`control`], [`maintain`] | the four traits; [`Store`] is their sum |
//! | [`mod@transition`], [`retry`], [`unique`] | pure rules that every store is tested against |
//! | [`filter`], [`span`] | the filter grammar and the spelling of durations |
//! | [`limits`] | a limit on everything |
//! | [`capabilities`] | what a store can keep, and how durably |
//! | [`clock`], [`entropy`] | the seams for time and chance |
//! | [`lease_time`] | how leases outlive a database's calendar |
//! | [`error`], [`invariant`] | one error; the numbered promises |
//! | [`probe`] | planted bugs, rare states and failpoints, for tests alone |

pub mod capabilities;
pub mod clock;
pub mod control;
pub mod entropy;
pub mod error;
pub mod filter;
pub mod inspect;
pub mod invariant;
pub mod lease;
pub mod lease_time;
pub mod limits;
pub mod maintain;
pub mod name;
#[cfg(test)]
mod planted;
pub mod probe;
pub mod queue;
pub mod retry;
pub mod span;
pub mod task;
mod timer;
pub mod transition;
pub mod unique;

pub use capabilities::{Capabilities, Durability};
pub use clock::{Clock, ManualClock, Reading, StoreTime, SystemClock, Timestamp};
pub use control::{Changed, Control, QueueSettings, SettingsPatch};
pub use entropy::{Entropy, SeededEntropy};
pub use error::{Code, Error, Refusal, Result};
pub use filter::Filter;
pub use inspect::{
    Delivery, Include, Inspect, LeaseView, Page, PageRequest, QueueStats, StateCounts, TaskView,
    WorkerView,
};
pub use lease::{
    Beat, BeatReply, Cause, Checkpoint, Directive, Ended, Epoch, Failure, Held, Lease, LeaseBeat,
    LeaseKey, Outcome, Progress, Settled, Settlement, Want, WantedQueue, WorkerAbout,
};
pub use maintain::{Maintain, Store, Swept};
pub use name::{Kind, QueueName, WorkerId};
pub use queue::{Enqueued, Queue};
pub use retry::Backoff;
pub use task::{NewTask, Pairs, Payload, Policy, Priority, Start, Task, TaskId};
pub use transition::{DeadReason, Event, Standing, State, transition};
pub use unique::{OnConflict, Unique, Until};
