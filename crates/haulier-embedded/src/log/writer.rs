//! The one thread that writes and syncs. It carries out jobs in their order and reports each; it
//! decides nothing. After a failure it does nothing more: what a failed sync left behind is not
//! known, and a second one would lie (see `faults` in the crate's documentation).

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use crate::disk::{Disk, DiskFile};
use crate::log::frame::FrameHeader;
use crate::place::Position;

/// One step of a job.
#[derive(Debug)]
pub enum Step {
    /// Sign and write a frame.
    Write {
        /// To this file.
        file: Arc<dyn DiskFile>,
        /// At this offset.
        offset: u64,
        /// These.
        bytes: Vec<u8>,
    },
    /// Turn a spare file into a segment.
    Begin {
        /// The file.
        file: Arc<dyn DiskFile>,
        /// What it is called.
        from: String,
        /// What it is called from now on.
        to: String,
        /// The segment's header.
        header: Vec<u8>,
    },
}

/// What is written as one.
#[derive(Debug)]
pub struct Job {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// Whether somebody waits for it to be durable.
    pub sync: bool,
    /// The position behind it.
    pub end: Position,
}

/// How a job went.
#[derive(Debug)]
pub struct Written {
    /// The position behind the job, or what the disk said.
    pub result: io::Result<Position>,
    /// Whether it is durable, and everything before it.
    pub synced: bool,
    /// Buffers that were written.
    pub spent: Vec<Vec<u8>>,
}

/// The thread, and the way to it. Dropping it ends the thread once its jobs are done.
#[derive(Debug)]
pub struct Writer {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread; `report` is called after each job.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn spawn(
        disk: Arc<dyn Disk>,
        report: impl Fn(Written) + Send + 'static,
    ) -> io::Result<Self> {
        let (jobs, inbox) = channel();
        let thread = std::thread::Builder::new()
            .name("haulier-writer".to_owned())
            .spawn(move || run(&*disk, &inbox, &report))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Hands a job over. A thread that is gone has reported why.
    pub fn hand_over(&self, job: Job) {
        if let Some(jobs) = &self.jobs
            && jobs.send(job).is_err()
        {
            tracing::debug!("a job came after the writer had stopped");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer's thread panicked");
        }
    }
}

/// What was written and not synced.
#[derive(Default)]
struct Unsynced {
    files: Vec<Arc<dyn DiskFile>>,
    names: bool,
}

fn run(disk: &dyn Disk, inbox: &Receiver<Job>, report: &dyn Fn(Written)) {
    let mut unsynced = Unsynced::default();
    while let Ok(job) = inbox.recv() {
        let (sync, end) = (job.sync, job.end);
        let mut spent = Vec::new();
        let result = carry_out(disk, job, &mut unsynced, &mut spent).map(|()| end);
        let failed = result.is_err();
        report(Written { result, synced: sync && !failed, spent });
        if failed {
            return;
        }
    }
}

fn carry_out(
    disk: &dyn Disk,
    job: Job,
    unsynced: &mut Unsynced,
    spent: &mut Vec<Vec<u8>>,
) -> io::Result<()> {
    for step in job.steps {
        match step {
            Step::Write { file, offset, mut bytes } => {
                FrameHeader::sign(&mut bytes);
                file.write_at(&bytes, offset)?;
                unsynced.touch(file);
                spent.push(bytes);
            }
            Step::Begin { file, from, to, header } => {
                // The old name of a used file must be gone for good before its bytes are.
                disk.sync_names()?;
                disk.rename(&from, &to)?;
                file.write_at(&header, 0)?;
                unsynced.names = true;
                unsynced.touch(file);
            }
        }
    }
    if job.sync { unsynced.sync(disk) } else { Ok(()) }
}

impl Unsynced {
    fn touch(&mut self, file: Arc<dyn DiskFile>) {
        if !self.files.iter().any(|known| Arc::ptr_eq(known, &file)) {
            self.files.push(file);
        }
    }

    fn sync(&mut self, disk: &dyn Disk) -> io::Result<()> {
        for file in self.files.drain(..) {
            file.sync()?;
        }
        if std::mem::take(&mut self.names) {
            disk.sync_names()?;
        }
        Ok(())
    }
}
