//! The HTTP calls.

mod change;
mod description;
mod errors;
mod limits;
mod queues;
mod tasks;
mod work;
