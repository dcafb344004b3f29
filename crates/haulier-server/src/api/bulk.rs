//! Cancel, rerun and delete: one task, a list of ids, or all that a filter matches.

use haulier_core::{Error, Filter, TaskId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{IdText, Refused, StateWord, Text, Word};

/// Which tasks to change: `ids` or `filter`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Bulk {
    /// These tasks, at most 1,000.
    #[serde(default)]
    pub ids: Option<Vec<IdText>>,
    /// All tasks that match, at most 1,000 a call. The empty filter matches every task.
    #[serde(default)]
    #[schema(example = "queue:mail state:dead")]
    pub filter: Option<String>,
    /// Only count; change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// With `filter`: where the call before ended.
    #[serde(default)]
    pub page_token: Option<String>,
}

/// Which tasks a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// These.
    Ids(Vec<TaskId>),
    /// One page of those that match.
    Matching(Filter, Option<String>),
}

/// What came of it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BulkChanged {
    /// Tasks that were named and exist, or that match.
    pub matched: u64,
    /// Tasks that were changed; none in a dry run.
    pub changed: u64,
    /// By ids: one answer a task, in their order. By filter: those that could not be changed. Empty
    /// for a dry run.
    pub answers: Vec<BulkAnswer>,
    /// There are more: give it as `page_token`. Absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// The answer to one task.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BulkAnswer {
    /// The task.
    pub id: IdText,
    /// What came of it.
    pub answer: ChangeAnswer,
    /// Its state now; of a deleted task, the state that it had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<StateWord>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Refused>,
}

/// What came of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeAnswer {
    /// Done.
    Done,
    /// There is no such task.
    NotFound,
    /// Its state does not allow it.
    Refused,
}

/// A task that was changed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Changed {
    /// The task.
    pub id: IdText,
    /// Its state now; of a deleted task, the state that it had.
    pub state: StateWord,
}

impl Bulk {
    /// Which tasks it names.
    ///
    /// # Errors
    /// Unless exactly one of `ids` and `filter` is there, or if the filter means nothing.
    pub fn choose(self) -> Result<Chosen, Error> {
        match (self.ids, self.filter) {
            (Some(ids), None) => Ok(Chosen::Ids(ids.into_iter().map(|id| id.0).collect())),
            (None, Some(filter)) => {
                let filter = Filter::parse(&filter)
                    .map_err(|refusal| Error::invalid("filter", refusal.message))?;
                Ok(Chosen::Matching(filter, self.page_token))
            }
            _ => Err(Error::invalid("ids", "give either ids or filter")),
        }
    }
}

impl BulkAnswer {
    /// The answer to a task.
    pub fn new(id: TaskId, changed: haulier_core::Changed) -> Self {
        let (answer, state, error) = match changed {
            haulier_core::Changed::Done(state) => (ChangeAnswer::Done, Some(Word(state)), None),
            haulier_core::Changed::NotFound => (ChangeAnswer::NotFound, None, None),
            haulier_core::Changed::Refused(refusal) => {
                (ChangeAnswer::Refused, None, Some(refusal.into()))
            }
        };
        Self { id: Text(id), answer, state, error }
    }
}
