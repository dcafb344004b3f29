//! A worker's own record of the completions that were accepted from it: a queue in front of a queue
//! that writes every accepted completion to a file before the worker hears of it. It is the second
//! witness against "accepted twice"; the first is the server's own record.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use haulier_core::{
    Beat, BeatReply, Capabilities, Code, Enqueued, Epoch, Error, Lease, LeaseKey, NewTask, Queue,
    Result, Settled, Settlement, State, TaskId, Want, WorkerId,
};

/// A queue that keeps a ledger.
#[derive(Debug)]
pub struct Ledger {
    inner: Arc<dyn Queue>,
    file: Mutex<File>,
}

impl Ledger {
    /// Stands before `inner` and appends to `path`.
    pub fn open(inner: Arc<dyn Queue>, path: &Path) -> std::io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self { inner, file: Mutex::new(file) })
    }

    /// One write a batch, past our own memory: kill -9 takes nothing of it back.
    fn record(&self, accepted: &[LeaseKey]) -> Result<()> {
        let line = |key: &LeaseKey| format!("{} {}\n", key.task, key.epoch);
        let lines: Vec<String> = accepted.iter().map(line).collect();
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(lines.concat().as_bytes()).map_err(|error| {
            Error::new(Code::Internal, "the ledger cannot be written").caused_by(error)
        })
    }
}

/// Reads a ledger back. A last line that was cut by a kill says nothing that counts: the server's
/// answer was not passed on.
pub fn read(path: &Path) -> std::io::Result<Vec<LeaseKey>> {
    let text = std::fs::read_to_string(path)?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(parse).collect()
}

fn parse(line: &str) -> std::io::Result<LeaseKey> {
    let key = line.split_once(' ').and_then(|(task, epoch)| {
        let (task, epoch) = (TaskId::parse(task).ok()?, epoch.parse().ok()?);
        Some(LeaseKey { task, epoch: Epoch(epoch) })
    });
    key.ok_or_else(|| std::io::Error::new(std::io::ErrorKind::InvalidData, "no ledger line"))
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Queue for Ledger {
    async fn enqueue(&self, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
        self.inner.enqueue(tasks).await
    }

    async fn lease(&self, wants: Vec<Want>, wait: Duration) -> Result<Vec<Vec<Lease>>> {
        self.inner.lease(wants, wait).await
    }

    async fn beat(&self, beats: Vec<Beat>) -> Result<Vec<BeatReply>> {
        self.inner.beat(beats).await
    }

    async fn watch(&self, worker: WorkerId, wait: Duration) -> Result<bool> {
        self.inner.watch(worker, wait).await
    }

    async fn settle(&self, ends: Vec<Settlement>) -> Result<Vec<Settled>> {
        let keys: Vec<LeaseKey> = ends.iter().map(|end| end.key).collect();
        let answers = self.inner.settle(ends).await?;
        let accepted: Vec<LeaseKey> = keys
            .into_iter()
            .zip(&answers)
            .filter(|(_, answer)| is_completion(answer))
            .map(|(key, _)| key)
            .collect();
        self.record(&accepted)?;
        Ok(answers)
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
}

fn is_completion(answer: &Settled) -> bool {
    matches!(answer, Settled::Applied { state: State::Completed, .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_a_kill_has_cut_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger");
        let id = "01997b9c-1f2e-7c3d-8a4b-5c6d7e8f9a0b";
        std::fs::write(&path, format!("{id} 4294967297\n{id} 42")).unwrap();
        let keys = read(&path).unwrap();
        assert_eq!(keys.len(), 1);
        assert_eq!((keys[0].task.to_string().as_str(), keys[0].epoch.0), (id, (1 << 32) + 1));
        std::fs::write(&path, "nonsense\n").unwrap();
        assert!(read(&path).is_err());
    }
}
