//! Protocol of the Haulier task queue: the generated messages, clients and servers of package
//! `haulier.v1`, and the only translation between them and the nouns of `haulier-core`.
//!
//! What is decoded is valid: names follow their grammar, ids have 16 bytes, enum values are known;
//! or the answer is [`haulier_core::Error::invalid`] with the path of the field that is wrong.
//! Limits of single items (payload sizes, header counts) stay with the stores, which refuse item
//! by item. It knows no connection, no retry and no store.
//!
//! | where | what |
//! |---|---|
//! | [`pb`] | generated from `proto/haulier/v1` by `cargo xtask codegen` |
//! | [`task`], [`enqueue`] | tasks, and what becomes of handing them over |
//! | [`lease`], [`beat`], [`settle`] | wants, leases, signs of life, ends |
//! | [`inspect`], [`control`], [`capabilities`] | what operators see and do |
//! | [`status`] | errors as `google.rpc` details and back |
//! | [`frames`] | cutting a batch into messages that fit |
//! | [`codec`] | messages into buffers of their length |

pub mod beat;
pub mod capabilities;
pub mod codec;
pub mod control;
pub mod enqueue;
mod enums;
pub mod frames;
pub mod inspect;
pub mod lease;
pub mod settle;
pub mod status;
pub mod task;
mod wrong;

pub use wrong::{each, every_answer};

/// The generated code of package `haulier.v1`.
#[expect(
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
pub mod pb {
    include!("gen/haulier.v1.rs");
}

/// The encoded `FileDescriptorSet` of package `haulier.v1`, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!("gen/haulier.v1.bin");
