//! What real processes are tested with: load over real clients, a register that fences, a schedule
//! from a seed, a proxy that breaks connections. Everything is recorded as a [`crate::history`] and
//! judged by [`crate::check`], as in the simulated world.
//!
//! It starts no process of Haulier and breaks no machine: whoever does that (the fault matrix of
//! the command) tells it what was done. Real processes are repeatable in kind only; what they find
//! is ported to the simulated world, or to the crash tests of the embedded store.
//!
//! | file | what |
//! |---|---|
//! | `load.rs` | producers, workers, the end: heal, drain, read, restart, read again |
//! | `register.rs` | a resource that takes only larger epochs, as handlers should use |
//! | `schedule.rs` | what breaks when, for how long, from a seed |
//! | `proxy.rs` | a TCP proxy: delay, one-way silence, cut after so many bytes, at a message |
//! | `postgres.rs` | a PostgreSQL of a test's own: killed, frozen, followed by a standby |
//! | `bouncer.rs` | a `PgBouncer` before it, which hands connections around |
//! | `redis.rs` | a Redis of a test's own: killed, frozen |
//! | `redis_trio.rs`, `redis_cluster.rs` | several that take over from each other |

mod bouncer;
mod load;
mod postgres;
mod proxy;
mod redis;
mod redis_cluster;
mod redis_trio;
mod register;
mod schedule;

pub use bouncer::PgBouncer;
pub use load::{Load, QUEUES, Seen, Shape};
pub use postgres::PgServer;
pub use proxy::{Break, Proxy};
pub use redis::RedisServer;
pub use redis_cluster::RedisCluster;
pub use redis_trio::RedisTrio;
pub use register::Register;
pub use schedule::{Dice, Strike, schedule};
