//! What a worker is connected to: a queue, and the seams for time and chance. The worker never
//! learns which store stands behind the queue, or whether one is near.

use std::sync::Arc;

use haulier_core::{Clock, Entropy, Queue};

/// A queue with a source of time and of chance. `haulier::Client` turns into one.
#[derive(Debug, Clone)]
pub struct Link {
    /// Where tasks come from.
    pub queue: Arc<dyn Queue>,
    /// Time: the same clock that an in-process store has.
    pub clock: Arc<dyn Clock>,
    /// Chance, for the worker's name and for jitter.
    pub entropy: Arc<dyn Entropy>,
}
