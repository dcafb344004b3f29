//! Gates by counts: what a lifecycle costs in instructions, allocations, syncs and bytes, and that
//! idleness costs nothing. Counts hardly differ from run to run, so they are compared where times
//! could not be: a change that makes the engine slower has to say so in `bounds.txt`.
//!
//! `UPDATE=1 cargo test -p haulier-embedded --test counts` writes what it measures.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bounds;
mod idle;
mod lifecycle;
mod world;
