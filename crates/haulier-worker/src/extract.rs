//! What a handler may take after its payload, and how a plain function becomes a handler.

use haulier_core::Payload;

use crate::ctx::Ctx;
use crate::error::TaskError;
use crate::states::States;
use crate::task::Input;

/// An argument of a handler that is found in its attempt. Implement it for your own: a database
/// connection taken from a pool, the tenant read from a header.
///
/// ```
/// use haulier_worker::{Ctx, FromTask, TaskError};
///
/// struct Tenant(String);
///
/// impl FromTask for Tenant {
///     async fn from_task(ctx: &Ctx) -> Result<Self, TaskError> {
///         let tenant = ctx.headers().get("tenant");
///         tenant.map(|name| Self(name.to_owned())).ok_or_else(|| TaskError::reject("no tenant"))
///     }
/// }
/// ```
pub trait FromTask: Sized + Send {
    /// What is missing for this argument ever to be found; asked when the worker starts.
    ///
    /// # Errors
    /// What is missing, and how to give it.
    fn check(states: &States) -> Result<(), String> {
        let _ = states;
        Ok(())
    }

    /// Finds the argument for one attempt.
    ///
    /// # Errors
    /// How the attempt ends instead.
    fn from_task(ctx: &Ctx) -> impl Future<Output = Result<Self, TaskError>> + Send;
}

/// A value that was given to the worker with [`crate::Worker::state`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State<S>(pub S);

impl<S: Clone + Send + Sync + 'static> FromTask for State<S> {
    fn check(states: &States) -> Result<(), String> {
        states.get::<S>().map(|_| ()).ok_or_else(missing::<S>)
    }

    async fn from_task(ctx: &Ctx) -> Result<Self, TaskError> {
        ctx.state::<S>().cloned().map(Self).ok_or_else(|| TaskError::fail(missing::<S>()))
    }
}

fn missing<S>() -> String {
    let name = std::any::type_name::<S>();
    format!("it takes State<{name}>, but the worker has none; add .state(...) with a {name}")
}

impl FromTask for Ctx {
    async fn from_task(ctx: &Ctx) -> Result<Self, TaskError> {
        Ok(ctx.clone())
    }
}

/// A function that does tasks: `async fn(payload, up to eight arguments) -> Result<Output, E>`,
/// where the payload is a [`crate::Task`] or [`crate::Raw`], the others are [`FromTask`], and `E`
/// turns into a [`TaskError`]. `Args` only tells functions of different shape apart.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler",
    note = "a handler is an async fn whose first argument is a Task or Raw, whose others are \
            FromTask (State, Ctx, your own; at most eight), and which returns Result<Output, E> \
            where Output is the Task's and E turns into TaskError"
)]
pub trait Handler<Args>: Clone + Send + Sync + 'static {
    /// What it takes first.
    type Input: Input;

    /// What is missing for the handler ever to be called.
    ///
    /// # Errors
    /// What is missing, and how to give it.
    fn check(states: &States) -> Result<(), String>;

    /// Runs it once.
    ///
    /// # Errors
    /// How the attempt ends instead of completing.
    fn call(
        &self,
        ctx: Ctx,
    ) -> impl Future<Output = Result<<Self::Input as Input>::Output, TaskError>> + Send;
}

/// As [`Handler`], for a function that is not async: it runs on a thread that may block. Such a
/// function cannot be dropped half-way: after a timeout or a cancellation it runs on, and what it
/// returns no longer counts, unless it looks at [`Ctx::is_cancelled`] and ends.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no blocking handler",
    note = "a blocking handler is a plain fn with the arguments and result of an async handler"
)]
pub trait BlockingHandler<Args>: Clone + Send + Sync + 'static {
    /// What it takes first.
    type Input: Input;

    /// What is missing for the handler ever to be called.
    ///
    /// # Errors
    /// What is missing, and how to give it.
    fn check(states: &States) -> Result<(), String>;

    /// Runs it once, on a thread of its own.
    ///
    /// # Errors
    /// How the attempt ends instead of completing.
    fn call(
        &self,
        ctx: Ctx,
    ) -> impl Future<Output = Result<<Self::Input as Input>::Output, TaskError>> + Send;
}

fn read<T: Input>(payload: &Payload) -> Result<T, TaskError> {
    T::decode(payload).map_err(|why| TaskError::decode(&why))
}

/// Runs a function on a thread that may block; its panic becomes the caller's.
async fn off_thread<R: Send + 'static>(
    run: impl FnOnce() -> Result<R, TaskError> + Send + 'static,
) -> Result<R, TaskError> {
    match tokio::task::spawn_blocking(run).await {
        Ok(returned) => returned,
        Err(stopped) => match stopped.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(TaskError::release()),
        },
    }
}

macro_rules! handlers {
    ($($arg:ident $name:ident)*) => {
        impl<F, Fut, T, E, $($arg),*> Handler<(T, $($arg,)*)> for F
        where
            F: Fn(T, $($arg),*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output = Result<T::Output, E>> + Send,
            T: Input,
            E: Into<TaskError>,
            $($arg: FromTask,)*
        {
            type Input = T;

            fn check(states: &States) -> Result<(), String> {
                let _ = states;
                $(<$arg as FromTask>::check(states)?;)*
                Ok(())
            }

            async fn call(&self, ctx: Ctx) -> Result<T::Output, TaskError> {
                let input = read::<T>(ctx.payload())?;
                $(let $name = <$arg as FromTask>::from_task(&ctx).await?;)*
                self(input, $($name),*).await.map_err(Into::into)
            }
        }

        impl<F, T, E, $($arg),*> BlockingHandler<(T, $($arg,)*)> for F
        where
            F: Fn(T, $($arg),*) -> Result<T::Output, E> + Clone + Send + Sync + 'static,
            T: Input,
            E: Into<TaskError>,
            $($arg: FromTask + 'static,)*
        {
            type Input = T;

            fn check(states: &States) -> Result<(), String> {
                let _ = states;
                $(<$arg as FromTask>::check(states)?;)*
                Ok(())
            }

            async fn call(&self, ctx: Ctx) -> Result<T::Output, TaskError> {
                let handler = self.clone();
                let input = read::<T>(ctx.payload())?;
                $(let $name = <$arg as FromTask>::from_task(&ctx).await?;)*
                off_thread(move || handler(input, $($name),*).map_err(Into::into)).await
            }
        }
    };
}

handlers!();
handlers!(A a);
handlers!(A a B b);
handlers!(A a B b C c);
handlers!(A a B b C c D d);
handlers!(A a B b C c D d G g);
handlers!(A a B b C c D d G g H h);
handlers!(A a B b C c D d G g H h I i);
handlers!(A a B b C c D d G g H h I i J j);
