//! The worker's stream: credit, settlements and beats up; deliveries, answers and notices down.
//!
//! | where | what |
//! |---|---|
//! | [`session`] | the life of one stream, from Hello to its end |
//! | [`jobs`] | what a stream asks of the store without waiting for it |
//! | [`claim`] | the call that waits in the store for a credit |
//! | [`sessions`] | which stream a worker has; a newer one supersedes it |
//! | [`down`] | frames to the worker |

mod claim;
mod down;
mod jobs;
pub(super) mod session;
mod sessions;

pub(super) use sessions::Sessions;
