//! Taking a backup: the pinned segments, piece by piece, each behind its checksum. It reads files
//! and knows nothing of where the pieces go.

use std::io;
use std::path::Path;

use haulier_core::{Result, Timestamp};

use super::BackupError;
use super::manifest::{self, Manifest, PIECE_BYTES};
use crate::codec::wide;
use crate::disk::{Disk, RealDisk};
use crate::engine::{Context, Engine};
use crate::error::OpenError;
use crate::log::pin::Pinned;
use crate::log::recover::{Replay, recover};
use crate::open::refuse_unfinished;
use crate::store::EmbeddedStore;

/// A backup that is being taken. While it lives the disk keeps what it has still to read.
#[derive(Debug)]
pub struct Backup {
    manifest: Manifest,
    pinned: Pinned,
    next: Next,
    /// Over the checksums of the head and of every piece so far.
    sum: u32,
    _lock: Option<Held>,
}

/// What keeps others from a directory meanwhile.
struct Held(#[expect(dead_code, reason = "held, never read")] Box<dyn Send + Sync>);

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Held")
    }
}

#[derive(Debug, Clone, Copy)]
enum Next {
    Head,
    /// The segment with that place in the manifest, from that byte on.
    Piece(usize, u32),
    Done,
}

impl Backup {
    fn new(manifest: Manifest, pinned: Pinned, lock: Option<Held>) -> Self {
        Self { manifest, pinned, next: Next::Head, sum: 0, _lock: lock }
    }

    /// What it is going to say of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The next bytes of it, at most 256 KiB; `None` at its end. It reads the disk: call it where
    /// that may take its time.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self.next {
            Next::Head => {
                let head = self.manifest.encode();
                self.next = Next::Piece(0, 0);
                self.add(head.last_chunk().copied().unwrap_or_default());
                Ok(Some(head))
            }
            Next::Piece(at, offset) => {
                if let Some((number, bytes)) = self.manifest.segments.get(at).copied() {
                    return self.piece(at, number, offset, bytes).map(Some);
                }
                self.next = Next::Done;
                Ok(Some(manifest::encode_end(self.manifest.backup_bytes(), self.sum)))
            }
            Next::Done => Ok(None),
        }
    }

    fn piece(&mut self, at: usize, number: u32, offset: u32, bytes: u32) -> io::Result<Vec<u8>> {
        let len = (bytes - offset).min(PIECE_BYTES);
        let file = self.pinned.files.get(&number).ok_or(io::ErrorKind::NotFound)?;
        let mut piece = vec![0; 4 + wide(len)];
        file.read_at(&mut piece[4..], u64::from(offset))?;
        let crc = crc32c::crc32c(&piece[4..]).to_le_bytes();
        piece[..4].copy_from_slice(&crc);
        self.add(crc);
        let end = offset + len;
        self.next = if end < bytes { Next::Piece(at, end) } else { Next::Piece(at + 1, 0) };
        Ok(piece)
    }

    fn add(&mut self, crc: [u8; 4]) {
        self.sum = crc32c::crc32c_append(self.sum, &crc);
    }
}

impl EmbeddedStore {
    /// Begins a backup of everything that is durable now. Whatever was acknowledged before this was
    /// called is in it. Commits go on; the disk space of what it still has to read is not used
    /// again before it is dropped.
    ///
    /// # Errors
    /// The store has stopped.
    pub async fn backup(&self) -> Result<Backup> {
        let (pinned, generation, now) = self.pin().await?;
        let manifest = Manifest::new(generation, now, pinned.segments.clone());
        Ok(Backup::new(manifest, pinned, None))
    }
}

/// Begins a backup of a directory that no server has open. It changes nothing in it; what a crash
/// left behind the log's end is not in the backup.
///
/// # Errors
/// Somebody has it open, it holds no store, a restore into it is not finished, or a start would
/// refuse it.
pub fn backup_directory(path: &Path) -> Result<Backup, BackupError> {
    let disk = RealDisk::at(path);
    let io = |what: &str| BackupError::io(format!("{}: {what}", disk.place("")));
    let lock = disk.lock().map_err(io("the lock cannot be taken"))?;
    let Some(lock) = lock else {
        return Err(OpenError::Locked { place: disk.place("lock") }.into());
    };
    refuse_unfinished(&disk)?;
    let mut engine = Engine::new(usize::MAX, 0);
    let mut replay = Replay { engine: &mut engine, context: Context::default() };
    let Some(found) = recover(&disk, &mut replay)? else {
        let none = io::Error::new(io::ErrorKind::NotFound, "it holds no store");
        return Err(io("nothing can be backed up")(none));
    };
    let ends = found.ends;
    let pinned = Pinned::new(found.files.into(), found.end, |number| ends.get(&number).copied());
    let taken_at: Timestamp = engine.latest();
    let manifest = Manifest::new(found.generation, taken_at, pinned.segments.clone());
    Ok(Backup::new(manifest, pinned, Some(Held(lock))))
}
