//! A disk in memory that keeps apart what was synced and what was not, and can lose the latter. It
//! counts its calls: a test stops it at each one in turn, or makes one fail, decides what survived,
//! and opens the store again.
//!
//! It promises no more than a real one: writes to different files, and names, reach it in any order
//! until they are synced; and after a failed sync the system shows what the disk does not have.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use haulier_core::Entropy;
use parking_lot::Mutex;

use super::{Disk, DiskFile};

/// What is written as a whole, or torn.
const SECTOR: usize = 512;

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

impl Fate {
    fn keeps(self, entropy: &dyn Entropy) -> bool {
        match self {
            Self::All => true,
            Self::Nothing => false,
            Self::Some | Self::Torn => entropy.up_to(1) == 1,
        }
    }
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The device does not answer. A sync that fails loses what it should have made durable,
    /// although reads still show it and the next sync says that all is well.
    Device,
    /// There is no room.
    Full,
    /// A read gets less than it asked for; a write does half of its work and fails.
    Short,
}

impl Failure {
    fn error(self) -> io::Error {
        match self {
            Self::Device => io::Error::other("the simulated device failed"),
            Self::Full => io::Error::from(io::ErrorKind::StorageFull),
            Self::Short => io::Error::from(io::ErrorKind::UnexpectedEof),
        }
    }
}

/// A disk in memory. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

/// A call that fails, or from which on all fail.
#[derive(Debug, Clone, Copy)]
struct Fault {
    call: u64,
    how: Failure,
    for_ever: bool,
}

#[derive(Debug, Default)]
struct State {
    /// Contents by number; names point to them, so that a renamed file keeps its writes.
    files: Vec<Content>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Changes of names that were not synced, in their order.
    renamed: Vec<Naming>,
    calls: u64,
    stop_at: Option<u64>,
    fail_sync_at: Option<u64>,
    fault: Option<Fault>,
    bytes_max: Option<u64>,
    locked: bool,
}

/// A change of names. Each is kept or lost as a whole.
#[derive(Debug, Clone)]
enum Naming {
    Made(String, usize),
    Moved(String, String, usize),
    Gone(String),
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Made(name, file) => {
                names.insert(name.clone(), *file);
            }
            Self::Moved(from, to, file) => {
                // The name that it had may have been lost or given away since.
                if names.get(from) == Some(file) {
                    names.remove(from);
                }
                names.insert(to.clone(), *file);
            }
            Self::Gone(name) => {
                names.remove(name);
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Grow(usize),
}

#[derive(Debug, Default, Clone)]
struct Content {
    /// What the device has.
    durable: Vec<u8>,
    /// What reads show.
    shown: Vec<u8>,
    unsynced: Vec<Change>,
}

impl Content {
    fn change(&mut self, change: Change) {
        apply(&mut self.shown, &change);
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            apply(&mut self.durable, &change);
        }
    }

    fn survivor(&self, fate: Fate, entropy: &dyn Entropy) -> Self {
        let mut durable = self.durable.clone();
        for change in &self.unsynced {
            if !fate.keeps(entropy) {
                continue;
            }
            match change {
                Change::Write(at, bytes) if fate == Fate::Torn => {
                    tear(&mut durable, *at, bytes, entropy);
                }
                whole => apply(&mut durable, whole),
            }
        }
        Self { shown: durable.clone(), durable, unsynced: Vec::new() }
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(at, written) => overwrite(bytes, *at, written),
        Change::Grow(size) => bytes.resize((*size).max(bytes.len()), 0),
    }
}

fn overwrite(bytes: &mut Vec<u8>, at: usize, written: &[u8]) {
    bytes.resize(bytes.len().max(at + written.len()), 0);
    bytes[at..at + written.len()].copy_from_slice(written);
}

/// Keeps some sectors of a write. Sectors are the device's: a write may begin inside of one.
fn tear(bytes: &mut Vec<u8>, at: usize, written: &[u8], entropy: &dyn Entropy) {
    let mut from = 0;
    while from < written.len() {
        let to = (from + SECTOR - (at + from) % SECTOR).min(written.len());
        if entropy.up_to(3) > 0 {
            overwrite(bytes, at + from, &written[from..to]);
        }
        from = to;
    }
}

fn gone() -> io::Error {
    io::Error::other("the simulated machine is down")
}

impl State {
    /// Counts a call; past the stop nothing is carried out.
    fn count(&mut self) -> io::Result<Option<Failure>> {
        self.calls += 1;
        if self.stop_at.is_some_and(|stop| self.calls >= stop) {
            return Err(gone());
        }
        let fault = self.fault.filter(|fault| {
            self.calls == fault.call || (fault.for_ever && self.calls > fault.call)
        });
        Ok(fault.map(|fault| fault.how))
    }

    fn step(&mut self) -> io::Result<()> {
        match self.count()? {
            Some(how) => Err(how.error()),
            None => Ok(()),
        }
    }

    fn reserved(&self) -> u64 {
        self.names.values().map(|file| self.files[*file].shown.len() as u64).sum()
    }

    fn reserve(&self, more: u64) -> io::Result<()> {
        if self.bytes_max.is_some_and(|most| self.reserved() + more > most) {
            return Err(Failure::Full.error());
        }
        Ok(())
    }

    fn name(&mut self, naming: Naming) {
        naming.apply(&mut self.names);
        self.renamed.push(naming);
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

    /// That call fails, or it and all after it.
    pub fn fail_at(&self, call: u64, how: Failure, for_ever: bool) {
        self.state.lock().fault = Some(Fault { call, how, for_ever });
    }

    /// The sync at that call, or the first one after it, fails as [`Failure::Device`] says.
    pub fn fail_sync_at(&self, call: u64) {
        self.state.lock().fail_sync_at = Some(call);
    }

    /// No call fails any more.
    pub fn heal(&self) {
        let mut state = self.state.lock();
        (state.fault, state.fail_sync_at, state.stop_at) = (None, None, None);
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
        let mut names = state.durable_names.clone();
        for naming in &state.renamed {
            if fate.keeps(entropy) {
                naming.apply(&mut names);
            }
        }
        let files = state.files.iter().map(|file| file.survivor(fate, entropy)).collect();
        let next = State { files, durable_names: names.clone(), names, ..State::default() };
        Self { state: Arc::new(Mutex::new(next)) }
    }

    /// Everything that stands in a file.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state.lock();
        state.names.get(name).map(|file| state.files[*file].shown.clone())
    }

    /// Puts a file there, durably.
    pub fn write(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.state.lock();
        let content = Content { durable: bytes.clone(), shown: bytes, unsynced: Vec::new() };
        state.files.push(content);
        let file = state.files.len() - 1;
        state.names.insert(name.to_owned(), file);
        state.durable_names.insert(name.to_owned(), file);
    }
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
        let mut content = Content::default();
        content.change(Change::Grow(usize::try_from(bytes).map_err(io::Error::other)?));
        state.files.push(content);
        let file = state.files.len() - 1;
        state.name(Naming::Made(name.to_owned(), file));
        Ok(Arc::new(SimFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.step()?;
        let file = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.name(Naming::Moved(from.to_owned(), to.to_owned(), file));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.step()?;
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.name(Naming::Gone(name.to_owned()));
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        if let Some(how) = state.count()? {
            // Unlike the bytes of files, names stay in a journal, which is written or stops.
            return Err(how.error());
        }
        let state = &mut *state;
        state.renamed.drain(..).for_each(|naming| naming.apply(&mut state.durable_names));
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
        let content = &state.files[self.file].shown;
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let found = content.get(from..from + bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(found);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        let failure = state.count()?;
        let written = match failure {
            None => bytes,
            Some(Failure::Short) => &bytes[..bytes.len() / 2],
            Some(how) => return Err(how.error()),
        };
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        state.files[self.file].change(Change::Write(at, written.to_vec()));
        failure.map_or(Ok(()), |how| Err(how.error()))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        let mut failure = state.count()?;
        if state.fail_sync_at.is_some_and(|call| state.calls >= call) {
            state.fail_sync_at = None;
            failure = Some(Failure::Device);
        }
        let content = &mut state.files[self.file];
        match failure {
            None => content.sync(),
            Some(how) => {
                content.unsynced.clear();
                return Err(how.error());
            }
        }
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        let mut state = self.disk.state.lock();
        state.step()?;
        Ok(state.files[self.file].shown.len() as u64)
    }

    fn extend(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        state.step()?;
        let size = usize::try_from(bytes).map_err(io::Error::other)?;
        let has = state.files[self.file].shown.len();
        state.reserve(size.saturating_sub(has) as u64)?;
        if size > has {
            state.files[self.file].change(Change::Grow(size));
        }
        Ok(())
    }
}
