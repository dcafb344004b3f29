//! In-memory store: the executable specification of Haulier's traits.
//!
//! One mutex guards a plain, synchronous state that is told the time and knows nothing of waiting;
//! around it lies an async shell that only waits. Every other store is compared with this one,
//! history by history, so clarity comes before speed: whoever wants to know what a verb does reads
//! the file of its name. What a restart means is said here too ([`MemoryStore::restart`]), although
//! memory survives none.
//!
//! | file | what |
//! |---|---|
//! | `state.rs`, `line.rs` | tasks, their indexes, and the one place where a state changes |
//! | `timers.rs` | what time alone does: due, expired, lost, pruned, forgotten |
//! | `enqueue.rs`, `lease.rs`, `beat.rs`, `settle.rs`, `control.rs` | the verbs |
//! | `view.rs`, `workers.rs` | what is shown of tasks, queues and workers |
//! | `waiting.rs`, `store.rs` | the async shell and the traits |

mod beat;
mod control;
mod enqueue;
mod lease;
mod line;
mod settle;
mod state;
mod store;
mod timers;
mod view;
mod waiting;
mod workers;

pub use store::MemoryStore;
