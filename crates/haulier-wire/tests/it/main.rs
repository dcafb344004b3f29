//! Every noun goes over the wire and comes back as it was; every field that breaks a rule is named.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod nouns;
mod refused;
mod round_trip;
