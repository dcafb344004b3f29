//! What is kept: backups, stores made of them, checks and repairs.

mod backup;
mod check;
mod fixture;
mod restore;

use std::path::{Path, PathBuf};
use std::time::Duration;

use haulier_conformance::prelude::Must;
use haulier_core::{
    Include, Inspect, Kind, ManualClock, NewTask, Payload, Queue, TaskId, TaskView,
};
use haulier_embedded::{Backup, EmbeddedStore, Options};

use crate::rig::{complete, small, take};

fn options(clock: &ManualClock) -> Options {
    Options { segment_bytes: 16 * 1024, cache_bytes_max: 0, ..small(clock) }
}

fn open(path: &Path, clock: &ManualClock) -> EmbeddedStore {
    EmbeddedStore::open(path, options(clock)).must()
}

fn id(number: u64) -> TaskId {
    let mut bytes = [5; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    TaskId::from_bytes(bytes)
}

fn payload(number: u64) -> Payload {
    let byte = u8::try_from(number % 251).must();
    Payload::new(vec![byte; 400 + usize::from(byte)], Payload::BINARY)
}

/// Enqueues tasks, a few at a time, so that none of the small segments is made larger for them.
async fn put(store: &EmbeddedStore, numbers: std::ops::Range<u64>) {
    let task = |number| NewTask::new(id(number), Kind::new("work").must(), payload(number));
    let tasks: Vec<NewTask> = numbers.map(task).collect();
    for some in tasks.chunks(3) {
        let answers = store.enqueue(some.to_vec()).await.must();
        assert!(answers.into_iter().all(|answer| answer.accepted().is_ok()));
    }
}

async fn see(store: &EmbeddedStore, number: u64) -> Option<TaskView> {
    store.get(vec![id(number)], Include::ALL, Duration::ZERO).await.must().remove(0)
}

/// I1, I9: each of the tasks is there, as it was handed over.
async fn all_there(store: &EmbeddedStore, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let view = see(store, number).await.unwrap_or_else(|| panic!("I1: {number} is lost"));
        assert_eq!(view.task.payload, payload(number), "I9: {number}");
    }
}

/// Everything that a backup has, in a file.
fn save(mut backup: Backup, into: &Path) -> PathBuf {
    let mut all = Vec::new();
    while let Some(piece) = backup.read().must() {
        all.extend(piece);
    }
    assert_eq!(all.len() as u64, backup.manifest().backup_bytes(), "its length is known before");
    std::fs::write(into, all).must();
    into.to_owned()
}

/// A directory for everything of one test.
struct Place {
    directory: tempfile::TempDir,
    clock: ManualClock,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::TempDir::new().must(), clock: ManualClock::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn open(&self, name: &str) -> EmbeddedStore {
        open(&self.path(name), &self.clock)
    }
}
