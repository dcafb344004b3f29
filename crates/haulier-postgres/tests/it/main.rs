//! The contract on a real PostgreSQL, which these tests start themselves.

mod check;
mod functions;
mod migrate;
mod server;
mod tls;
mod transactions;
