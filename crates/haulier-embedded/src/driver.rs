//! Who gives turns to an open store: two threads, or a simulation that decides itself who is next.
//! Both know when there is something to do, and nothing of what is done.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use haulier_core::Clock;
use haulier_core::clock::Sleep;

use crate::error::Fatal;
use crate::inbox::Inbox;
use crate::log::writer::{Pen, Written};
use crate::open::{Ready, Rest};
use crate::runner::Runner;

/// Starts the threads of a store: the engine's, which is returned, and the writer's, which ends
/// before it.
///
/// # Errors
/// The system has no thread left.
pub fn start(ready: Ready) -> io::Result<JoinHandle<()>> {
    let Ready { runner, pen, inbox, rest, .. } = ready;
    let reports = Arc::clone(&inbox);
    let writer =
        std::thread::Builder::new().name("haulier-writer".to_owned()).spawn(move || {
            let reports = LastReport(reports);
            pen.run(|written| reports.0.report(written));
        })?;
    // Dropped in this order, after the runner: jobs end, then the writer, then the lock is free.
    let after = (Joined(Some(writer)), rest);
    std::thread::Builder::new().name("haulier-engine".to_owned()).spawn(move || {
        run(runner, &inbox);
        drop(after);
    })
}

/// The writer's way to the engine, which would wait for ever for the report of one that panicked.
struct LastReport(Arc<Inbox>);

impl Drop for LastReport {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let defect = io::Error::other("a defect stopped the writer; its message is in the log");
            let spent = Vec::new();
            self.0.report(Written { result: Err(defect), synced: false, spent });
        }
    }
}

/// A thread that is waited for, whatever happens.
struct Joined(Option<JoinHandle<()>>);

impl Drop for Joined {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer's thread panicked");
        }
    }
}

fn run(mut runner: Runner, inbox: &Arc<Inbox>) {
    if let Err(fatal) = turns(&mut runner, inbox) {
        runner.fail(&fatal);
    }
}

/// The alarm that is set, and for when.
struct Alarm {
    at: Duration,
    sleep: Sleep,
}

fn turns(runner: &mut Runner, inbox: &Arc<Inbox>) -> Result<(), Fatal> {
    let clock = runner.clock();
    let mut alarm: Option<Alarm> = None;
    loop {
        if let Some(at) = runner.next_alarm()
            && alarm.as_ref().is_none_or(|alarm| at < alarm.at)
        {
            let sleep = clock.sleep(at.saturating_sub(clock.monotonic()));
            alarm = Some(Alarm { at, sleep });
        }
        let sleep = alarm.as_mut().map(|alarm| &mut alarm.sleep);
        let (reports, came) = inbox.take(sleep, runner.wants_calls(), runner.is_idle());
        alarm = alarm.filter(|alarm| alarm.at > clock.monotonic());
        if runner.turn(reports, came)? {
            return Ok(());
        }
    }
}

/// Gives turns to a store that has no threads, see [`EmbeddedStore::open_driven`].
///
/// The engine may have many turns while a write is under way: what it decides meanwhile is written
/// with the next job. Dropping the driver is what a crash does to a process: nothing more is
/// written, and whoever waits for an answer learns that none comes.
///
/// [`EmbeddedStore::open_driven`]: crate::EmbeddedStore::open_driven
pub struct Driver {
    /// `None` once the store was closed or had to stop.
    runner: Option<Runner>,
    pen: Pen,
    inbox: Arc<Inbox>,
    clock: Arc<dyn Clock>,
    alarm: Option<Duration>,
    rest: Option<Rest>,
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("alarm", &self.alarm).finish_non_exhaustive()
    }
}

impl Driver {
    pub(crate) fn new(ready: Ready) -> Self {
        let Ready { runner, pen, inbox, rest, .. } = ready;
        let clock = runner.clock();
        Self { runner: Some(runner), pen, inbox, clock, alarm: None, rest: Some(rest) }
    }

    /// Whether the engine has something to do now.
    pub fn wants_engine(&self) -> bool {
        let rings = self.alarm.is_some_and(|at| at <= self.clock.monotonic());
        self.runner.as_ref().is_some_and(|runner| {
            rings || !runner.is_idle() || self.inbox.has_news(runner.wants_calls())
        })
    }

    /// Whether a write is under way.
    pub fn wants_writer(&mut self) -> bool {
        self.pen.has_job()
    }

    /// When the engine has something to do next by itself, on the clock's monotonic reading.
    pub fn next_alarm(&self) -> Option<Duration> {
        self.alarm.filter(|_| !self.is_over())
    }

    /// Whether the store was closed or had to stop.
    pub const fn is_over(&self) -> bool {
        self.runner.is_none()
    }

    /// Gives the engine a turn; `false`: there was nothing to do.
    pub fn engine_turn(&mut self) -> bool {
        if !self.wants_engine() {
            return false;
        }
        let Some(runner) = self.runner.as_mut() else { return false };
        let (reports, came) = self.inbox.take(None, runner.wants_calls(), false);
        let turned = runner.turn(reports, came);
        match turned {
            Ok(false) => self.set_alarm(),
            Ok(true) => self.end(),
            Err(fatal) => {
                runner.fail(&fatal);
                self.end();
            }
        }
        true
    }

    /// Lets the writer carry out one job; `false`: there was none.
    pub fn writer_turn(&mut self) -> bool {
        match self.pen.turn() {
            Some(written) => {
                self.inbox.report(written);
                true
            }
            None => false,
        }
    }

    fn set_alarm(&mut self) {
        let now = self.clock.monotonic();
        let next = self.runner.as_mut().and_then(Runner::next_alarm);
        self.alarm = self.alarm.filter(|at| *at > now).into_iter().chain(next).min();
    }

    /// Nothing more happens, and the directory is free.
    fn end(&mut self) {
        self.runner = None;
        self.rest = None;
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.end();
    }
}
