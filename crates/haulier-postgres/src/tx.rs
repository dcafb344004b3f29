//! Verbs in somebody else's transaction.
