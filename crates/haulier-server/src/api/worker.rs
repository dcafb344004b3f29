//! Workers as they were heard of last.

use serde::Serialize;
use utoipa::ToSchema;

use super::{AboutWorker, DirectiveWord, Span, Text, Word, WorkerText};

/// Workers, by id.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Workers {
    /// The workers.
    pub workers: Vec<Worker>,
}

/// A worker.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Worker {
    /// Its name.
    pub worker: WorkerText,
    /// What operators want of it.
    pub directive: DirectiveWord,
    /// Leases that it holds.
    pub leases: u64,
    /// How long ago it was heard of.
    pub silent_for: Span,
    /// What it told of itself, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<AboutWorker>,
}

/// A worker that was told what to do.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Directed {
    /// Its name.
    pub worker: WorkerText,
    /// What it was told; it hears of it at its next beat.
    pub directive: DirectiveWord,
}

impl From<&haulier_core::WorkerView> for Worker {
    fn from(view: &haulier_core::WorkerView) -> Self {
        Self {
            worker: Text(view.worker.clone()),
            directive: Word(view.directive),
            leases: view.leases,
            silent_for: Span(view.silent_for),
            about: view.about.as_deref().map(AboutWorker::from),
        }
    }
}
