//! A server among others that have the store open: it arrives, says now and then that it is there,
//! and leaves.

use std::sync::Arc;
use std::time::Duration;

use haulier_core::Result;
use haulier_core::lease_time::{GAP, Moment};
use haulier_core::probe::sometimes;

use crate::pack::Pack;
use crate::store::Inner;
use crate::{script, time};

/// A server that has said nothing for so long is not there any more.
const SILENCE: i64 = 10_000;
/// It says that it is there this often.
const PULSE_EVERY: Duration = Duration::from_secs(3);

/// A server has opened the store. The generation rises. If nobody was there to renew leases, time
/// goes on from where it stood, each lease lasts its full ttl again, never less than was promised,
/// and workers are forgotten.
pub(crate) async fn arrive(inner: &Inner) -> Result<()> {
    let mut args = Pack::new();
    args.array(3).bytes(&inner.node).int(SILENCE).int(GAP);
    let before = inner.pace.monotonic();
    let arrived = inner.write(&script::ARRIVE, args).await?;
    let moment = Moment { before, after: inner.pace.monotonic() };
    let [alone, generation, clock, wall, slip, certain] = arrived.tuple()?;
    let (alone, generation) = (alone.bool()?, generation.int()?);
    time::begin(inner, &time::seen(&clock, &wall, &slip, &certain)?, moment).await;
    if alone {
        sometimes("generation raised");
    }
    time::heal(inner).await?;
    tracing::info!(generation, alone, "the store is open");
    Ok(())
}

/// Begins to say that this server is there.
pub(crate) fn start(inner: &Arc<Inner>) {
    let task = keep_saying(Arc::clone(inner));
    inner.beside().spawn(task);
}

async fn keep_saying(inner: Arc<Inner>) {
    let mut closing = inner.closing();
    while !*closing.borrow() {
        tokio::select! {
            () = inner.pace.sleep(PULSE_EVERY) => {}
            _ = closing.changed() => return,
        }
        let mut args = Pack::new();
        args.array(1).bytes(&inner.node);
        if let Err(error) = inner.write(&script::PULSE, args).await {
            tracing::debug!("Redis could not be told that this server is there: {error:#}");
        }
    }
}

/// A server is closing the store in good order.
pub(crate) async fn leave(inner: &Inner) -> Result<()> {
    let node = inner.node.as_bytes().to_vec();
    inner.db.invoke::<i64>(&script::LEAVE, &[node]).await.map(drop)
}
