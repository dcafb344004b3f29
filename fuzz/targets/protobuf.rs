//! Feeds messages of the gRPC interface, to commands, to stores.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| haulier_fuzz::outside::protobuf(bytes));
