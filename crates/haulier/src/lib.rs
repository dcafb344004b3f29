//! Haulier, a durable distributed task queue: connect, enqueue, work.
