//! The files that the quickstart hauls: which ones, how they looked when the work was handed over,
//! and the digest that everything is compared with.

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

/// Bytes that are read at a time.
const CHUNK: usize = 128 * 1024;

/// A file as it was when the directory was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path, below the directory that was named.
    pub path: String,
    /// How it looked.
    pub look: Look,
}

/// What shows that a file was changed: its length and when it was written last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Bytes.
    pub length: u64,
    modified: Option<SystemTime>,
}

impl From<&Metadata> for Look {
    fn from(metadata: &Metadata) -> Self {
        Self { length: metadata.len(), modified: metadata.modified().ok() }
    }
}

impl Look {
    /// How a file looks now; `None` if it is gone.
    pub fn now(path: &Path) -> Option<Self> {
        std::fs::symlink_metadata(path).ok().as_ref().map(Self::from)
    }
}

/// What a directory holds.
#[derive(Debug, Default)]
pub struct Listing {
    /// The files to work on, by path.
    pub files: Vec<Entry>,
    /// Symbolic links, which are not followed.
    pub links: u64,
    /// Files and directories that may not be read, or whose name is not text; the first few by
    /// name.
    pub unreadable: Vec<String>,
    /// There were more files than were asked for.
    pub cut: bool,
}

/// Reads a directory with everything below it, at most `max` files. `.git` and directories that are
/// tagged as caches (`CACHEDIR.TAG`, as cargo's `target`) are left out.
pub fn list(root: &Path, max: usize) -> std::io::Result<Listing> {
    let mut listing = Listing::default();
    // The root itself must be readable; below it, what cannot be read is told and left out.
    std::fs::read_dir(root)?;
    let mut waiting: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(dir) = waiting.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else {
            listing.unreadable.push(dir.display().to_string());
            continue;
        };
        for entry in entries.flatten() {
            let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
            if kind.is_symlink() {
                listing.links += 1;
            } else if kind.is_dir() && !is_left_out(&path) {
                waiting.push(path);
            } else if kind.is_file() {
                if listing.files.len() == max {
                    listing.cut = true;
                    return Ok(sorted(listing));
                }
                take(&path, &mut listing);
            }
        }
    }
    Ok(sorted(listing))
}

fn sorted(mut listing: Listing) -> Listing {
    listing.files.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    listing
}

fn is_left_out(dir: &Path) -> bool {
    dir.file_name().is_some_and(|name| name == ".git") || dir.join("CACHEDIR.TAG").is_file()
}

fn take(path: &Path, listing: &mut Listing) {
    let readable = File::open(path).and_then(|file| file.metadata());
    match (path.to_str(), readable) {
        (Some(text), Ok(metadata)) => {
            let look = Look::from(&metadata);
            listing.files.push(Entry { path: text.to_owned(), look });
        }
        _ => listing.unreadable.push(path.display().to_string()),
    }
}

/// SHA-256 of a file's bytes in hexadecimal, and how many there were.
pub fn digest(path: &Path) -> std::io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut length = 0;
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        hasher.update(&chunk[..read]);
        length += read as u64;
    }
    Ok((hex(&hasher.finalize()), length))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_the_one_that_everybody_computes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        let (hex, length) = digest(&path).unwrap();
        assert_eq!(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(length, 3);
    }

    #[test]
    fn links_caches_and_histories_are_left_out_and_a_limit_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for path in ["a", "below/b", ".git/c", "target/CACHEDIR.TAG", "target/d"] {
            std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            std::fs::write(root.join(path), path).unwrap();
        }
        std::os::unix::fs::symlink(root.join("a"), root.join("link")).unwrap();
        let listing = list(root, 10).unwrap();
        let names: Vec<_> = listing.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(
            names,
            [root.join("a").to_str().unwrap(), root.join("below/b").to_str().unwrap()]
        );
        assert_eq!((listing.links, listing.cut), (1, false));
        let cut = list(root, 1).unwrap();
        assert_eq!((cut.files.len(), cut.cut), (1, true));
        assert!(list(&root.join("nowhere"), 1).is_err());
    }
}
