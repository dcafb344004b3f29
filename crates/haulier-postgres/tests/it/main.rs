//! The contract on a real PostgreSQL, which these tests start themselves.

mod functions;
mod migrate;
mod server;
mod transactions;
