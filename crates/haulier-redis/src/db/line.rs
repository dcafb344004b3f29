//! The connection that all calls share: made by the first who needs it, given up by the first who
//! finds it broken or at the wrong place, then made anew by the next, wherever the master is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use haulier_core::Clock;
use tokio::sync::Notify;

use super::dial::Opened;
use super::locate::{Hint, Locator, PAUSE, Session};
use crate::error::OpenError;
use crate::options::Address;

/// The way to the master.
pub(crate) struct Line {
    pub(super) locator: Locator,
    pace: Arc<dyn Clock>,
    current: Mutex<Option<Arc<Session>>>,
    hint: Mutex<Hint>,
    /// Told when the master is another one, so that nobody goes on knocking at the old one's.
    moved: Notify,
    /// Who makes a connection holds it, and leaves behind when and why that failed.
    making: tokio::sync::Mutex<Option<(Duration, OpenError)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Line {
    pub(super) fn new(locator: Locator, pace: Arc<dyn Clock>) -> Self {
        Self {
            locator,
            pace,
            current: Mutex::default(),
            hint: Mutex::default(),
            moved: Notify::new(),
            making: tokio::sync::Mutex::default(),
        }
    }

    fn current(&self) -> Option<Arc<Session>> {
        lock(&self.current).clone().filter(|session| !session.caller.is_lost())
    }

    /// A connection to the master. Everybody who waits for one hears of the same failure.
    pub async fn session(&self) -> Opened<Arc<Session>> {
        if let Some(session) = self.current() {
            return Ok(session);
        }
        let mut failed = self.making.lock().await;
        if let Some(session) = self.current() {
            return Ok(session);
        }
        if let Some((at, error)) = &*failed
            && self.pace.monotonic() < at.saturating_add(PAUSE)
        {
            return Err(error.clone());
        }
        let hint = lock(&self.hint).clone();
        let found = loop {
            tokio::select! {
                found = Box::pin(self.locator.find(&hint)) => break found,
                () = self.moved.notified() => {}
            }
        };
        match found {
            Ok(session) => {
                let session = Arc::new(session);
                tracing::debug!("connected to the master at {}", session.address);
                *failed = None;
                *lock(&self.hint) = Hint::default();
                *lock(&self.current) = Some(Arc::clone(&session));
                Ok(session)
            }
            Err(error) => {
                *failed = Some((self.pace.monotonic(), error.clone()));
                Err(error)
            }
        }
    }

    /// The master is there now: whoever waits for another one waits in vain.
    pub(super) fn leave_for(&self, address: &Address) {
        let mut current = lock(&self.current);
        if let Some(session) = current.take_if(|session| session.address != *address) {
            session.caller.cut();
        }
        drop(current);
        self.moved.notify_waiters();
    }

    /// Gives a connection up; whoever comes next makes another one. Calls that are under way on it
    /// end by themselves.
    pub fn lose(&self, session: &Arc<Session>, at: Option<Address>) {
        let mut current = lock(&self.current);
        if current.take_if(|current| Arc::ptr_eq(current, session)).is_some() {
            *lock(&self.hint) = Hint { at, not_at: Some(session.address.clone()) };
        }
    }
}
