//! The signals that end a command: an interrupt at the terminal, or a polite request by a
//! supervisor.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{Failed, Result};

/// A future that is ready at the first SIGINT or SIGTERM. The handlers stand once this returns.
pub fn end() -> Result<impl Future<Output = ()> + Send + 'static> {
    let listen =
        |kind| signal(kind).map_err(|error| Failed::io("cannot listen for signals", &error));
    let (mut interrupt, mut terminate) =
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
