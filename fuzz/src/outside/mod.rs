//! What comes from people and networks: no bytes whatever may make it panic, hang, or allocate
//! much more than the bytes themselves. What can be read is written and read again, as the same;
//! commands are carried out by both stores, and may be refused, and must be survived.
//!
//! The fuzz targets feed these functions; so does a test of the server, with everything that
//! fuzzers began with and have found.

mod bodies;
mod frames;
mod stores;
mod texts;

pub use bodies::json;
pub use frames::protobuf;
pub use texts::{config, text};
