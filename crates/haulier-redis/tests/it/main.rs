//! The contract on a real Redis, which these tests start themselves.

mod check;
mod contract;
mod damage;
mod failover;
mod loss;
mod redis_server;
mod rig;
mod several;
mod together;
