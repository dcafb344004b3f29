//! What is shown of tasks and queues.

use std::sync::Arc;

use bytes::Bytes;
use haulier_core::{
    Checkpoint, Error, Filter, Include, LeaseView, Page, PageRequest, Payload, QueueStats, Result,
    Task, TaskId, TaskView, Timestamp, filter::Subject, limits,
};

use crate::state::{Entry, Now, State};

impl State {
    /// Tasks with these ids.
    pub fn get(&self, ids: &[TaskId], include: Include, now: Now) -> Vec<Option<TaskView>> {
        ids.iter().map(|id| self.tasks.get(id).map(|entry| view(entry, include, now))).collect()
    }

    /// Whether every one of these tasks that is known is final.
    pub fn are_final(&self, ids: &[TaskId]) -> bool {
        let mut known = ids.iter().filter_map(|id| self.tasks.get(id));
        known.all(|entry| entry.standing.state.is_final())
    }

    /// One page of a listing, newest first.
    pub fn list(&self, filter: &Filter, page: &PageRequest, now: Now) -> Result<Page> {
        if page.size == 0 || page.size > limits::PAGE_MAX {
            let detail = format!("is {}; it goes from 1 to {}", page.size, limits::PAGE_MAX);
            return Err(Error::invalid("page.size", detail));
        }
        let (mut tasks, mut bytes) = (Vec::new(), 0);
        let mut last = None;
        let below = match &page.after {
            Some(token) => std::ops::Bound::Excluded(read_token(token)?),
            None => std::ops::Bound::Unbounded,
        };
        let mut ages = self.index.ages.range((std::ops::Bound::Unbounded, below)).rev().peekable();
        for _ in 0..limits::PAGE_EXAMINED_MAX {
            let Some(place) = ages.peek().filter(|_| tasks.len() < page.size) else { break };
            let matching = self.tasks.get(&place.1).filter(|entry| matches(filter, entry, now));
            if let Some(view) = matching.map(|entry| view(entry, page.include, now)) {
                bytes += view.bytes();
                if bytes > limits::PAGE_BYTES_MAX && !tasks.is_empty() {
                    break;
                }
                tasks.push(view);
            }
            last = ages.next().copied();
        }
        let next = ages.next().and(last).map(|(at, id)| format!("{}.{id}", at.0));
        Ok(Page { tasks, next })
    }

    /// Every queue that has something to show, by name.
    pub fn queues(&self, now: Now) -> Vec<QueueStats> {
        let lines = self.index.lines.iter().filter(|(_, line)| !line.is_idle());
        lines
            .map(|(queue, line)| {
                let ready = line.ready.iter().filter_map(|(_, _, id)| self.tasks.get(id));
                QueueStats {
                    queue: queue.clone(),
                    counts: line.counts,
                    oldest_available: ready
                        .map(|entry| entry.due_at)
                        .min()
                        .map(|due| now.wall.since(due)),
                    settings: line.settings.clone(),
                    accepted: line.accepted,
                    removed: line.removed,
                    finished: line.finished,
                }
            })
            .collect()
    }
}

fn read_token(token: &str) -> Result<(Timestamp, TaskId)> {
    let parts = token.split_once('.');
    let read =
        parts.and_then(|(at, id)| Some((Timestamp(at.parse().ok()?), TaskId::parse(id).ok()?)));
    read.ok_or_else(|| Error::invalid("page.after", "is not the `next` of an earlier page"))
}

fn matches(filter: &Filter, entry: &Entry, now: Now) -> bool {
    let subject = Subject {
        queue: entry.task.queue.as_str(),
        kind: entry.task.kind.as_str(),
        state: entry.standing.state,
        reason: entry.standing.reason,
        enqueued_at: entry.enqueued_at,
        labels: &entry.task.labels,
    };
    filter.matches(&subject, now.wall)
}

fn view(entry: &Entry, include: Include, now: Now) -> TaskView {
    let lease = entry.grant.as_ref().map(|grant| LeaseView {
        worker: grant.worker.clone(),
        expires_in: grant.deadline.saturating_sub(now.monotonic),
    });
    let checkpoint = |saved: &Checkpoint| Checkpoint {
        name: Arc::clone(&saved.name),
        value: if include.checkpoints { saved.value.clone() } else { Bytes::new() },
    };
    TaskView {
        task: if include.payload { Arc::clone(&entry.task) } else { without_payload(&entry.task) },
        standing: entry.standing,
        epoch: entry.epoch,
        enqueued_at: entry.enqueued_at,
        due_at: entry.due_at,
        finished_at: entry.finished_at,
        unique: entry.unique.clone(),
        lease,
        progress: entry.progress.clone(),
        checkpoints: entry.checkpoints.iter().map(checkpoint).collect(),
        result: entry.result.clone().filter(|_| include.result),
        deliveries: entry.deliveries.iter().map(|record| record.delivery.clone()).collect(),
    }
}

fn without_payload(task: &Task) -> Arc<Task> {
    let payload = Payload { bytes: Bytes::new(), ..task.payload.clone() };
    Arc::new(Task { payload, ..task.clone() })
}
