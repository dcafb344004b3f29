//! The commands, one file each. A command reads its options, calls the library, and returns how the
//! process shall end; it knows nothing of exit codes beyond [`crate::exit`].

pub mod backup;
pub mod bench;
pub mod config;
pub mod dead;
pub mod dev;
pub mod doctor;
pub mod enqueue;
pub mod export;
pub mod generate;
pub mod healthcheck;
pub mod import;
pub mod migrate;
pub mod queues;
pub mod quickstart;
pub mod restore;
pub mod serve;
pub mod tasks;
mod transfer;
pub mod verify;
pub mod work;
pub mod workers;
