//! Feeds a configuration file, and settings one by one.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| haulier_fuzz::outside::config(bytes));
