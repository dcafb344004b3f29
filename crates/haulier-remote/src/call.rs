//! One unary call, repeated while that is safe and useful: always while it surely did not happen
//! and a server may come back, and after a lost answer if repeating is harmless.

use haulier_core::{Code, Error, Result, probe};
use haulier_wire::status::from_status;
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::net::Net;

/// Whether a call may be repeated although it may have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It does the same when it happens twice.
    Harmless,
    /// Only if it surely did not happen.
    OnlyIfUnsent,
}

impl Net {
    /// Makes a call.
    pub async fn call<T, F>(&self, repeat: Repeat, send: impl Fn(Channel) -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<Response<T>, Status>> + Send,
    {
        let until = self.clock.monotonic().saturating_add(self.patience);
        let mut repetition = 0;
        let mut unknown = false;
        loop {
            let way = self.way();
            let error = match send(way.channel).await {
                Ok(response) => {
                    if unknown {
                        probe::sometimes("unknown commit resolved");
                    }
                    return Ok(response.into_inner());
                }
                Err(status) => from_status(status),
            };
            unknown |= error.may_have_applied();
            if matches!(error.code(), Code::Unavailable | Code::UnknownOutcome) {
                self.failed(way.server);
            }
            repetition += 1;
            let pause = self.pause(repetition, Some(&error));
            if !may_repeat(&error, repeat) || self.clock.monotonic() + pause >= until {
                return Err(error);
            }
            tracing::debug!(repetition, "a call failed, and is repeated: {error:#}");
            self.clock.sleep(pause).await;
        }
    }

    /// Makes a call once, to every server until one answers.
    pub async fn call_once<T, F>(&self, send: impl Fn(Channel) -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<Response<T>, Status>> + Send,
    {
        let mut last = Error::internal("there is no server to call");
        for _ in 0..self.count() {
            let way = self.way();
            match send(way.channel).await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => last = from_status(status),
            }
            self.failed(way.server);
        }
        Err(last)
    }
}

fn may_repeat(error: &Error, repeat: Repeat) -> bool {
    match error.code() {
        Code::Unavailable => true,
        Code::UnknownOutcome => repeat == Repeat::Harmless,
        _ => false,
    }
}

/// Reads an answer. What makes no sense is the server's defect, not the caller's.
pub(crate) fn read<T>(decoded: Result<T>) -> Result<T> {
    decoded.map_err(|error| {
        Error::internal("the server's answer makes no sense; is it a newer release?")
            .caused_by(error)
    })
}
