//! Worker of the Haulier task queue: fetch, execute, keep, settle.
//!
//! A worker runs the same code over any [`haulier_core::Queue`]: in the process of a store,
//! directly on a database, or through a server. It never names a backend, and takes time and chance
//! from its [`Link`].
//!
//! | where | what |
//! |---|---|
//! | [`Worker`] | what users build and run |
//! | `fetcher`, `slots` | leases tasks for free slots |
//! | `executor`, `verdict` | one attempt: run it, decide what it leads to |
//! | `held`, `keeper`, `warden` | the leases in hand: renewed together, stopped in time |
//! | `settler` | ends leases, in batches |
//! | `shutdown` | the loops side by side, and the end in order |
//! | [`Task`], [`Handler`], [`FromTask`], [`Ctx`], [`TaskError`] | what handlers are made of |
//!
//! Invariant: what a handler returns is settled with the key of its own lease or not at all, and no
//! handler goes on past the moment from which somebody else may have its task.

mod ctx;
mod error;
mod executor;
mod extract;
mod fetcher;
mod held;
mod keeper;
mod link;
mod lock;
mod logs;
mod pause;
mod registry;
mod settler;
mod shared;
mod shutdown;
mod signals;
mod slots;
mod states;
mod task;
mod verdict;
mod warden;
mod worker;

pub use ctx::Ctx;
pub use error::TaskError;
pub use extract::{BlockingHandler, FromTask, Handler, State};
pub use link::Link;
pub use registry::AttemptService;
pub use settler::Drained;
pub use states::States;
pub use task::{Input, Raw, Task, TaskOptions, new_task};
pub use worker::Worker;
