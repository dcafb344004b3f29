//! Feeds what stands in a segment.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| haulier_embedded::fuzzing::record(bytes));
