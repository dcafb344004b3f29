//! The server of Haulier: gRPC and HTTP/JSON on one port, over any store.
//!
//! It adds no semantics. What a call means is the store's to say; the server reads it, hands it on
//! and writes the answer, within limits.
//!
//! | where | what |
//! |---|---|
//! | [`config`] | one table of settings, read from flags, environment, file and defaults |
//! | [`api`] | the types of the HTTP interface, also what the command line prints as JSON |
//! | `grpc` | the gRPC services, the worker's stream among them |
//! | `http` | the HTTP calls: routes, bodies, errors |
//! | `door` | how bodies come in |
//! | `leave` | how large answers go out |
//! | `rates` | how fast queues move |
//! | `room` | how much the server may hold for callers |
//! | `listen` | the port and the limits of connections |
//! | `connection` | a connection whose reader must read |
//! | [`run`] | the life of a server: open, bind, serve, drain, close; exit codes |
//! | [`logs`] | the shape of log lines |
//! | `summary` | a line a minute in the log |
//! | [`shared`] | what every call needs: the store, time, chance, the drain |

pub mod api;
pub mod config;
mod connection;
mod decide;
mod door;
mod grpc;
mod http;
mod leave;
mod listen;
pub mod logs;
mod rates;
mod room;
pub mod run;
pub mod shared;
mod summary;

pub use config::{Config, ConfigError, Sources};
pub use http::openapi;
pub use run::{Bound, Server, StartError, exit_code};
pub use shared::Shared;
