//! The contract on a real Redis, which these tests start themselves.

mod acl;
mod check;
mod cluster;
mod contract;
mod damage;
mod failover;
mod loss;
mod patience;
mod redis_server;
mod rig;
mod rig_of;
mod sentinel;
mod several;
mod tls;
mod together;
