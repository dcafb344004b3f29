//! The contract on a real PostgreSQL, which these tests start themselves.

mod migrate;
mod server;
