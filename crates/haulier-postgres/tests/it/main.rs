//! The contract on a real PostgreSQL, which these tests start themselves.

mod bad_days;
mod check;
mod claims;
mod contract;
mod functions;
mod looks;
mod migrate;
mod outages;
mod plain;
mod planted;
mod pooling;
mod rig;
mod server;
mod sweeps;
mod tls;
mod transactions;
