//! Queue names and their numbers.

/// What this server knows of them.
#[derive(Debug, Default)]
pub(crate) struct Names {}
