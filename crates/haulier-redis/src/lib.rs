//! Redis store of Haulier: many servers, one Redis, the whole contract in atomic scripts.
//!
//! Every verb is one script for its whole batch. It carries core's rules out, written down once
//! more in Lua: what happens to a task is decided where it stands, in one step. No server knows
//! more than another one, and none leads. Times are Redis's own. It knows no wire, no worker and
//! no other store.
//!
//! | where | what |
//! |---|---|
//! | `lua/` | the scripts, one a verb, behind a common prelude that explains the indexes |
//! | `keys`, `script`, `pack` | what scripts are given: keys, code, arguments |
//! | `db`, `error` | the connection, and what a failure means |
//! | `time` | the time of leases, which a calendar that jumps does not move |
//! | `witness`, `look` | whether something was lost: against what was told, and in itself |
//! | `options`, `check`, `node` | how a Redis is named, what it must be like, who serves it |
//! | `definition`, `record`, `about`, `fields` | core's nouns as they are kept |
//! | `enqueue`, `lease`, `beat`, `settle`, `control`, `sweep` | the verbs |
//! | `claim/`, `notify/`, `workers` | who waits for what, and who is woken for it |
//! | `inspect` | looking |

mod about;
mod beat;
mod check;
mod claim;
mod control;
mod db;
mod definition;
mod enqueue;
mod error;
mod fields;
mod inspect;
mod keys;
mod lease;
mod look;
mod node;
mod notify;
mod options;
mod pack;
mod record;
mod script;
mod settle;
mod store;
mod sweep;
mod time;
mod witness;
mod workers;

pub use error::{Fatal, OpenError};
pub use options::{Options, Tls, TlsMode};
pub use store::RedisStore;
pub use witness::Counts;
