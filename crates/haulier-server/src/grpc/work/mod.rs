//! The worker's stream: credit, settlements and beats up; deliveries, answers and notices down.
//!
//! | where | what |
//! |---|---|
//! | [`session`] | the life of one stream, from Hello to its end |
//! | [`jobs`] | what a stream asks of the store without waiting for it |
//! | [`claimer`] | the one place that leases for all streams |
//! | [`sessions`] | which stream a worker has; a newer one supersedes it |
//! | [`down`] | frames to the worker |

mod claimer;
mod down;
mod jobs;
pub(super) mod session;
mod sessions;

pub(super) use claimer::Claims;
pub(super) use sessions::Sessions;
