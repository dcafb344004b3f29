//! Haulier, a durable distributed task queue.
//!
//! Applications hand work over and go on; Haulier stores it, gives it to a worker at the right
//! time, makes sure that it is finished once, and tries it again when it fails.
//!
//! | where | what |
//! |---|---|
//! | [`connect`], [`Client`] | handing tasks over: from memory, a directory or a server, by URL |
//! | [`Worker`], [`Ctx`], [`TaskError`] | doing them |
//! | [`store`], [`janitor`] | opening a store in this process and keeping house in it |
//! | [`bulk`] | cancelling, rerunning, deleting by filter |
//! | `testing` | a world in memory whose time the test owns (feature `testing`) |
//! | [`core`] | every noun and trait, for whoever writes a store, a layer or a tool |
//!
//! This crate alone knows every backend; each stands behind a cargo feature of its name.

pub mod bulk;
mod client;
mod connect;
#[cfg(all(doctest, feature = "derive", feature = "testing"))]
mod documents;
mod enqueue;
mod entropy;
pub mod janitor;
mod sent;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;

pub use client::{Client, ClientParts};
pub use connect::{Builder, Identity, URL_DEFAULT, connect};
pub use enqueue::Enqueue;
pub use entropy::system_entropy;
pub use haulier_core as core;
pub use haulier_core::{
    Backoff, Cause, Code, DeadReason, Durability, Enqueued, Error, Filter, NewTask, OnConflict,
    Payload, Priority, Result, State as TaskState, TaskId, TaskView, Timestamp, Until,
};
pub use haulier_layers as layers;
pub use haulier_worker::{
    AttemptService, BlockingHandler, Ctx, Drained, FromTask, Handler, Input, Link, Raw, State,
    States, Task, TaskError, TaskOptions, Worker, new_task,
};
pub use sent::{ResultError, Sent};

#[cfg(feature = "derive")]
pub use haulier_derive::Task;
#[cfg(feature = "postgres")]
pub use haulier_postgres as postgres;
#[cfg(feature = "redis")]
pub use haulier_redis as redis;

/// What nearly every program uses.
pub mod prelude {
    pub use crate::{Client, Ctx, Raw, State, Task, TaskError, Worker, connect};
}
