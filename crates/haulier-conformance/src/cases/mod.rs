//! The contract, one file a noun. A case is an async function whose name is the sentence that it proves
//! and whose comment names the invariant. Add a case to the list in `suite.rs`, too.

#![expect(clippy::wildcard_imports, reason = "every case speaks the words of the kit")]

pub mod enqueue;
