//! Feeds the hint of a segment.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| haulier_embedded::fuzzing::hint(bytes));
