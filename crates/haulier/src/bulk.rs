//! Actions on all tasks that a filter matches: one paging loop over `list` and the verbs that take
//! ids. A slice at a time, so that a server can answer between them and nobody holds a store for
//! long.

use haulier_core::limits::PAGE_MAX;
use haulier_core::{
    Changed, Control, Filter, Inspect, PageRequest, Refusal, Result, TaskId, TaskView,
};

/// What to do with each task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Call it off.
    Cancel,
    /// Make a final one available again.
    Rerun,
    /// Forget it.
    Delete,
}

impl Action {
    /// The verb as people write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Rerun => "rerun",
            Self::Delete => "delete",
        }
    }
}

/// What became of the tasks of one or more slices.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Done {
    /// Tasks that the filter matched.
    pub matched: u64,
    /// Tasks that were changed; none in a dry run.
    pub changed: u64,
    /// Tasks whose state did not allow it, and those that were gone meanwhile (`None`). At most
    /// [`REFUSED_MAX`] are kept.
    pub refused: Vec<(TaskId, Option<Refusal>)>,
    /// Where to go on; `None` at the end.
    pub next: Option<String>,
}

/// Refusals that are kept for people; the others are still counted, as matched less changed.
pub const REFUSED_MAX: usize = 1_000;

/// Does one slice: at most 1,000 tasks. Go on with [`Done::next`] as `after`.
///
/// # Errors
/// What the store says; tasks of this slice may have been changed, and repeating it is safe.
pub async fn slice(
    (inspect, control): (&dyn Inspect, &dyn Control),
    action: Action,
    filter: &Filter,
    after: Option<String>,
    dry_run: bool,
) -> Result<Done> {
    let request = PageRequest { size: PAGE_MAX, after, ..PageRequest::default() };
    let page = inspect.list(filter.clone(), request).await?;
    let ids: Vec<TaskId> = page.tasks.iter().map(|view: &TaskView| view.task.id).collect();
    let mut done = Done { matched: ids.len() as u64, next: page.next, ..Done::default() };
    if dry_run || ids.is_empty() {
        return Ok(done);
    }
    let answers = by_ids(control, action, ids.clone()).await?;
    for (id, answer) in ids.into_iter().zip(answers) {
        match answer {
            Changed::Done(_) => done.changed += 1,
            Changed::NotFound => done.refused.push((id, None)),
            Changed::Refused(refusal) => done.refused.push((id, Some(refusal))),
        }
    }
    Ok(done)
}

/// Does them all.
///
/// # Errors
/// As [`slice()`]; slices before it took effect.
pub async fn all(
    stores: (&dyn Inspect, &dyn Control),
    action: Action,
    filter: &Filter,
    dry_run: bool,
) -> Result<Done> {
    let mut sum = Done::default();
    loop {
        let done = slice(stores, action, filter, sum.next.take(), dry_run).await?;
        sum.matched += done.matched;
        sum.changed += done.changed;
        let room = REFUSED_MAX.saturating_sub(sum.refused.len());
        sum.refused.extend(done.refused.into_iter().take(room));
        sum.next = done.next;
        if sum.next.is_none() {
            return Ok(sum);
        }
    }
}

/// The same verb on ids.
///
/// # Errors
/// What the store says.
pub async fn by_ids(
    control: &dyn Control,
    action: Action,
    ids: Vec<TaskId>,
) -> Result<Vec<Changed>> {
    match action {
        Action::Cancel => control.cancel(ids).await,
        Action::Rerun => control.rerun(ids).await,
        Action::Delete => control.delete(ids).await,
    }
}
