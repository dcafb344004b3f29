//! What went wrong: of a whole call (`application/problem+json`), or of one item of a batch.

use haulier_core::{Code, Error, Refusal};
use serde::Serialize;
use utoipa::ToSchema;

use super::Span;

/// Why a call failed as a whole (RFC 9457). Programs act on `code`, `retryable` and
/// `may_have_applied`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// Page of this server that explains the code: `/errors/CODE`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong and what to do next, for people.
    pub detail: String,
    /// What is wrong, for programs: stable.
    #[schema(example = "queue_full")]
    pub code: &'static str,
    /// Whether the same call, with the same ids, can succeed later.
    pub retryable: bool,
    /// Whether the call may have taken effect although it failed.
    pub may_have_applied: bool,
    /// When to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Span>,
    /// The fields that are wrong, if input was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
    /// Name of this call in the server's log.
    pub request_id: String,
    /// The caller's trace, if it sent one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// One field and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldProblem {
    /// Path of the field.
    #[schema(example = "tasks[3].queue")]
    pub field: String,
    /// What is wrong with it.
    pub detail: String,
}

/// Why one item of a batch was refused. Nothing of that item happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Refused {
    /// What is wrong, for programs: stable.
    pub code: &'static str,
    /// What is wrong and what to do next, for people.
    pub detail: String,
    /// Whether the same item can be accepted later.
    pub retryable: bool,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self {
            code: refusal.code.as_str(),
            detail: refusal.message,
            retryable: refusal.code.is_retryable(),
        }
    }
}

impl Problem {
    /// The problem that an error is, of the given status.
    pub fn of(error: &Error, status: u16, title: &str) -> Self {
        let fields = error.fields().iter();
        Self {
            kind: format!("/errors/{}", error.code()),
            title: title.to_owned(),
            status,
            detail: error.message().to_owned(),
            code: error.code().as_str(),
            retryable: error.is_retryable(),
            may_have_applied: error.may_have_applied(),
            retry_after: error.retry_delay().map(Span),
            errors: fields
                .map(|field| FieldProblem {
                    field: field.field.clone(),
                    detail: field.detail.clone(),
                })
                .collect(),
            request_id: String::new(),
            trace_id: None,
        }
    }

    /// What a code means and what to do about it, for its page.
    pub fn explain(code: Code) -> &'static str {
        match code {
            Code::Invalid => {
                "A field is missing, malformed or out of range. `errors` names it. Correct \
                 the request; repeating it unchanged gives the same answer."
            }
            Code::TooLarge => {
                "Something exceeds its limit; `/api/v1/about` lists the limits. Send less at \
                 once, or keep large data elsewhere and send a reference to it."
            }
            Code::Unauthenticated => "There is no proof, or no valid proof, of who is calling.",
            Code::Forbidden => {
                "The caller may not do this. A browser's page of another origin may never \
                 change anything."
            }
            Code::NotFound => {
                "There is no such task, queue, worker or address, or it is no longer \
                 remembered. Finished tasks are forgotten after the time that their queue's \
                 settings say."
            }
            Code::NotSupported => "The store cannot do this. `/api/v1/about` lists what it can.",
            Code::IdConflict => {
                "The task's id is taken by a task with other content. Ids are for repeating a \
                 call whose answer was lost: make a new one for new work."
            }
            Code::UniqueConflict => {
                "Another task holds the unique key, and the request asked to be refused in \
                 that case."
            }
            Code::Final => {
                "The task's state does not allow this. `GET /api/v1/tasks/{id}` shows it."
            }
            Code::QueueFull => {
                "The queue holds as many tasks as its `max_tasks` allows. Try again later, or \
                 add workers."
            }
            Code::Throttled => {
                "Too many calls at once. Try again after the time that `Retry-After` says."
            }
            Code::StorageFull => {
                "There is no room for new tasks. Settling, cancelling and deleting still \
                 work. Free disk space; nothing else has to be done."
            }
            Code::Unavailable => {
                "Not now: the server is starting or draining, or its store is away. Nothing \
                 happened; try again, here or at another server."
            }
            Code::UnknownOutcome => {
                "The answer was lost: the call may or may not have taken effect. Repeat it \
                 with the same ids; that is always safe."
            }
            Code::Internal => {
                "A defect of Haulier or of what it stands on. The server's log has more under \
                 the `request_id`. Repeat the call with the same ids, and report it."
            }
        }
    }
}
