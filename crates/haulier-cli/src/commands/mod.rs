//! The commands, one file each. A command reads its options, calls the library, and returns how the
//! process shall end; it knows nothing of exit codes beyond [`crate::exit`].

pub mod bench;
pub mod config;
pub mod dead;
pub mod dev;
pub mod doctor;
pub mod enqueue;
pub mod generate;
pub mod healthcheck;
pub mod queues;
pub mod quickstart;
pub mod serve;
pub mod tasks;
pub mod verify;
pub mod work;
pub mod workers;
