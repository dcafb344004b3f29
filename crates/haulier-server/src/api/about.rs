//! What a server is, what its store can keep, what is allowed.

use haulier_core::limits;
use serde::Serialize;
use utoipa::ToSchema;

use super::{ClassWord, Span, Word};

/// A server.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct About {
    /// Its version.
    pub version: String,
    /// The store behind it.
    #[schema(example = "embedded")]
    pub store: String,
    /// What an acknowledgement is worth.
    pub durability: Durability,
    /// What the store can do.
    pub capabilities: Capabilities,
    /// What is allowed.
    pub limits: Limits,
}

/// How much has to go wrong before an acknowledged task is lost.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Durability {
    /// The class.
    pub class: ClassWord,
    /// What it survives, in words.
    pub survives: String,
}

/// What a store can do.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent ability")]
pub struct Capabilities {
    /// Tasks can be looked up and listed.
    pub lookup: bool,
    /// Unique keys are honoured.
    pub unique: bool,
    /// A task can be cancelled.
    pub cancel: bool,
    /// Results, progress and checkpoints are kept.
    pub results: bool,
    /// Within a queue, higher priorities come first and equals in order of their enqueueing.
    pub ordered: bool,
    /// How long a task's id is remembered after the task is gone.
    pub dedup_window: Span,
}

/// What is allowed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Limits {
    /// Largest payload or result, in bytes.
    pub payload_bytes_max: usize,
    /// Largest body of a call, in bytes.
    pub body_bytes_max: usize,
    /// Most items of one call.
    pub items_max: usize,
    /// Most tasks on one page of a listing.
    pub page_max: usize,
    /// Longest name of a queue, kind or worker, in bytes.
    pub name_bytes_max: usize,
    /// Longest unique key, in bytes.
    pub unique_key_bytes_max: usize,
    /// Most headers of a task.
    pub headers_max: usize,
    /// Most bytes of all headers of a task.
    pub headers_bytes_max: usize,
    /// Most labels of a task.
    pub labels_max: usize,
    /// Most bytes of one label, name and value together.
    pub label_bytes_max: usize,
    /// Longest that a call may wait for something to happen.
    pub wait_max: Span,
    /// Shortest time that a lease may be granted for.
    pub ttl_min: Span,
    /// Longest time that a lease may be granted for; beats renew it.
    pub ttl_max: Span,
}

/// Whether a server takes calls.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Ready {
    /// It does.
    pub ready: bool,
    /// What was looked at.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// It is as it should be.
    pub ok: bool,
    /// How it is, for people.
    pub detail: String,
}

impl About {
    /// This server, over a store that can do this, taking bodies up to so many bytes.
    pub fn new(capabilities: &haulier_core::Capabilities, body_bytes_max: usize) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            store: capabilities.store.clone(),
            durability: Durability {
                class: Word(capabilities.durability),
                survives: capabilities.durability.explain().to_owned(),
            },
            capabilities: Capabilities {
                lookup: capabilities.lookup,
                unique: capabilities.unique,
                cancel: capabilities.cancel,
                results: capabilities.results,
                ordered: capabilities.ordered,
                dedup_window: Span(capabilities.dedup_window),
            },
            limits: Limits {
                payload_bytes_max: capabilities.payload_bytes_max,
                body_bytes_max,
                items_max: limits::ITEMS_MAX,
                page_max: limits::PAGE_MAX,
                name_bytes_max: limits::NAME_BYTES_MAX,
                unique_key_bytes_max: limits::UNIQUE_KEY_BYTES_MAX,
                headers_max: limits::HEADERS_MAX,
                headers_bytes_max: limits::HEADERS_BYTES_MAX,
                labels_max: limits::LABELS_MAX,
                label_bytes_max: limits::LABEL_BYTES_MAX,
                wait_max: Span(limits::WAIT_MAX),
                ttl_min: Span(limits::LEASE_TTL_MIN),
                ttl_max: Span(limits::LEASE_TTL_MAX),
            },
        }
    }
}
