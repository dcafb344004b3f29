//! PostgreSQL store of Haulier: many servers, one database.
//!
//! What happens to a task is decided by core's rules, under locks that PostgreSQL keeps; no server
//! knows more than another one, and none leads. Times in tables are the database's own. It knows no
//! wire, no worker and no other store.
//!
//! | where | what |
//! |---|---|
//! | `migrations/` | the tables, which explain the design; `migrate` brings them in |
//! | `sql/` | one statement a file |
//! | `db/` | connections, transactions, statements, and what a failure means |
//! | `options`, `check` | how a database is named, and what it must be like before it is served |
//! | `names`, `row`, `now`, `text` | queue names and their numbers; rows and core's nouns |
//! | `known`, `delivery`, `change`, `tally` | a task as its rows tell it, and writing it back |
//! | `enqueue/`, `settle/`, `beat`, `lane` | the verbs that write most, and their merging |
//! | `claim/`, `notify`, `watch`, `workers` | who gets what, and who is woken for it |
//! | `inspect/`, `control` | looking and operating |
//! | `sweep/` | what time alone does |

mod beat;
mod change;
mod check;
mod claim;
mod control;
mod db;
mod delivery;
mod enqueue;
mod error;
mod holder;
mod inspect;
mod known;
mod lane;
mod locked;
pub mod migrate;
mod names;
mod notify;
mod now;
mod options;
mod row;
mod settle;
mod store;
mod sweep;
mod tally;
mod text;
mod tx;
mod watch;
mod workers;

pub use error::{Fatal, OpenError};
pub use options::Options;
pub use store::PgStore;
pub use tokio_postgres;
