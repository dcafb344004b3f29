//! News between servers: one connection that listens, and publishing on the one for calls.
//!
//! Several pieces of news are merged, with a pause between two. If the connection is lost, what was
//! missed is made good by telling everybody to look once it is back.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use haulier_core::Result;

use super::outbox::{self, Item};
use crate::keys;
use crate::store::Inner;

/// Between two messages, at least.
const PAUSE: Duration = Duration::from_millis(10);
/// Before a lost connection is made anew, at most.
const LOST_PAUSE: Duration = Duration::from_millis(500);

/// Begins to listen and to publish.
pub(crate) fn start(inner: &Arc<Inner>) {
    inner.beside().spawn(listen(Arc::clone(inner)));
    inner.beside().spawn(speak(Arc::clone(inner)));
}

async fn listen(inner: Arc<Inner>) {
    let mut closing = inner.closing();
    while !*closing.borrow() {
        let lost = tokio::select! {
            lost = hear(&inner) => lost,
            _ = closing.changed() => return,
        };
        inner.hub.set_listens(false);
        if let Err(error) = lost {
            tracing::debug!("no connection for news: {error:#}");
        }
        let most = u64::try_from(LOST_PAUSE.as_millis()).unwrap_or(u64::MAX);
        inner.pace.sleep(Duration::from_millis(inner.entropy.up_to(most))).await;
    }
}

/// Takes in what others say until the connection is lost.
async fn hear(inner: &Inner) -> Result<()> {
    let mut connection = inner.db.dial().await?;
    let channel = keys::channel(&inner.options.prefix);
    let subscribed = connection.subscribe(channel).await;
    subscribed.map_err(|error| crate::error::translate("subscribing", false, error))?;
    inner.hub.set_listens(true);
    inner.hub.tell_all();
    let mut messages = connection.on_message();
    while let Some(message) = messages.next().await {
        let Ok(text) = std::str::from_utf8(message.get_payload_bytes()) else { continue };
        for item in outbox::read(text, &inner.node) {
            match item {
                Item::Queue(queue) => inner.hub.tell_queue(&queue),
                Item::Worker(worker) => inner.hub.wake_watcher(worker.as_str()),
                Item::Finished => inner.hub.tell_finished(),
                Item::All => inner.hub.tell_all(),
            }
        }
    }
    Ok(())
}

async fn speak(inner: Arc<Inner>) {
    let mut closing = inner.closing();
    let channel = keys::channel(&inner.options.prefix);
    while !*closing.borrow() {
        tokio::select! {
            () = inner.hub.outbox.filled() => {}
            _ = closing.changed() => return,
        }
        let Some(message) = inner.hub.outbox.take(&inner.node) else { continue };
        let command = redis::cmd("PUBLISH").arg(&channel).arg(message).to_owned();
        if let Err(error) = inner.db.command::<i64>("publishing", &command).await {
            tracing::debug!("news could not be told: {error:#}");
            // Others may not have heard: they look at everything.
            inner.hub.outbox.put(Item::All);
        }
        inner.pace.sleep(PAUSE).await;
    }
}
