//! Unique keys: business-level deduplication, apart from the task id. While a key is held, an
//! enqueue with the same key in the same queue meets the task that holds it.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::{Code, Refusal};
use crate::limits::UNIQUE_KEY_BYTES_MAX;
use crate::transition::State;

/// What makes a task the only one of its sort in its queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unique {
    /// The key, compared byte for byte within one queue.
    pub key: Arc<str>,
    /// How long the key is held at least, counted from when the task was accepted. Zero: as long as
    /// `until` says.
    pub window: Duration,
    /// What the task itself holds the key until.
    pub until: Until,
    /// What happens to a second task.
    pub on_conflict: OnConflict,
}

/// The point in a task's life until which it holds its unique key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Until {
    /// Until it is leased for the first time.
    Start,
    /// Until it is final.
    #[default]
    Finish,
}

/// What to answer when the key is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnConflict {
    /// The task that holds the key, as if it had just been enqueued.
    #[default]
    Return,
    /// A refusal ([`Code::UniqueConflict`]).
    Reject,
    /// Cancels the holder if no attempt of it has started, and takes its place; otherwise as
    /// `Return`.
    Replace,
}

impl Unique {
    /// A key that is held until the task is final; a second task gets the first one.
    pub fn new(key: impl Into<Arc<str>>) -> Self {
        Self {
            key: key.into(),
            window: Duration::ZERO,
            until: Until::default(),
            on_conflict: OnConflict::default(),
        }
    }

    /// Checks the key's length.
    ///
    /// # Errors
    /// [`Code::Invalid`] if it is empty or too long.
    pub fn check(&self) -> Result<(), Refusal> {
        if self.key.is_empty() || self.key.len() > UNIQUE_KEY_BYTES_MAX {
            return Err(Refusal::new(
                Code::Invalid,
                format!(
                    "unique.key has {} bytes; it must have 1 to {UNIQUE_KEY_BYTES_MAX}",
                    self.key.len()
                ),
            ));
        }
        Ok(())
    }

    /// Whether a task still holds its key: `state` and `started` (a first lease was granted) are
    /// the holder's, the times are the store's.
    pub fn is_held(
        &self,
        state: State,
        started: bool,
        enqueued: Timestamp,
        now: Timestamp,
    ) -> bool {
        let by_state = match self.until {
            Until::Start => !started && !state.is_final(),
            Until::Finish => !state.is_final(),
        };
        by_state || now < enqueued.after(self.window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_held_until_start_or_finish_and_at_least_for_its_window() {
        let (then, now) = (Timestamp(0), Timestamp(1_000));
        let mut unique = Unique::new("order-17");
        assert!(unique.is_held(State::Running, true, then, now));
        assert!(!unique.is_held(State::Completed, true, then, now));
        unique.until = Until::Start;
        assert!(unique.is_held(State::Available, false, then, now));
        assert!(!unique.is_held(State::Running, true, then, now));
        unique.window = Duration::from_millis(1_001);
        assert!(unique.is_held(State::Completed, true, then, now));
        unique.window = Duration::from_secs(1);
        assert!(!unique.is_held(State::Completed, true, then, now));
    }

    #[test]
    fn a_key_may_be_as_long_as_the_limit_and_no_longer() {
        assert!(Unique::new("k".repeat(UNIQUE_KEY_BYTES_MAX)).check().is_ok());
        assert!(Unique::new("k".repeat(UNIQUE_KEY_BYTES_MAX + 1)).check().is_err());
        assert!(Unique::new("").check().is_err());
    }
}
