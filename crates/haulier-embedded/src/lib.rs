//! The durable store of one node: one log, one index, group commit. One data directory, no other
//! program.
//!
//! ```text
//!  callers ──► inbox ──► engine (one thread, synchronous, deterministic)        disk
//!                         apply(now, command) ─► records ─► writer ─► segment files ─► fdatasync
//!                         index, lines, timers               │
//!                         answers held until durable ◄───────┘ durable_upto
//! ```
//!
//! Every answer, reads included, waits until what it rests on is durable (I1, I12). A lease waits
//! for its task, and for the end of the delivery before it, if there was one (I3), but not for
//! itself: a forgotten lease makes a task available again, nothing else. After a failed sync the
//! store stops ([`EmbeddedStore::failed`]); the next start writes and syncs the log's end again.
//!
//! | where | what |
//! |---|---|
//! | [`store`](EmbeddedStore) | the four traits over the inbox |
//! | `driver` | who gives turns: threads, or a simulation |
//! | `runner` | around the engine: group commit, held answers, waiters |
//! | `engine` | the state machine; knows no thread, clock or file |
//! | `index`, `arrivals`, `lines`, `timers` | its state, 64 bytes for a pending task |
//! | `detail`, `details`, `remembered` | what only some tasks have, and ids that are gone |
//! | `record`, `snapshot`, `parts`, `codec` | what is written, numbered for ever |
//! | `log` | segments, frames, writer, recovery, cleaner, hints |
//! | [`disk`] | the file system seam, real and simulated |
//! | [`backup`](Backup) | backups, and stores made of them |
//! | [`verify`](verify()) | offline check and repair |

mod arrivals;
mod backup;
mod codec;
mod cost;
mod detail;
mod details;
pub mod disk;
mod driver;
mod engine;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod inbox;
mod index;
mod lines;
mod log;
mod open;
mod parts;
mod place;
mod record;
mod remembered;
mod resolve;
mod runner;
mod slab;
mod snapshot;
mod store;
mod sync;
mod timers;
mod verify;
mod waiters;

pub use backup::{
    Archive, Backup, BackupError, Manifest, Raise, Restored, backup_directory, restore, restore_on,
    verify_backup,
};
pub use driver::Driver;
pub use error::{Fatal, OpenError};
pub use open::Options;
pub use store::EmbeddedStore;
pub use verify::{
    Damage, HintState, Repaired, Report, SegmentReport, repair, verify, verify_archive,
};
