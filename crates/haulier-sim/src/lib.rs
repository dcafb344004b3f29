//! A world that a seed decides, and a checker of what happened in it.
//!
//! Whoever drives Haulier under faults (the simulated world here, real processes elsewhere) records
//! what clients asked, what they were told and what was done to the system: a [`history`]. The
//! checker reads nothing else, so it knows no store and no fault injector.
//!
//! | where | what |
//! |---|---|
//! | [`history`] | what happened, one JSON line an item |
//! | [`recorded`] | layers over the traits that write it |
//! | [`check`] | what must not have happened |
//! | [`world`] | nodes, load and faults from a seed |
//! | [`nemesis`] | load, schedule and proxy for real processes |

pub mod check;
pub mod history;
pub mod nemesis;
pub mod recorded;
mod words;
pub mod world;
