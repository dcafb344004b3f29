//! News between servers: one connection that listens and notifies.
//!
//! It stands outside the pool and never takes part in a transaction that stores something: a
//! `NOTIFY` holds a lock of the whole database cluster while it commits. Several pieces of news are
//! merged, with a pause between two. If the connection is lost, what was missed is made good by
//! telling everybody to look once it is back.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use haulier_core::Result;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client};

use super::outbox::{self, Item};
use crate::db::{Failed, Messages, in_time};
use crate::store::Inner;

/// Between two `NOTIFY`, at least.
const PAUSE: Duration = Duration::from_millis(10);
/// Without anything to say, it is seen whether anybody answers at all this often.
const SILENT_MAX: Duration = Duration::from_secs(15);
/// Before a lost connection is made anew, at most; connecting itself is paced, too.
const LOST_PAUSE: Duration = Duration::from_millis(500);

/// Begins to listen and to notify, unless that is off.
pub(crate) fn start(inner: &Arc<Inner>) {
    if inner.options.notify {
        let task = run(Arc::clone(inner));
        inner.beside().spawn(task);
    }
}

async fn run(inner: Arc<Inner>) {
    let mut closing = inner.closing();
    while !*closing.borrow() {
        let lost = tokio::select! {
            lost = serve(&inner) => lost,
            _ = closing.changed() => return,
        };
        inner.hub.set_listens(false);
        if let Err(error) = lost {
            tracing::debug!("no connection for notifications: {error:#}");
        }
        let most = u64::try_from(LOST_PAUSE.as_millis()).unwrap_or(u64::MAX);
        inner.pace.sleep(Duration::from_millis(inner.entropy.up_to(most))).await;
    }
}

/// Listens and notifies until the connection is lost.
async fn serve(inner: &Inner) -> Result<()> {
    let (client, messages) = inner.db.dial().await?;
    tokio::select! {
        () = hear(inner, messages) => {}
        spoken = speak(inner, &client) => if let Err(error) = spoken {
            tracing::debug!(?error, "the connection for notifications failed");
            // Others may not have heard: they look at everything once we are back.
            inner.hub.outbox.put(Item::All);
        },
    }
    Ok(())
}

async fn speak(inner: &Inner, client: &Client) -> Result<(), Failed> {
    let listen = inner.db.text("SET synchronous_commit = off; LISTEN {schema}");
    in_time(client.batch_execute(&listen)).await?;
    inner.hub.set_listens(true);
    inner.hub.tell_all();
    loop {
        tokio::select! {
            () = inner.hub.outbox.filled() => {}
            // Whoever has nothing to say would else never learn that he hears nothing either.
            () = inner.pace.sleep(SILENT_MAX) => in_time(client.batch_execute(&listen)).await?,
        }
        let payloads = inner.hub.outbox.take(&inner.node);
        if payloads.is_empty() {
            continue;
        }
        let text = "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload";
        let params: [(&(dyn ToSql + Sync), Type); 2] =
            [(&inner.options.schema, Type::TEXT), (&payloads, Type::TEXT_ARRAY)];
        in_time(client.execute_typed(text, &params)).await?;
        inner.pace.sleep(PAUSE).await;
    }
}

/// Takes in what others say until the connection is lost.
async fn hear(inner: &Inner, mut messages: Messages) {
    while let Some(Ok(message)) = messages.next().await {
        let AsyncMessage::Notification(told) = message else { continue };
        for item in outbox::read(told.payload(), &inner.node) {
            match item {
                Item::Queue(queue, place) => inner.hub.tell_queue(queue, place),
                Item::Full(queue) => {
                    inner.hub.note_full(queue, inner.pace.monotonic());
                }
                Item::Worker(worker) => inner.hub.tell_worker(&worker),
                Item::Due => inner.hub.due(),
                Item::All => inner.hub.tell_all(),
            }
        }
    }
}
