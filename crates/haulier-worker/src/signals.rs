//! What tells a worker to stop: the process's signals, or a future of the caller's.

use std::pin::Pin;

use haulier_core::Result;

/// A source of reasons to stop.
pub(crate) enum Stops<'a> {
    /// SIGTERM and Ctrl-C, as often as they come.
    Process(Process),
    /// Once; `None` when that has happened, or never will.
    Once(Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>),
}

impl Stops<'_> {
    /// Is ready when there is one more reason to stop.
    pub async fn next(&mut self) {
        match self {
            Self::Process(process) => process.next().await,
            Self::Once(Some(stop)) => {
                stop.await;
                *self = Self::Once(None);
            }
            Self::Once(None) => std::future::pending().await,
        }
    }
}

#[cfg(unix)]
pub(crate) struct Process {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Process {
    /// Listens from now on; the signals' default, to end the process at once, is off.
    pub fn listen() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| {
            signal(kind).map_err(|error| {
                haulier_core::Error::internal("the process's signals cannot be listened to")
                    .caused_by(error)
            })
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            Some(()) = self.terminate.recv() => {}
            Some(()) = self.interrupt.recv() => {}
            else => std::future::pending().await,
        }
    }
}

#[cfg(not(unix))]
pub(crate) struct Process;

#[cfg(not(unix))]
impl Process {
    pub fn listen() -> Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}
