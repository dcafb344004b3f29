//! The tables, and their versions.
#![expect(clippy::unused_async, reason = "to be filled")]

use crate::error::OpenError;
use crate::options::Options;

/// Brings the tables up to this version.
///
/// # Errors
/// The database is away, or what it has is not ours.
pub async fn up(_options: &Options) -> Result<(), OpenError> {
    Ok(())
}
