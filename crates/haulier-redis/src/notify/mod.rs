//! Who is woken, and by whom.
//!
//! News is a hint, never the truth: whoever is woken looks at Redis. So it may come twice, late or
//! not at all. Scripts say what came of them; it is told to those who wait in this process at once,
//! and to other servers by pub/sub, merged (see [`wire`]); and who waits for it looks again by
//! itself, now and then.

mod hub;
mod outbox;
mod wire;

use std::time::Duration;

pub(crate) use hub::{Hub, Told};
pub(crate) use wire::start;

use crate::store::Inner;

/// Between two looks of those who wait, while other servers' news comes in, and while it does not.
const TICK: Duration = Duration::from_secs(1);
const TICK_DEAF: Duration = Duration::from_millis(250);

/// How long whoever waits relies on news, before looking by himself; never the same twice, so that
/// servers do not look together.
pub(crate) fn tick(inner: &Inner) -> Duration {
    let own = if inner.hub.listens() { TICK } else { TICK_DEAF };
    let most = inner.options.poll.unwrap_or(own);
    let less = u64::try_from(most.as_micros() / 10).unwrap_or_default();
    most.saturating_sub(Duration::from_micros(inner.entropy.up_to(less)))
}
