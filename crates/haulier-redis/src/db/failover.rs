//! Sentinels tell of failovers. Whoever hears of one leaves the old master at once, frozen or not,
//! instead of when a call has failed there.
//!
//! It is a hint, never the truth: what is missed is found out by the next call that fails, and by
//! the role that a new connection asks for.

use std::sync::Arc;

use futures_util::StreamExt;
use haulier_core::Result;

use super::locate::Sentinels;
use crate::error::{OpenError, translate};
use crate::options::Address;
use crate::store::Inner;

/// Before a sentinel that went away is listened to again, at most.
const LOST_PAUSE_MS: u64 = 1_000;
/// The channel, as sentinels name it.
const CHANNEL: &str = "+switch-master";

/// Begins to listen to every sentinel: they do not hear of a failover together.
pub(crate) fn start(inner: &Arc<Inner>) {
    let Some(Sentinels { at, .. }) = inner.db.line.locator.sentinels() else { return };
    for sentinel in at {
        inner.beside().spawn(listen(Arc::clone(inner), sentinel.clone()));
    }
}

async fn listen(inner: Arc<Inner>, sentinel: Address) {
    let mut closing = inner.closing();
    while !*closing.borrow() {
        let lost = tokio::select! {
            lost = hear(&inner, &sentinel) => lost,
            _ = closing.changed() => return,
        };
        if let Err(error) = lost {
            tracing::debug!("the sentinel {sentinel} tells nothing of failovers: {error:#}");
        }
        let pause = LOST_PAUSE_MS / 2 + inner.entropy.up_to(LOST_PAUSE_MS / 2);
        inner.pace.sleep(std::time::Duration::from_millis(pause)).await;
    }
}

/// Hears of failovers until the connection is lost.
async fn hear(inner: &Inner, sentinel: &Address) -> Result<()> {
    let line = &inner.db.line;
    let Some(Sentinels { master, login, .. }) = line.locator.sentinels() else { return Ok(()) };
    let dialed = line.locator.dialer.listener(sentinel, login).await;
    let mut connection = dialed.map_err(OpenError::into_call)?;
    let subscribed = connection.subscribe(CHANNEL).await;
    subscribed.map_err(|error| translate("subscribing", false, error))?;
    let mut messages = connection.on_message();
    while let Some(message) = messages.next().await {
        let Ok(text) = std::str::from_utf8(message.get_payload_bytes()) else { continue };
        if let Some(address) = new_master(text, master) {
            tracing::info!("{master} is {address} now, says the sentinel {sentinel}");
            line.leave_for(&address);
        }
    }
    Ok(())
}

/// Reads `NAME OLD-HOST OLD-PORT NEW-HOST NEW-PORT`.
fn new_master(text: &str, master: &str) -> Option<Address> {
    let mut words = text.strip_prefix(master)?.strip_prefix(' ')?.split(' ').skip(2);
    let host = words.next()?;
    Some(Address::tcp(host, words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failovers_of_our_own_master_count() {
        let told = "main 10.0.0.1 6379 10.0.0.2 6380";
        assert_eq!(new_master(told, "main"), Some(Address::tcp("10.0.0.2", 6380)));
        assert_eq!(new_master(told, "mai"), None);
        assert_eq!(new_master(told, "other"), None);
        assert_eq!(new_master("main 10.0.0.1 6379", "main"), None);
    }
}
