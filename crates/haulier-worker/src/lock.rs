//! A lock that goes on after a panic: what it guards is consistent between any two statements, and
//! a handler's panic must not stop the worker.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) type Lock<T> = Mutex<T>;

pub(crate) fn lock<T>(mutex: &Lock<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
