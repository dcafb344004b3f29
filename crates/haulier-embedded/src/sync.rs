//! The lock and the signal that the inbox stands on: `parking_lot`'s, or those of a model that
//! tries every order of what several threads do (`cargo xtask loom`).

#[cfg(not(all(test, loom)))]
pub use parking_lot::{Condvar, Mutex};

#[cfg(all(test, loom))]
pub use modelled::{Condvar, Mutex};

#[cfg(all(test, loom))]
mod modelled {
    use std::ops::{Deref, DerefMut};
    use std::sync::PoisonError;

    use loom::sync as model;

    #[derive(Debug, Default)]
    pub struct Mutex<T>(model::Mutex<T>);

    /// `None` only while somebody waits for a signal.
    pub struct Guard<'a, T>(Option<model::MutexGuard<'a, T>>);

    impl<T> Mutex<T> {
        pub fn lock(&self) -> Guard<'_, T> {
            Guard(Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)))
        }
    }

    impl<T> Deref for Guard<'_, T> {
        type Target = T;
        fn deref(&self) -> &T {
            let Some(guard) = &self.0 else { unreachable!("the lock is held") };
            guard
        }
    }

    impl<T> DerefMut for Guard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            let Some(guard) = &mut self.0 else { unreachable!("the lock is held") };
            guard
        }
    }

    #[derive(Debug)]
    pub struct Condvar(model::Condvar);

    impl Condvar {
        pub fn new() -> Self {
            Self(model::Condvar::new())
        }

        pub fn notify_one(&self) {
            self.0.notify_one();
        }

        pub fn wait<T>(&self, guard: &mut Guard<'_, T>) {
            if let Some(held) = guard.0.take() {
                guard.0 = Some(self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
            }
        }
    }
}
