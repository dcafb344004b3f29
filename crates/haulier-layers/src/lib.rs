//! Layers: each is a [`haulier_core::Queue`] over another one, adds one thing and forwards the
//! rest. They know no store, no wire and no runtime, and stack in any order.
//!
//! | layer | adds |
//! |---|---|
//! | [`Validate`] | refuses what breaks a rule before it is sent |
//! | [`Coalesce`] | merges calls that are made at the same time |
//! | [`Retry`] | repeats calls that failed for the moment |
//! | [`Faulty`] | fails on purpose, by a seed: for tests |

mod coalesce;
mod faulty;
mod lane;
mod retry;
mod validate;

pub use coalesce::Coalesce;
pub use faulty::{Faults, Faulty};
pub use retry::Retry;
pub use validate::Validate;
