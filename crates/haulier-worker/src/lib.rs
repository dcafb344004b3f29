//! Worker of the Haulier task queue: fetch, execute, keep, settle.
