//! What a store can keep, told to clients when they connect.

use haulier_core::clock::millis;
use haulier_core::{Capabilities, Result};

use crate::enums;
use crate::pb;
use crate::task::span;

/// What a store can do.
pub fn encode(capabilities: Capabilities) -> pb::CapabilitiesResponse {
    pb::CapabilitiesResponse {
        store: capabilities.store,
        durability: enums::durability(capabilities.durability),
        lookup: capabilities.lookup,
        unique: capabilities.unique,
        cancel: capabilities.cancel,
        results: capabilities.results,
        ordered: capabilities.ordered,
        dedup_window_ms: millis(capabilities.dedup_window),
        payload_bytes_max: u64::try_from(capabilities.payload_bytes_max).unwrap_or(u64::MAX),
    }
}

/// Reads what a store can do.
///
/// # Errors
/// If the durability class is unknown.
pub fn decode(told: pb::CapabilitiesResponse) -> Result<Capabilities> {
    Ok(Capabilities {
        store: told.store,
        durability: enums::decode_durability(told.durability, "durability")?,
        lookup: told.lookup,
        unique: told.unique,
        cancel: told.cancel,
        results: told.results,
        ordered: told.ordered,
        dedup_window: span(told.dedup_window_ms),
        payload_bytes_max: usize::try_from(told.payload_bytes_max).unwrap_or(usize::MAX),
    })
}
