//! The types of the HTTP interface, in one module: what goes in, what comes out. The command line
//! prints the same types for `-o json`.
//!
//! Words are those of the core, in `snake_case`. Durations go in as text or seconds and come out as
//! seconds; instants come out as RFC 3339; an epoch is digits in a string; a JSON payload is
//! embedded as it was written, other bytes stand in `…_base64`. Unknown fields are refused on the
//! way in. Whatever cannot be read fails the call with its path; whether it is allowed is the
//! store's to say, task by task. Nothing here knows of requests, statuses or sockets.

mod about;
mod bulk;
mod bytes;
mod enqueue;
mod lease;
mod pairs;
mod problem;
mod queue;
mod settle;
mod task;
mod text;
mod words;
mod worker;

pub use about::{About, Capabilities, Check, Durability, Limits, Ready};
pub use bulk::{Bulk, BulkAnswer, BulkChanged, ChangeAnswer, Changed, Chosen};
pub use bytes::{Base64, Body};
pub use enqueue::{EnqueueAnswer, EnqueueMany, Enqueued, EnqueuedMany, NewTask, Unique};
pub use lease::{
    AboutWorker, Beat, BeatLease, BeatReply, Checkpoint, HeldLease, Lease, Leases, Progress, Want,
};
pub use pairs::Pairs;
pub use problem::{FieldProblem, Problem, Refused};
pub(crate) use queue::approximate;
pub use queue::{
    Queue, QueuePage, Rates, Retain, RetainPatch, Settings, SettingsPatch, StateCounts,
};
pub use settle::{Answer, Ending, Failure, Outcome, Settle, SettleAnswer, Settled, Settlement};
pub use task::{Backoff, Delivery, LastError, TaskLease, TaskPage, TaskView};
pub use text::{Epoch, IdText, Instant, KindText, QueueText, Span, Text, WorkerText};
pub use words::{
    CauseWord, ClassWord, ConflictWord, DirectiveWord, EndedWord, HeldWord, ReasonWord, StateWord,
    UntilWord, Word,
};
pub use worker::{Directed, Worker, Workers};
