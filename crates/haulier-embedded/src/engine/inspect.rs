//! Looking: tasks, pages, queues. What stands on the disk is named, not read: the caller reads it,
//! so that a slow disk holds up nobody else.

use haulier_core::{
    Error, Filter, LeaseView, PageRequest, Pairs, Progress, QueueStats, Result, Standing, TaskId,
    Timestamp, Unique, filter::Subject, limits,
};

use crate::detail::{Delivery, Detail, Step};
use crate::engine::{Body, Engine, Now};
use crate::index::SlotId;
use crate::place::Extent;

/// A task as it stands, whose large parts are still to be read.
#[derive(Debug)]
pub struct Draft {
    /// What it is.
    pub body: Body,
    /// Where it stands.
    pub standing: Standing,
    /// The rest of it, as the engine keeps it.
    pub detail: Detail,
    /// When it was accepted.
    pub enqueued_at: Timestamp,
    /// When it became or becomes available.
    pub due_at: Timestamp,
    /// Who holds it.
    pub lease: Option<LeaseView>,
}

impl Draft {
    /// Its unique key.
    pub fn unique(&self) -> Option<Unique> {
        self.detail.unique.clone()
    }

    /// How far its handler has come.
    pub fn progress(&self) -> Option<Progress> {
        self.detail.progress.clone()
    }

    /// Steps that are done.
    pub fn steps(&self) -> &[Step] {
        &self.detail.checkpoints
    }

    /// Where its result stands.
    pub const fn result(&self) -> Option<Extent> {
        self.detail.result
    }

    /// Its newest deliveries.
    pub fn deliveries(&self) -> impl Iterator<Item = &Delivery> {
        self.detail.deliveries.iter()
    }
}

/// A page whose tasks are still to be read, and filtered if that needs their labels.
#[derive(Debug)]
pub struct DraftPage {
    /// Candidates, newest first.
    pub drafts: Vec<Draft>,
    /// What labels have to be matched, if any have.
    pub filter: Option<Filter>,
    /// The time that ages count from.
    pub now: Timestamp,
    /// How many may be on the page.
    pub size: usize,
    /// Where the page goes on after all candidates.
    pub next: Option<String>,
}

/// Where a page ended, as an opaque text.
pub fn token(enqueued_at: Timestamp, id: TaskId) -> String {
    format!("{:x}.{id}", enqueued_at.0)
}

fn parse_token(text: &str) -> Result<(Timestamp, TaskId)> {
    let read = || {
        let (at, id) = text.split_once('.')?;
        Some((Timestamp(u64::from_str_radix(at, 16).ok()?), TaskId::parse(id).ok()?))
    };
    read().ok_or_else(|| Error::invalid("after", "is not what an earlier page gave as next"))
}

impl Engine {
    pub(super) fn get(&self, now: Now, id: TaskId) -> Option<Draft> {
        self.index.find(id).map(|slot| self.draft(now, slot))
    }

    /// Whether a task is unknown or final: whoever waits for it waits no longer.
    pub fn is_over(&self, id: TaskId) -> bool {
        self.index.find(id).is_none_or(|slot| self.index[slot].state().is_final())
    }

    fn draft(&self, now: Now, slot: SlotId) -> Draft {
        let place = &self.index[slot];
        let detail = self.details.get(slot).cloned().unwrap_or_default();
        let lease = detail.lease.as_ref().map(|lease| LeaseView {
            worker: lease.worker.clone(),
            expires_in: lease.deadline.saturating_sub(now.mono),
        });
        Draft {
            body: self.body(slot),
            standing: detail.standing(place),
            enqueued_at: place.enqueued_at(),
            due_at: self.index.due_at(slot),
            lease,
            detail,
        }
    }

    pub(super) fn list(&self, now: Now, filter: Filter, page: &PageRequest) -> Result<DraftPage> {
        if page.size == 0 || page.size > limits::PAGE_MAX {
            return Err(Error::invalid("size", format!("goes from 1 to {}", limits::PAGE_MAX)));
        }
        let after = page.after.as_deref().map(parse_token).transpose()?;
        let by_labels = filter.needs_labels();
        let plain = filter.without_labels();
        // Candidates are read from the disk to see their labels: a page's worth at a time.
        let wanted = if by_labels { limits::PAGE_MAX } else { page.size };
        let mut drafts = Vec::new();
        let mut last = None;
        let mut more = false;
        for (examined, slot) in self.index.newest(after).enumerate() {
            if drafts.len() == wanted || examined == limits::PAGE_EXAMINED_MAX {
                more = true;
                break;
            }
            last = Some(slot);
            if self.matches(&plain, slot, now) {
                drafts.push(self.draft(now, slot));
            }
        }
        let place = last.filter(|_| more).map(|slot| &self.index[slot]);
        let next = place.map(|place| token(place.enqueued_at(), place.id));
        let size = page.size;
        Ok(DraftPage { drafts, filter: by_labels.then_some(filter), now: now.wall, size, next })
    }

    fn matches(&self, filter: &Filter, slot: SlotId, now: Now) -> bool {
        let place = &self.index[slot];
        let subject = Subject {
            queue: self.lines.queue_of(place.line).name.as_str(),
            kind: self.lines.kind_of(place.line).as_str(),
            state: place.state(),
            reason: place.reason(),
            enqueued_at: place.enqueued_at(),
            labels: &Pairs::default(),
        };
        filter.matches(&subject, now.wall)
    }

    pub(super) fn queues(&self, now: Now) -> Vec<QueueStats> {
        let listed = (0..).zip(&self.lines.queues).filter(|(_, queue)| queue.is_listed());
        let stats = |(id, queue): (u32, &crate::lines::QueueState)| QueueStats {
            queue: queue.name.clone(),
            counts: queue.counts,
            oldest_available: self.lines.oldest(&self.index, id).map(|at| now.wall.since(at)),
            settings: queue.settings.clone(),
            accepted: queue.accepted,
            removed: queue.removed,
            finished: queue.finished,
        };
        let mut all: Vec<QueueStats> = listed.map(stats).collect();
        all.sort_unstable_by(|a, b| a.queue.cmp(&b.queue));
        all
    }
}
