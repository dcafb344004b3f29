//! The seam to the file system: one flat directory of files. Everything that touches the disk goes
//! through here, so that a test can be the disk ([`SimDisk`]).

mod counting;
mod real;
mod sim;

use std::fmt;
use std::io;
use std::sync::Arc;

pub use counting::{Counting, Counts};
pub use real::RealDisk;
pub use sim::{Failure, Fate, SimDisk};

/// A directory. Names are plain file names.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Locks the directory for as long as the guard lives; `None` if somebody else holds it.
    fn lock(&self) -> io::Result<Option<Box<dyn Send + Sync>>>;
    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Opens a file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Makes a file of that many bytes, with room reserved for them. It must not exist.
    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>>;
    /// Gives a file another name, replacing what has that name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes names durable.
    fn sync_names(&self) -> io::Result<()>;
    /// Where it is, for people.
    fn place(&self, name: &str) -> String;
}

/// An open file.
pub trait DiskFile: fmt::Debug + Send + Sync {
    /// Fills the buffer from that offset on.
    ///
    /// # Errors
    /// Of kind [`io::ErrorKind::UnexpectedEof`] if the file ends before.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all bytes at that offset.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes everything that was written durable. After an error nothing is known of it, and a
    /// second call may lie: whoever gets one stops.
    fn sync(&self) -> io::Result<()>;
    /// How many bytes it has.
    fn size(&self) -> io::Result<u64>;
    /// Grows it, with room reserved.
    fn extend(&self, bytes: u64) -> io::Result<()>;
}
