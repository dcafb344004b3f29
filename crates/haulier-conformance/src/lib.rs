//! The contract of Haulier's storage traits as a test suite that every implementation runs.
//!
//! A [`Rig`] puts one store, with its clock, at the suite's disposal. [`suite!`] makes a test of
//! every case in [`cases`], each named by the sentence that it proves; random histories are
//! compared with `haulier-memory`, the executable specification. Cases see the traits and the rig,
//! nothing else: no case names a store or looks behind it, so that the same cases hold over a
//! network.
//!
//! | where | what |
//! |---|---|
//! | [`rig`] | what an implementation provides |
//! | [`prelude`] | short words for the cases: a task, a worker, one lease |
//! | [`cases`] | the contract, one file a noun |
//! | [`model`] | random histories, compared with the specification |
//! | [`CASES`] | the list of cases |

#![expect(clippy::missing_panics_doc, reason = "a case panics when the contract is broken")]
#![expect(clippy::unchecked_time_subtraction, reason = "cases subtract constants that they know")]

pub mod cases;
mod memory;
pub mod model;
pub mod prelude;
pub mod rig;
mod suite;

pub use memory::MemoryRig;
pub use rig::Rig;
pub use suite::CASES;
