//! A backup read back: it shows as a disk on which the log stands, so that whatever reads a
//! directory reads a backup, too. Nothing can be written to it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::BackupError;
use super::manifest::{
    self, END_BYTES, FORMAT, HEAD_BYTES, HeadError, Manifest, PIECE_BYTES, stored_bytes,
};
use crate::codec::wide;
use crate::disk::{Disk, DiskFile};
use crate::log::{segment_name, segment_number};

/// A backup's file.
#[derive(Debug)]
pub struct Archive {
    file: Arc<File>,
    place: String,
    manifest: Manifest,
    head: Vec<u8>,
}

impl Archive {
    /// Opens a backup: its head holds, and it has its full length.
    ///
    /// # Errors
    /// It is none, newer, cut short, or cannot be read.
    pub fn open(path: &Path) -> Result<Self, BackupError> {
        let place = path.display().to_string();
        let io = || BackupError::io(format!("{place} cannot be read"));
        let file = File::open(path).map_err(io())?;
        let metadata = file.metadata().map_err(io())?;
        let judge = |error: HeadError| match error {
            HeadError::Foreign => BackupError::Foreign(place.clone()),
            HeadError::Newer(found) => {
                BackupError::Newer { file: place.clone(), found, known: FORMAT }
            }
            HeadError::Damaged(why) => {
                BackupError::Damaged { file: place.clone(), offset: 0, why: why.to_owned() }
            }
        };
        let mut begin = [0; HEAD_BYTES];
        if !metadata.is_file() || metadata.len() < begin.len() as u64 {
            return Err(BackupError::Foreign(place));
        }
        file.read_exact_at(&mut begin, 0).map_err(io())?;
        let head_len = Manifest::head_len(&begin).map_err(judge)?;
        let has = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
        let mut head = vec![0; head_len.min(has)];
        file.read_exact_at(&mut head, 0).map_err(io())?;
        let manifest = Manifest::decode(&head).map_err(judge)?;
        let archive = Self { file: Arc::new(file), place, manifest, head };
        let (whole, has) = (archive.manifest.backup_bytes(), metadata.len());
        if has != whole {
            let why =
                format!("it has {has} of {whole} bytes: it was cut short, or is not finished");
            return Err(archive.damaged(has.min(whole), why));
        }
        Ok(archive)
    }

    /// What it says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where it is, for people.
    pub fn name(&self) -> &str {
        &self.place
    }

    /// Waits until nobody else has it locked, and locks it, for as long as what is returned lives.
    pub(super) fn lock(&self) -> io::Result<File> {
        // Another opening of the same file: a copy of this one would keep the lock.
        let file = File::open(&self.place)?;
        file.lock()?;
        Ok(file)
    }

    pub(super) fn damaged(&self, offset: u64, why: impl Into<String>) -> BackupError {
        BackupError::Damaged { file: self.place.clone(), offset, why: why.into() }
    }

    /// Checks every byte of it against its checksums.
    ///
    /// # Errors
    /// What does not hold, and where.
    pub fn check(&self) -> Result<(), BackupError> {
        let read = |bytes: &mut [u8], at: u64| {
            let what = format!("{} cannot be read", self.place);
            self.file.read_exact_at(bytes, at).map_err(BackupError::io(what))
        };
        let mut sum = crc32c::crc32c(&self.head[self.head.len() - 4..]);
        let mut at = self.head.len() as u64;
        let mut buffer = vec![0; 4 + wide(PIECE_BYTES)];
        for (number, bytes) in &self.manifest.segments {
            let mut left = *bytes;
            while left > 0 {
                let len = left.min(PIECE_BYTES);
                let piece = &mut buffer[..4 + wide(len)];
                read(piece, at)?;
                let crc = crc32c::crc32c(&piece[4..]).to_le_bytes();
                if piece[..4] != crc {
                    let why = format!("a piece of segment {number} does not hold");
                    return Err(self.damaged(at, why));
                }
                sum = crc32c::crc32c_append(sum, &crc);
                at += 4 + u64::from(len);
                left -= len;
            }
        }
        let mut end = [0; wide(24)];
        read(&mut end, at)?;
        if end[..] != manifest::encode_end(at + END_BYTES, sum) {
            return Err(self.damaged(at, "its end does not belong to it"));
        }
        Ok(())
    }

    /// Where a segment begins in the file, and how many of its bytes are there.
    fn segment(&self, wanted: u32) -> Option<(u64, u32)> {
        let mut at = self.head.len() as u64;
        for (number, bytes) in &self.manifest.segments {
            if *number == wanted {
                return Some((at, *bytes));
            }
            at += stored_bytes(*bytes);
        }
        None
    }
}

/// One segment of a backup.
#[derive(Debug)]
struct Segment {
    file: Arc<File>,
    at: u64,
    bytes: u32,
}

fn read_only<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "a backup is never changed"))
}

impl Disk for Archive {
    fn lock(&self) -> io::Result<Option<Box<dyn Send + Sync>>> {
        read_only()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.manifest.segments.iter().map(|(number, _)| segment_name(*number)).collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let found = segment_number(name).and_then(|number| self.segment(number));
        let (at, bytes) = found.ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(Segment { file: Arc::clone(&self.file), at, bytes }))
    }

    fn create(&self, _: &str, _: u64) -> io::Result<Arc<dyn DiskFile>> {
        read_only()
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        read_only()
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        read_only()
    }

    fn sync_names(&self) -> io::Result<()> {
        read_only()
    }

    fn place(&self, name: &str) -> String {
        format!("{}: {name}", self.place)
    }
}

impl DiskFile for Segment {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let piece_bytes = u64::from(PIECE_BYTES);
        let end = offset.checked_add(bytes.len() as u64);
        if end.is_none_or(|end| end > u64::from(self.bytes)) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (mut rest, mut offset) = (bytes, offset);
        while !rest.is_empty() {
            let (piece, within) = (offset / piece_bytes, offset % piece_bytes);
            let left = usize::try_from(piece_bytes - within).map_err(io::Error::other)?;
            let (now, later) = rest.split_at_mut(left.min(rest.len()));
            let at = self.at + piece * (4 + piece_bytes) + 4 + within;
            self.file.read_exact_at(now, at)?;
            offset += now.len() as u64;
            rest = later;
        }
        Ok(())
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        read_only()
    }

    fn sync(&self) -> io::Result<()> {
        read_only()
    }

    fn size(&self) -> io::Result<u64> {
        Ok(u64::from(self.bytes))
    }

    fn extend(&self, _: u64) -> io::Result<()> {
        read_only()
    }
}
