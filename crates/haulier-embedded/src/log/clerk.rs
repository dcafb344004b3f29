//! Who writes hints: behind everybody's back, from the sealed segment itself, so that commits pay
//! nothing for them. A hint that is not written costs the next start a moment, and nothing else.

use std::sync::Arc;
use std::thread::JoinHandle;

use haulier_core::probe::failpoint;

use crate::disk::{Disk, DiskFile};
use crate::log::hint;

#[cfg(target_os = "linux")]
/// How much the thread gives way to others: its nice value.
const PATIENCE: i32 = 15;

/// One hint at a time, on a thread that lives as long.
#[derive(Debug, Default)]
pub struct Clerk {
    at_work: Option<(u32, JoinHandle<()>)>,
    /// Without threads: whoever asks waits.
    at_once: bool,
}

impl Clerk {
    /// One that uses no thread, for a store that a simulation drives.
    pub const fn at_once() -> Self {
        Self { at_work: None, at_once: true }
    }

    /// Whether a hint is being written.
    pub fn is_busy(&mut self) -> bool {
        self.at_work = self.at_work.take().filter(|(_, thread)| !thread.is_finished());
        self.at_work.is_some()
    }

    /// Whether the hint of this segment is being written.
    pub fn has(&mut self, segment: u32) -> bool {
        self.is_busy() && self.at_work.as_ref().is_some_and(|(number, _)| *number == segment)
    }

    /// Writes the hint of a sealed segment that ends there.
    pub fn begin(&mut self, disk: &Arc<dyn Disk>, segment: u32, file: Arc<dyn DiskFile>, end: u32) {
        if self.at_once {
            return write(&**disk, segment, &*file, end);
        }
        let disk = Arc::clone(disk);
        let write = move || {
            // Nobody waits for it, so it makes nobody wait. (On Linux this is the thread's own.)
            #[cfg(target_os = "linux")]
            if let Err(error) = rustix::process::setpriority_process(None, PATIENCE) {
                tracing::debug!(%error, "hints are written at everybody's priority");
            }
            write(&*disk, segment, &*file, end);
        };
        let thread = std::thread::Builder::new().name("haulier-clerk".to_owned()).spawn(write);
        match thread {
            Ok(thread) => self.at_work = Some((segment, thread)),
            Err(error) => tracing::warn!(segment, %error, "no thread for a hint"),
        }
    }

    /// Writes it now, once whatever is being written is done.
    pub fn write(&mut self, disk: &dyn Disk, segment: u32, file: &dyn DiskFile, end: u32) {
        self.join();
        write(disk, segment, file, end);
    }

    fn join(&mut self) {
        if let Some((_, thread)) = self.at_work.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes hints panicked");
        }
    }
}

impl Drop for Clerk {
    fn drop(&mut self) {
        self.join();
    }
}

fn write(disk: &dyn Disk, segment: u32, file: &dyn DiskFile, end: u32) {
    let made = failpoint("before hint").and_then(|()| {
        hint::make(segment, end, |bytes: &mut [u8], offset| file.read_at(bytes, offset))
    });
    if let Err(error) = made.and_then(|hint| hint::write(disk, segment, &hint)) {
        tracing::warn!(segment, %error, "no hint was written; a start reads the segment");
    }
}
