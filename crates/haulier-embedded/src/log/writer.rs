//! The one that writes and syncs, on a thread of its own or turn by turn. It carries out jobs in
//! their order and reports each; it decides nothing. After a failure it does nothing more: what a
//! failed sync left behind is not known, and a second one would lie (see `faults` in the crate's
//! documentation).

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use haulier_core::probe::{failpoint, planted};

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

/// The way to whoever writes. Dropping it says that no more jobs come.
#[derive(Debug)]
pub struct Writer {
    jobs: Sender<Job>,
}

/// Who writes: job by job, whenever it is given a turn.
#[derive(Debug)]
pub struct Pen {
    disk: Arc<dyn Disk>,
    jobs: Receiver<Job>,
    next: Option<Job>,
    unsynced: Unsynced,
    failed: bool,
}

/// A pen, and the way to it.
pub fn pair(disk: Arc<dyn Disk>) -> (Writer, Pen) {
    let (jobs, inbox) = channel();
    let pen = Pen { disk, jobs: inbox, next: None, unsynced: Unsynced::default(), failed: false };
    (Writer { jobs }, pen)
}

impl Writer {
    /// Hands a job over. A pen that is gone has reported why.
    pub fn hand_over(&self, job: Job) {
        if self.jobs.send(job).is_err() {
            tracing::debug!("a job came after the writer had stopped");
        }
    }
}

impl Pen {
    /// Carries out all jobs that ever come, on this thread.
    pub fn run(mut self, report: impl Fn(Written)) {
        while !self.failed
            && let Ok(job) = self.jobs.recv()
        {
            report(self.carry_out(job));
        }
    }

    /// Whether there is a job.
    pub fn has_job(&mut self) -> bool {
        if self.next.is_none() && !self.failed {
            self.next = self.jobs.try_recv().ok();
        }
        self.next.is_some()
    }

    /// Carries out one job, if there is one.
    pub fn turn(&mut self) -> Option<Written> {
        let job = if self.has_job() { self.next.take() } else { None };
        job.map(|job| self.carry_out(job))
    }

    fn carry_out(&mut self, job: Job) -> Written {
        let (sync, end) = (job.sync, job.end);
        let mut spent = Vec::new();
        let done = carry_out(&*self.disk, job, &mut self.unsynced, &mut spent);
        self.failed = done.is_err();
        Written { result: done.map(|()| end), synced: sync && !self.failed, spent }
    }
}

/// What was written and not synced.
#[derive(Debug, Default)]
struct Unsynced {
    files: Vec<Arc<dyn DiskFile>>,
    names: bool,
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
                failpoint("before write")?;
                file.write_at(&bytes, offset)?;
                failpoint("after write")?;
                unsynced.touch(file);
                spent.push(bytes);
            }
            Step::Begin { file, from, to, header } => {
                // The old name of a used file must be gone for good before its bytes are.
                disk.sync_names()?;
                failpoint("before segment begins")?;
                disk.rename(&from, &to)?;
                file.write_at(&header, 0)?;
                failpoint("after segment began")?;
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
        failpoint("before sync")?;
        for file in self.files.drain(..) {
            match file.sync() {
                Err(_) if planted("sync-retried") => file.sync()?,
                synced => synced?,
            }
        }
        if std::mem::take(&mut self.names) {
            disk.sync_names()?;
        }
        failpoint("after sync")
    }
}
