//! What was asked for on a stream and has no answer yet.

use std::time::Duration;

use haulier_core::{Beat, BeatReply, Code, Error, Result, Settled, Settlement};
use haulier_wire::pb::worker_frame::Frame as Up;
use haulier_wire::{beat, pb, settle};
use tokio::sync::oneshot;

/// A batch without an answer.
pub(super) struct Pending {
    pub what: Batch,
    pub since: Duration,
    /// On how many connections it was sent.
    pub sent: u32,
}

/// Nobody waits for those without `reply`: the actor's own.
pub(super) enum Batch {
    Settle { ends: Vec<Settlement>, reply: Option<oneshot::Sender<Result<Vec<Settled>>>> },
    Beat { beat: Beat, reply: Option<oneshot::Sender<Result<BeatReply>>> },
}

impl Batch {
    /// The frame that says it.
    pub fn frame(&self, batch: u64) -> Up {
        match self {
            Self::Settle { ends, .. } => {
                let settlements = settle::encode_settlements(ends);
                Up::Settle(pb::SettleFrame { batch, settlements })
            }
            Self::Beat { beat, .. } => {
                Up::Beat(pb::BeatFrame { batch, beat: Some(beat::encode_beat(beat)) })
            }
        }
    }
}

impl Pending {
    /// Whether it is a beat whose caller is gone: a later one says the same and more.
    pub fn is_forsaken(&self) -> bool {
        match &self.what {
            Batch::Beat { reply: Some(reply), .. } => reply.is_closed(),
            Batch::Beat { reply: None, .. } | Batch::Settle { .. } => false,
        }
    }

    /// Gives up. What was sent may have happened.
    pub fn fail(self, error: &Error) {
        let error = if self.sent > 0 && !error.may_have_applied() && error.is_retryable() {
            Error::new(Code::UnknownOutcome, "the stream was lost before the answer came")
                .caused_by(error.clone())
        } else {
            error.clone()
        };
        match self.what {
            Batch::Settle { reply: Some(reply), .. } => drop(reply.send(Err(error))),
            Batch::Beat { reply: Some(reply), .. } => drop(reply.send(Err(error))),
            Batch::Settle { reply: None, .. } | Batch::Beat { reply: None, .. } => {}
        }
    }
}
