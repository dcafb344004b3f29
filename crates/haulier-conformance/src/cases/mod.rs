//! The contract, one file a noun. A case is an async function whose name is the sentence that it
//! proves and whose comment names the invariant. Add a case to the list in `suite.rs`, too.

pub mod beat;
pub mod bounds;
pub mod cancel;
pub mod control;
pub mod enqueue;
pub mod fence;
pub mod inspect;
pub mod lease;
pub mod queues;
pub mod retention;
pub mod retry;
pub mod settle;
pub mod sharing;
pub mod timers;
pub mod unique;
pub mod workers;
