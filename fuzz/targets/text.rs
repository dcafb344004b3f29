//! Feeds the texts that people write: durations, filters, names, ids, instants.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| haulier_fuzz::outside::text(bytes));
