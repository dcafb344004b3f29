//! A store and its disk on one thread: who is next, the engine or the writer, is decided by dice
//! from a seed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use haulier_conformance::prelude::Must;
use haulier_core::{Clock, Entropy, ManualClock, Result, SeededEntropy};
use haulier_embedded::disk::{Disk, SimDisk};
use haulier_embedded::{Driver, EmbeddedStore, OpenError, Options};

/// Segments that are soon full.
pub const SEGMENT: usize = 16 * 1024;
/// Turns after which a call that has no answer never gets one.
const TURNS_MAX: usize = 100_000;

/// A call that is under way.
pub type Pending<T> = Pin<Box<dyn Future<Output = Result<T>>>>;

/// A machine that runs a store.
pub struct Machine {
    pub clock: ManualClock,
    pub store: EmbeddedStore,
    driver: Driver,
    dice: SeededEntropy,
}

impl Machine {
    /// Starts a store on a disk.
    pub fn start(
        disk: &SimDisk,
        clock: &ManualClock,
        seed: u64,
    ) -> std::result::Result<Self, OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let mut options = Options::new(Arc::new(clock.clone()));
        options.segment_bytes = SEGMENT;
        options.cache_bytes_max = 256 * 1024;
        let (store, driver) = EmbeddedStore::open_driven(&disk, options)?;
        let dice = SeededEntropy::from_u64(seed);
        Ok(Self { clock: clock.clone(), store, driver, dice })
    }

    /// One call, to its end.
    pub fn call<T: 'static, F>(&mut self, ask: impl FnOnce(EmbeddedStore) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>> + 'static,
    {
        let pending = self.ask(ask);
        self.all(vec![pending]).remove(0)
    }

    /// One call that is only begun.
    pub fn ask<T: 'static, F>(&self, ask: impl FnOnce(EmbeddedStore) -> F) -> Pending<T>
    where
        F: Future<Output = Result<T>> + 'static,
    {
        Box::pin(ask(self.store.clone()))
    }

    /// Calls at the same time, to the end of all.
    pub fn all<T>(&mut self, mut calls: Vec<Pending<T>>) -> Vec<Result<T>> {
        let mut answers: Vec<Option<Result<T>>> = calls.iter().map(|_| None).collect();
        for _ in 0..TURNS_MAX {
            for (call, answer) in calls.iter_mut().zip(&mut answers) {
                if answer.is_none() {
                    let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                    *answer = match polled {
                        Poll::Ready(answer) => Some(answer),
                        Poll::Pending => None,
                    };
                }
            }
            if answers.iter().all(Option::is_some) {
                return answers.into_iter().flatten().collect();
            }
            self.turn();
        }
        panic!("a call got no answer in {TURNS_MAX} turns")
    }

    /// Asks once whether a call is answered, after a turn of the engine.
    pub fn poll<T>(&mut self, call: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(answer) = Pin::new(&mut *call).poll(&mut context) {
            return Some(answer);
        }
        self.stall(Duration::ZERO);
        match Pin::new(call).poll(&mut context) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }

    /// Lets time pass in which the disk stands still: the engine alone has its turns.
    pub fn stall(&mut self, span: Duration) {
        self.clock.advance(span);
        // A writer that is behind makes an engine come back; it is no use to wait for its rest.
        for _ in 0..100 {
            if !self.driver.engine_turn() {
                break;
            }
        }
    }

    fn turn(&mut self) {
        match (self.driver.wants_engine(), self.driver.wants_writer()) {
            (true, true) if self.dice.up_to(2) == 0 => assert!(self.driver.writer_turn()),
            (true, _) => assert!(self.driver.engine_turn()),
            (false, true) => assert!(self.driver.writer_turn()),
            (false, false) => {
                let at = self.driver.next_alarm().must();
                self.clock.advance(at.saturating_sub(self.clock.monotonic()));
            }
        }
    }

    /// Lets everything happen that happens by itself within that time.
    pub fn pass(&mut self, span: Duration) {
        self.clock.advance(span);
        while self.driver.wants_engine() || self.driver.wants_writer() {
            self.turn();
        }
    }
}
