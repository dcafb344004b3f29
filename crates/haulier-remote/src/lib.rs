//! Client of the Haulier task queue over gRPC: the storage traits, served from afar.
//!
//! [`RemoteStore`] is one more implementation of `Queue`, `Inspect` and `Control`: a worker cannot
//! tell it from a store in its own process. A call that waits for tasks opens the worker's stream;
//! while it is open, that worker's beats and settlements ride on it, the server knows within two
//! seconds when the worker is gone, and cancellations are heard at once. Everything else is a
//! unary call.
//!
//! Calls are repeated within a deadline while no server can be reached, and, where repeating is
//! harmless (the ids are the caller's), also after an answer was lost.
//!
//! **Time of a lease.** A store grants a lease at a moment that the caller cannot see. Every lease
//! that a call returns answers a request or a credit that was sent within that call, also after a
//! reconnect: so its ttl is safe when it is counted from when the call was made, and only then.
//!
//! | where | what |
//! |---|---|
//! | [`options`] | where to connect and how |
//! | `net` | servers, connections, going to the next one |
//! | `call` | one call, repeated while that is safe and useful |
//! | `queue`, `inspect`, `control` | the traits |
//! | `stream` | a worker's stream |

mod call;
mod control;
mod inspect;
mod net;
pub mod options;
mod queue;
mod store;
mod stream;

pub use options::{Identity, RemoteOptions, Tls};
pub use store::RemoteStore;
