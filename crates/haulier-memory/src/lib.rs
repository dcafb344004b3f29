//! In-memory store: the executable specification of Haulier's traits.
