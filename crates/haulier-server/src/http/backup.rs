//! A backup of the server's store, as a stream of bytes. It is paced, so that calls go on beside
//! it, and its end shows that it is whole: a stream that breaks is no backup.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{AppendHeaders, IntoResponse, Response};
use bytes::Bytes;
use haulier::store::Backup;
use haulier_core::{Code, Error};
use http::header;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;
use utoipa::IntoParams;

use super::body::Params;
use super::problem::Fault;
use crate::shared::Shared;

/// Bytes a second unless asked otherwise: a fraction of what a disk gives.
const BYTES_PER_SECOND: u64 = 64 * 1024 * 1024;
const BYTES_PER_SECOND_MIN: u64 = 64 * 1024;
/// What is ready for a slow reader.
const PIECES_READY: usize = 2;
/// A reader that takes nothing for this long is gone: until then its backup holds disk space.
const PATIENCE: Duration = Duration::from_mins(1);

/// How to take a backup.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BackupParams {
    /// How fast it is read at most; 64 MiB a second if left out.
    bytes_per_second: Option<u64>,
}

/// Takes a backup of everything that is durable now. `haulier backup` calls it, and `haulier
/// restore` makes a store of what comes.
#[utoipa::path(
    post, path = "/api/v1/backup", tag = "server", operation_id = "backup", params(BackupParams),
    responses((status = 200, description = "The backup. It is whole if its end is there.",
        body = Vec<u8>, content_type = "application/octet-stream"))
)]
pub(super) async fn take(
    State(shared): State<Shared>,
    Params(params): Params<BackupParams>,
) -> Result<Response, Fault> {
    shared.check_not_draining()?;
    let bytes_per_second = params.bytes_per_second.unwrap_or(BYTES_PER_SECOND);
    if bytes_per_second < BYTES_PER_SECOND_MIN {
        let text = format!("is {bytes_per_second}; at least {BYTES_PER_SECOND_MIN}");
        return Err(Error::invalid("bytes_per_second", text).into());
    }
    let Some(own) = &shared.own else {
        let text = "the store was handed to this server, which cannot back it up";
        return Err(Error::new(Code::NotSupported, text).into());
    };
    let turn = Arc::clone(&shared.backups).try_acquire_owned().map_err(|_| {
        Error::new(Code::Throttled, "a backup is being taken already; wait for it to end")
    })?;
    let backup = own.backup().await?;
    let length = backup.manifest().backup_bytes();
    let (to, pieces) = channel(PIECES_READY);
    tokio::spawn(feed(shared.clone(), backup, bytes_per_second, to, turn));
    let headers = AppendHeaders([
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
    ]);
    Ok((headers, Body::from_stream(ReceiverStream::new(pieces))).into_response())
}

/// Reads a backup and hands it on, until its end, the drain, or the reader's.
async fn feed(
    shared: Shared,
    mut backup: Backup,
    bytes_per_second: u64,
    to: Sender<io::Result<Bytes>>,
    _turn: OwnedSemaphorePermit,
) {
    let begun = shared.clock.monotonic();
    let mut sent: u64 = 0;
    loop {
        let due = Duration::from_millis(sent.saturating_mul(1_000) / bytes_per_second);
        let passed = shared.clock.monotonic().saturating_sub(begun);
        tokio::select! {
            biased;
            () = shared.draining.cancelled() => return,
            () = to.closed() => return,
            () = shared.clock.sleep(due.saturating_sub(passed)) => {}
        }
        let read = move || {
            let piece = backup.read();
            (backup, piece)
        };
        let piece = match tokio::task::spawn_blocking(read).await {
            Ok((rest, Ok(Some(piece)))) => {
                backup = rest;
                Bytes::from(piece)
            }
            Ok((_, Ok(None))) => return,
            Ok((_, Err(error))) => return break_off(&to, error).await,
            Err(stopped) => return break_off(&to, io::Error::other(stopped)).await,
        };
        sent += piece.len() as u64;
        tokio::select! {
            biased;
            taken = to.send(Ok(piece)) => if taken.is_err() { return },
            () = shared.draining.cancelled() => return,
            () = shared.clock.sleep(PATIENCE) => {
                tracing::warn!("whoever took a backup has stopped reading it; it is given up");
                return;
            }
        }
    }
}

/// The stream ends before its length: nobody takes it for whole.
async fn break_off(to: &Sender<io::Result<Bytes>>, error: io::Error) {
    tracing::error!(%error, "a backup cannot be read on");
    to.send(Err(error)).await.unwrap_or_default();
}
