//! A disk in memory that keeps unsynced writes apart, and can lose them. It counts its calls: a
//! test stops it at each one in turn, decides what survived, and opens the store again.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use haulier_core::Entropy;
use parking_lot::Mutex;

use super::{Disk, DiskFile};

/// What becomes of writes that were not synced when the machine went down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// All of them are there.
    All,
    /// None is.
    Nothing,
    /// Any of them, each as chance has it, in any order.
    Some,
    /// As `Some`, and each may be torn at a border of 512 bytes.
    Torn,
}

/// A disk in memory. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Contents by number; names point to them, so that a renamed file keeps its writes.
    files: Vec<Content>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// The disk that a process held when it was stopped serves nobody any more.
    calls: u64,
    stop_at: Option<u64>,
    fail_sync_at: Option<u64>,
    bytes_max: Option<u64>,
    locked: bool,
}

#[derive(Debug, Default, Clone)]
struct Content {
    durable: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

impl Content {
    fn now(&self) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        self.unsynced.iter().for_each(|(at, written)| overwrite(&mut bytes, *at, written));
        bytes
    }
}

fn overwrite(bytes: &mut Vec<u8>, at: usize, written: &[u8]) {
    if bytes.len() < at + written.len() {
        bytes.resize(at + written.len(), 0);
    }
    bytes[at..at + written.len()].copy_from_slice(written);
}

fn gone() -> io::Error {
    io::Error::other("the simulated machine is down")
}

impl State {
    /// Counts a call; past the stop nothing is carried out.
    fn step(&mut self) -> io::Result<()> {
        self.calls += 1;
        if self.stop_at.is_some_and(|stop| self.calls >= stop) { Err(gone()) } else { Ok(()) }
    }

    fn reserved(&self) -> u64 {
        let files = self.names.values().map(|file| self.files[*file].durable.len() as u64);
        files.sum()
    }

    fn reserve(&self, more: u64) -> io::Result<()> {
        if self.bytes_max.is_some_and(|most| self.reserved() + more > most) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }
}

impl SimDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.state.lock().calls
    }

    /// The machine goes down at that call, which is not carried out.
    pub fn stop_at(&self, call: u64) {
        self.state.lock().stop_at = Some(call);
    }

    /// The sync at that call, or the first one after it, fails; what it should have made durable is
    /// lost, although reads still show it.
    pub fn fail_sync_at(&self, call: u64) {
        self.state.lock().fail_sync_at = Some(call);
    }

    /// How much room there is, for all files together.
    pub fn set_bytes_max(&self, bytes: Option<u64>) {
        self.state.lock().bytes_max = bytes;
    }

    /// How much room is taken.
    pub fn reserved(&self) -> u64 {
        self.state.lock().reserved()
    }

    /// The disk as the next start finds it.
    #[must_use]
    pub fn after_crash(&self, fate: Fate, entropy: &dyn Entropy) -> Self {
        let state = self.state.lock();
        let keep_names = match fate {
            Fate::All => true,
            Fate::Nothing => false,
            Fate::Some | Fate::Torn => entropy.up_to(1) == 1,
        };
        let names = if keep_names { &state.names } else { &state.durable_names }.clone();
        let files = state.files.iter().map(|file| survivor(file, fate, entropy)).collect();
        let next = State { files, durable_names: names.clone(), names, ..State::default() };
        Self { state: Arc::new(Mutex::new(next)) }
    }

    /// Everything that stands in a file.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state.lock();
        state.names.get(name).map(|file| state.files[*file].now())
    }

    /// Puts a file there, durably.
    pub fn write(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.state.lock();
        let content = Content { durable: bytes, unsynced: Vec::new() };
        state.files.push(content);
        let file = state.files.len() - 1;
        state.names.insert(name.to_owned(), file);
        state.durable_names.insert(name.to_owned(), file);
    }
}

fn survivor(file: &Content, fate: Fate, entropy: &dyn Entropy) -> Content {
    let mut durable = file.durable.clone();
    for (at, written) in &file.unsynced {
        let kept = match fate {
            Fate::All => true,
            Fate::Nothing => false,
            Fate::Some | Fate::Torn => entropy.up_to(1) == 1,
        };
        if !kept {
            continue;
        }
        let sectors = written.len().div_ceil(512);
        for sector in 0..sectors {
            let range = sector * 512..((sector + 1) * 512).min(written.len());
            if fate != Fate::Torn || entropy.up_to(3) > 0 {
                overwrite(&mut durable, at + range.start, &written[range]);
            }
        }
    }
    Content { durable, unsynced: Vec::new() }
}

struct Unlock(Arc<Mutex<State>>);

impl Drop for Unlock {
    fn drop(&mut self) {
        self.0.lock().locked = false;
    }
}

impl Disk for SimDisk {
    fn lock(&self) -> io::Result<Option<Box<dyn Send + Sync>>> {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.locked, true) {
            return Ok(None);
        }
        Ok(Some(Box::new(Unlock(Arc::clone(&self.state)))))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut state = self.state.lock();
        state.step()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        state.step()?;
        let file = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: self.clone(), file }))
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        state.step()?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.reserve(bytes)?;
        let durable = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
        state.files.push(Content { durable, unsynced: Vec::new() });
        let file = state.files.len() - 1;
        state.names.insert(name.to_owned(), file);
        Ok(Arc::new(SimFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.step()?;
        let file = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.step()?;
        state.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.step()?;
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn place(&self, name: &str) -> String {
        format!("simulated/{name}")
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    file: usize,
}

impl DiskFile for SimFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        state.step()?;
        let content = state.files[self.file].now();
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let found = content.get(from..from + bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(found);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        state.step()?;
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        state.files[self.file].unsynced.push((at, bytes.to_vec()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        state.step()?;
        let calls = state.calls;
        let fails = state.fail_sync_at.is_some_and(|call| calls >= call);
        let content = &mut state.files[self.file];
        if fails {
            state.fail_sync_at = None;
            return Err(io::Error::other("the simulated disk failed to sync"));
        }
        content.durable = content.now();
        content.unsynced.clear();
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        let mut state = self.disk.state.lock();
        state.step()?;
        Ok(state.files[self.file].now().len() as u64)
    }

    fn extend(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        state.step()?;
        let size = usize::try_from(bytes).map_err(io::Error::other)?;
        let has = state.files[self.file].durable.len();
        state.reserve((size.saturating_sub(has)) as u64)?;
        if size > has {
            state.files[self.file].durable.resize(size, 0);
        }
        Ok(())
    }
}
