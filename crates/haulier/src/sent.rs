//! A task that was handed over: its answer, its state, its typed result.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use haulier_core::limits::WAIT_MAX;
use haulier_core::{
    Code, DeadReason, Durability, Error, Failure, Include, Result, State, TaskId, TaskView,
};
use haulier_worker::Input;

use crate::client::Client;

/// The pause before a question that failed for the moment is asked again.
const PAUSE: Duration = Duration::from_millis(200);

/// A task that a store has accepted.
pub struct Sent<T> {
    client: Client,
    id: TaskId,
    state: Option<State>,
    durability: Durability,
    existing: bool,
    kind: PhantomData<fn() -> T>,
}

/// Why there is no result.
#[derive(Debug, Clone)]
pub enum ResultError {
    /// The task was given up.
    Dead {
        /// Why it was given up.
        reason: DeadReason,
        /// Why its last attempt failed, if it came that far.
        failure: Option<Failure>,
    },
    /// The task was called off.
    Cancelled,
    /// The task was not finished in time; it goes on.
    TimedOut {
        /// Where it stood last.
        state: State,
    },
    /// The task is no longer remembered.
    Gone,
    /// The result is not what the task's type says.
    Unreadable(String),
    /// The store could not be asked.
    Call(Error),
}

impl<T> Sent<T> {
    pub(crate) fn new(
        client: Client,
        id: TaskId,
        state: Option<State>,
        durability: Durability,
        existing: bool,
    ) -> Self {
        Self { client, id, state, durability, existing, kind: PhantomData }
    }

    /// The task's id. If it met another task with its unique key, that one's.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Whether the task was there before: a repeated id, or a taken unique key.
    pub fn is_existing(&self) -> bool {
        self.existing
    }

    /// What the acknowledgement is worth.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// The state that was told with the acknowledgement; `None` if only the id is still remembered.
    pub fn state_then(&self) -> Option<State> {
        self.state
    }

    /// The task as it stands now.
    ///
    /// # Errors
    /// [`Code::NotFound`] if it is no longer remembered; what the store says.
    pub async fn view(&self) -> Result<TaskView> {
        self.look(Include::default(), Duration::ZERO).await?.ok_or_else(|| {
            Error::new(
                Code::NotFound,
                format!("task {} is no longer remembered; `retain` keeps finished ones", self.id),
            )
        })
    }

    /// The task's state now.
    ///
    /// # Errors
    /// As [`Sent::view`].
    pub async fn state(&self) -> Result<State> {
        Ok(self.view().await?.state())
    }

    async fn look(&self, include: Include, wait: Duration) -> Result<Option<TaskView>> {
        let inspect = self.client.inspect()?;
        Ok(inspect.get(vec![self.id], include, wait).await?.pop().flatten())
    }
}

impl<T: Input> Sent<T> {
    /// Waits up to `timeout` until the task is final, and reads its result.
    ///
    /// # Errors
    /// [`ResultError`]: dead, cancelled, not in time, or no longer remembered.
    pub async fn result(&self, timeout: Duration) -> Result<T::Output, ResultError> {
        let clock = self.client.clock();
        let end = clock.monotonic().saturating_add(timeout);
        let mut state = self.state.unwrap_or(State::Available);
        loop {
            let left = end.saturating_sub(clock.monotonic());
            match self.look(Include::RESULT, left.min(WAIT_MAX)).await {
                Ok(None) => return Err(ResultError::Gone),
                Ok(Some(view)) if view.state().is_final() => return read::<T>(&view),
                Ok(Some(view)) => state = view.state(),
                // A result is worth waiting for: a server may be restarting.
                Err(error) if error.is_retryable() && left > PAUSE => clock.sleep(PAUSE).await,
                Err(error) => return Err(ResultError::Call(error)),
            }
            if clock.monotonic() >= end {
                return Err(ResultError::TimedOut { state });
            }
        }
    }
}

/// What a final task gives.
fn read<T: Input>(view: &TaskView) -> Result<T::Output, ResultError> {
    match view.standing.reason {
        _ if view.state() == State::Cancelled => Err(ResultError::Cancelled),
        Some(reason) => Err(ResultError::Dead { reason, failure: view.last_failure().cloned() }),
        None => T::decode_output(view.result.as_ref()).map_err(ResultError::Unreadable),
    }
}

impl fmt::Display for ResultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dead { reason, failure: Some(failure) } => {
                write!(f, "the task is dead ({reason}): {}", failure.message)
            }
            Self::Dead { reason, failure: None } => write!(f, "the task is dead ({reason})"),
            Self::Cancelled => f.write_str("the task was cancelled"),
            Self::TimedOut { state } => {
                write!(f, "the task was not finished in time; it is {state} and goes on")
            }
            Self::Gone => f.write_str("the task is no longer remembered; `retain` keeps it longer"),
            Self::Unreadable(why) => f.write_str(why),
            Self::Call(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl std::error::Error for ResultError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Call(error) => Some(error),
            _ => None,
        }
    }
}

impl<T> fmt::Debug for Sent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, state, durability, existing, .. } = self;
        write!(f, "Sent({id}, {state:?}, {durability}, existing: {existing})")
    }
}
