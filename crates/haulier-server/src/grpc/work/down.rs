//! Frames to the worker: numbered, and each telling the last worker frame that was handled.

use haulier_core::probe;
use haulier_wire::pb::server_frame::Frame;
use haulier_wire::pb::{self, ServerFrame};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// The way down to one worker.
pub(super) struct Down {
    frames: mpsc::Sender<Result<ServerFrame, Status>>,
    seq: u64,
}

/// The worker cannot be reached any more.
#[derive(Debug)]
pub(super) struct Gone;

impl Down {
    pub fn new(frames: mpsc::Sender<Result<ServerFrame, Status>>) -> Self {
        Self { frames, seq: 0 }
    }

    /// Sends a frame, waiting while the connection is full, until `stop`.
    pub async fn send(
        &mut self,
        frame: Frame,
        seen: u64,
        stop: &CancellationToken,
    ) -> Result<(), Gone> {
        let frame = ServerFrame { seq: self.seq + 1, seen, frame: Some(frame) };
        if self.frames.capacity() == 0 {
            probe::sometimes("send buffer full");
        }
        tokio::select! {
            sent = self.frames.send(Ok(frame)) => sent.map_err(|_| Gone)?,
            () = stop.cancelled() => return Err(Gone),
        }
        self.seq += 1;
        Ok(())
    }

    /// Sends a frame if there is room for it.
    pub fn try_send(&mut self, frame: Frame, seen: u64) {
        let frame = ServerFrame { seq: self.seq + 1, seen, frame: Some(frame) };
        if self.frames.try_send(Ok(frame)).is_ok() {
            self.seq += 1;
        }
    }

    /// Ends the stream with a status, if the connection takes it.
    pub fn end(&self, status: Status) {
        // A full connection is cut without a word: the worker reconnects in either case.
        drop(self.frames.try_send(Err(status)));
    }

    /// Is ready when the connection is gone.
    pub async fn gone(&self) {
        self.frames.closed().await;
    }
}

/// A notice that tasks were called off.
pub(super) fn cancel(keys: &[haulier_core::LeaseKey]) -> Frame {
    let keys = keys.iter().copied().map(haulier_wire::lease::encode_key).collect();
    Frame::Cancel(pb::Cancel { keys })
}
