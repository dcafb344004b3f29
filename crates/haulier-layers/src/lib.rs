//! Layers of the Haulier task queue: each a queue over a queue.
