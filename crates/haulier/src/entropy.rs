//! Chance from the operating system: the one place that asks it.

use std::sync::Arc;

use haulier_core::{Entropy, Error, Result, SeededEntropy};

/// A source of chance, seeded by the operating system.
///
/// # Errors
/// [`haulier_core::Code::Internal`] if the system has none to give.
#[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
pub fn system_entropy() -> Result<Arc<dyn Entropy>> {
    let mut seed = [0; 16];
    getrandom::fill(&mut seed).map_err(|error| {
        Error::internal("the operating system gives no random numbers").caused_by(error)
    })?;
    Ok(Arc::new(SeededEntropy::from_seed(seed)))
}
