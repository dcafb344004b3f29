//! The server over real sockets, as its clients see it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod fuzzed;
mod http;
mod remote;
mod run;
mod settings;
mod site;
mod stream;
mod tls;
