//! Feeds a whole data directory.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| haulier_embedded::fuzzing::directory(bytes));
