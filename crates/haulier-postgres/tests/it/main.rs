//! The contract on a real PostgreSQL, which these tests start themselves.

mod functions;
mod looks;
mod migrate;
mod rig;
mod server;
mod sweeps;
mod transactions;
