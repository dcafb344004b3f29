//! Durable single-node store of the Haulier task queue: one log, one index, group commit.
