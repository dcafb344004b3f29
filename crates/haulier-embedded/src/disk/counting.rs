//! A disk that counts: how often the log was synced and how many bytes were written, so that a
//! claim of durability or of size can be checked.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Disk, DiskFile};

/// What was counted.
#[derive(Debug, Default)]
pub struct Counts {
    syncs: AtomicU64,
    bytes: AtomicU64,
    others: AtomicU64,
}

impl Counts {
    /// Files synced.
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// Bytes written to the log.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Bytes written beside the log, to hints.
    pub fn other_bytes(&self) -> u64 {
        self.others.load(Ordering::Relaxed)
    }
}

/// Counts what goes to another disk.
#[derive(Debug)]
pub struct Counting<D> {
    disk: D,
    counts: Arc<Counts>,
}

impl<D: Disk> Counting<D> {
    /// Counts from now on.
    pub fn new(disk: D) -> Self {
        Self { disk, counts: Arc::default() }
    }

    /// Where the counts are read.
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// The disk as a store takes it.
    pub fn shared(self) -> Arc<dyn Disk> {
        Arc::new(self)
    }

    fn file(&self, name: &str, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let is_log = crate::log::segment_number(name).is_some() || name.starts_with("spare-");
        Arc::new(CountedFile { file, is_log, counts: Arc::clone(&self.counts) })
    }
}

impl<D: Disk> Disk for Counting<D> {
    fn lock(&self) -> io::Result<Option<Box<dyn Send + Sync>>> {
        self.disk.lock()
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(name).map(|file| self.file(name, file))
    }
    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create(name, bytes).map(|file| self.file(name, file))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn sync_names(&self) -> io::Result<()> {
        self.disk.sync_names()
    }
    fn place(&self, name: &str) -> String {
        self.disk.place(name)
    }
}

#[derive(Debug)]
struct CountedFile {
    file: Arc<dyn DiskFile>,
    is_log: bool,
    counts: Arc<Counts>,
}

impl DiskFile for CountedFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(bytes, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let count = if self.is_log { &self.counts.bytes } else { &self.counts.others };
        count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.file.write_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        self.file.sync()
    }
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
    fn extend(&self, bytes: u64) -> io::Result<()> {
        self.file.extend(bytes)
    }
}
