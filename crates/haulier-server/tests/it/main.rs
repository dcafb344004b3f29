//! The server over real sockets, as its clients see it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod fuzzed;
mod http;
mod postgres;
mod redis;
#[path = "../../../haulier-redis/tests/it/rig.rs"]
mod redis_rig;
#[path = "../../../haulier-redis/tests/it/redis_server.rs"]
mod redis_server;
mod remote;
#[path = "../../../haulier-postgres/tests/it/rig.rs"]
mod rig;
mod run;
#[path = "../../../haulier-postgres/tests/it/server.rs"]
mod server;
mod settings;
mod site;
mod stream;
mod tls;
