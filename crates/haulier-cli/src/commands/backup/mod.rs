//! `haulier backup`: a backup of a running server, over HTTP, or of a directory that no server has
//! open. It is written beside its name, synced, read back and checked, and only then gets the name:
//! whatever bears it is whole.

mod fetch;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use haulier_embedded::{Archive, Manifest};
use haulier_server::api::Instant;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::commands::verify::no_store;
use crate::disk::sync_directory;
use crate::exit::{Exit, Failed, Result};
use crate::output::{self, Format, Output};
use crate::{connect, text};

/// Takes a backup: of a running server while it works, or of a directory.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  haulier backup monday.backup --data haulier-data
  haulier backup tuesday.backup --data haulier-data && haulier verify tuesday.backup

Without --data the running server of --url is backed up.

Exit code 0 if the backup is whole, 65 if what was read is damaged, 69 if the server is not there or
ended meanwhile, 74 if it cannot be written, 78 if a server has --data DIR open.")]
pub struct Args {
    /// The file to write; it must not exist
    file: PathBuf,
    /// Back up this directory, which no server has open, instead of a running server
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Read no faster than this, in bytes a second, from a server
    #[arg(long, value_name = "N", default_value_t = 64 * 1024 * 1024,
          value_parser = clap::value_parser!(u64).range(64 * 1024..))]
    bytes_per_second: u64,
    #[command(flatten)]
    server: connect::Server,
    #[command(flatten)]
    output: Output,
}

/// What was taken, as JSON.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    file: String,
    bytes: u64,
    log_bytes: u64,
    segments: usize,
    generation: u32,
    taken_at: &'a Instant,
}

impl Args {
    /// Runs the command.
    pub async fn run(self) -> Result<Exit> {
        let taken =
            |file: &Path| Failed::new(Exit::No, format!("{} is there already", file.display()));
        if self.file.exists() {
            return Err(
                taken(&self.file).next("choose another name; a backup is never overwritten")
            );
        }
        let mut draft = Draft::begin(&self.file)?;
        match self.data.clone().or_else(|| self.server.directory()) {
            Some(directory) => from_directory(&directory, &mut draft)?,
            None => fetch::fetch(&self.server.url(), self.bytes_per_second, &mut draft).await?,
        }
        let manifest = draft.finish()?;
        self.tell(&manifest)?;
        Ok(Exit::Done)
    }

    fn tell(&self, manifest: &Manifest) -> Result<()> {
        let taken_at = Instant(manifest.taken_at);
        let taken = Summary {
            file: self.file.display().to_string(),
            bytes: manifest.backup_bytes(),
            log_bytes: manifest.log_bytes(),
            segments: manifest.segments.len(),
            generation: manifest.generation,
            taken_at: &taken_at,
        };
        match self.output.format {
            Format::Json => output::json(&taken),
            Format::Ndjson => output::json_line(&taken),
            Format::Name => output::line(format_args!("{}", text::line(&taken.file))),
            Format::Table | Format::Wide => output::line(format_args!(
                "{}: {}, {}, as it was at {taken_at}",
                text::line(&taken.file),
                text::bytes(taken.bytes),
                text::count(taken.segments as u64, "segment"),
            )),
        }
    }
}

fn from_directory(directory: &Path, draft: &mut Draft) -> Result<()> {
    if !directory.is_dir() {
        return Err(no_store(directory, "is no directory"));
    }
    let mut backup = haulier_embedded::backup_directory(directory)?;
    draft.expect(backup.manifest().backup_bytes());
    let unreadable =
        |error: std::io::Error| Failed::io(format_args!("{}", directory.display()), &error);
    while let Some(piece) = backup.read().map_err(unreadable)? {
        draft.write(&piece)?;
    }
    Ok(())
}

/// A backup while it is written: under a name that says so. It is removed unless it is finished.
struct Draft {
    file: File,
    path: PathBuf,
    target: PathBuf,
    bar: ProgressBar,
    /// It is damaged, and left for somebody to look at.
    keep: bool,
}

impl Draft {
    /// Takes the place beside the backup's name. What an interrupted one left there is overwritten.
    fn begin(target: &Path) -> Result<Self> {
        let mut name = target.as_os_str().to_owned();
        name.push(".partial");
        let path = PathBuf::from(name);
        let unwritable = |error: &std::io::Error| Failed::io(path.display(), error);
        let mut file = open(&path).map_err(|error| unwritable(&error))?;
        claim(&file, &path)?;
        if file.metadata().map_err(|error| unwritable(&error))?.nlink() > 1 {
            // A crash while it got its name left a whole backup both names.
            std::fs::remove_file(&path).map_err(|error| unwritable(&error))?;
            file = open(&path).map_err(|error| unwritable(&error))?;
            claim(&file, &path)?;
        }
        file.set_len(0).map_err(|error| unwritable(&error))?;
        Ok(Self { file, path, target: target.to_owned(), bar: ProgressBar::hidden(), keep: false })
    }

    /// So many bytes will come.
    fn expect(&mut self, bytes: u64) {
        let style = ProgressStyle::with_template("{bytes} of {total_bytes} {wide_bar}");
        if let Ok(style) = style {
            self.bar = ProgressBar::new(bytes).with_style(style);
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| self.failed(&error))?;
        self.bar.inc(bytes.len() as u64);
        Ok(())
    }

    fn failed(&self, error: &std::io::Error) -> Failed {
        Failed::io(self.path.display(), error)
    }

    /// Syncs it, reads it back, and gives it its name, which nobody else may have taken meanwhile.
    fn finish(mut self) -> Result<Manifest> {
        self.bar.finish_and_clear();
        self.file.sync_all().map_err(|error| self.failed(&error))?;
        let archive = Archive::open(&self.path)?;
        archive.check()?;
        let report = haulier_embedded::verify_archive(&archive)?;
        if let Some(finding) = report.findings().next() {
            let what = format!("what was backed up is damaged: {finding}");
            self.keep = true;
            let left = self.path.display();
            return Err(Failed::new(Exit::Damage, what).next(format!(
                "look at it with `haulier verify {left}`, which is left as it is, and use an \
                 earlier backup"
            )));
        }
        self.name().map_err(|error| Failed::io(self.target.display(), &error))?;
        Ok(archive.manifest().clone())
    }
}

impl Draft {
    /// Gives it its name, durably. A link fails where a rename would overwrite; where there are no
    /// links it is renamed.
    fn name(&self) -> std::io::Result<()> {
        match std::fs::hard_link(&self.path, &self.target) {
            Ok(()) => std::fs::remove_file(&self.path)?,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Err(error),
            Err(_) => std::fs::rename(&self.path, &self.target)?,
        }
        sync_directory(&self.target)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let ours = || is_there(&self.file, &self.path).unwrap_or(false);
        if !self.keep && ours() {
            // One that cannot be removed is written over by the next backup.
            drop(std::fs::remove_file(&self.path));
        }
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Keeps others from a draft that was opened. Whoever held it meanwhile may have finished it: then
/// it is a backup by now, under its own name, and not to be written over.
fn claim(file: &File, path: &Path) -> Result<()> {
    let busy = |what: &str| {
        let failed = Failed::new(Exit::TryAgain, format!("{} {what}", path.display()));
        Err(failed.next("wait, or choose another name"))
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return busy("is being written by another command"),
        Err(TryLockError::Error(error)) => return Err(Failed::io(path.display(), &error)),
    }
    match is_there(file, path) {
        Ok(true) => Ok(()),
        Ok(false) => busy("was just finished or given up by another command"),
        Err(error) => Err(Failed::io(path.display(), &error)),
    }
}

/// Whether a name is still that of an open file.
fn is_there(file: &File, path: &Path) -> std::io::Result<bool> {
    let here = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(there) => Ok((here.dev(), here.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// I1: two commands for one name; the second has opened the draft when the first finishes it.
    #[test]
    fn a_draft_that_became_a_backup_before_it_was_locked_is_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let (path, target) = (dir.path().join("a.partial"), dir.path().join("a"));
        let first = open(&path).unwrap();
        claim(&first, &path).unwrap();
        let second = open(&path).unwrap();
        assert_eq!(claim(&second, &path).unwrap_err().exit(), Exit::TryAgain, "it is locked");
        std::fs::rename(&path, &target).unwrap();
        drop(first);
        let refused = claim(&second, &path).unwrap_err();
        assert_eq!(refused.exit(), Exit::TryAgain, "I1: {refused}");
        assert!(refused.to_string().contains("was just finished"), "{refused}");
        // A third command has made a new draft by then.
        std::fs::write(&path, "").unwrap();
        assert!(claim(&second, &path).is_err(), "I1");
        claim(&open(&path).unwrap(), &path).unwrap();
    }

    /// A crash between the two steps of the naming leaves a backup with both names.
    #[test]
    fn a_draft_that_is_also_a_finished_backup_is_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let (partial, moved) = (dir.path().join("a.partial"), dir.path().join("monday"));
        std::fs::write(&moved, "a backup").unwrap();
        std::fs::hard_link(&moved, &partial).unwrap();
        let mut draft = Draft::begin(&dir.path().join("a")).unwrap();
        draft.write(b"another").unwrap();
        assert_eq!(std::fs::read(&moved).unwrap(), b"a backup", "I1");
        drop(draft);
        assert!(!partial.exists());
    }
}
