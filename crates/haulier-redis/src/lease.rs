//! One claim: what is wanted, as the script reads it, and the leases that it gives.

use std::sync::Arc;

use haulier_core::{
    Epoch, Kind, Lease, LeaseKey, Payload, Policy, Priority, QueueName, Result, Task, Timestamp,
    Want, limits,
};

use crate::about::{About, read_checkpoints, read_maybe_span, read_span, span};
use crate::enqueue::id;
use crate::pack::{Pack, Value, misread};
use crate::script;
use crate::store::Inner;

/// Claims for these wants, a share for each.
pub(crate) async fn lease<'a>(
    inner: &Inner,
    wants: impl Iterator<Item = &'a Want>,
) -> Result<Vec<Vec<Lease>>> {
    let wants: Vec<&Want> = wants.collect();
    let mut args = Pack::new();
    args.list(&wants, |args, want| {
        args.array(5).bytes(want.worker.as_str()).int(span(want.ttl)).int(most(want.max));
        args.texts(want.kinds.iter());
        args.list(want.queues.iter(), |args, wanted| {
            args.array(2).bytes(wanted.queue.as_str()).int(most(wanted.max));
        });
    });
    let shares = inner.write(&script::LEASE, args).await?.list()?;
    if shares.len() != wants.len() {
        return Err(misread());
    }
    let read_share = |(want, share): (&&Want, Value)| {
        share.list()?.into_iter().map(|lease| read(want, lease)).collect()
    };
    wants.iter().zip(shares).map(read_share).collect()
}

/// Nobody gets more at once.
fn most(max: u32) -> i64 {
    let most = u32::try_from(limits::ITEMS_MAX).unwrap_or(u32::MAX);
    max.min(most).into()
}

/// An epoch from its halves.
pub(crate) fn epoch(high: &Value, low: &Value) -> Result<Epoch> {
    Ok(Epoch(u64::from(high.count::<u32>()?) << 32 | u64::from(low.count::<u32>()?)))
}

/// Adds an epoch's halves.
pub(crate) fn write_epoch(args: &mut Pack, epoch: Epoch) {
    let low = epoch.0 & u64::from(u32::MAX);
    args.int(i64::try_from(epoch.0 >> 32).unwrap_or_default());
    args.int(i64::try_from(low).unwrap_or_default());
}

fn read(want: &Want, lease: Value) -> Result<Lease> {
    let parts = lease.list()?;
    let mut parts = parts.into_iter();
    let mut next = || parts.next().ok_or_else(misread);
    let id = id(next()?)?;
    let epoch = epoch(&next()?, &next()?)?;
    let (attempt, losses) = (next()?.count()?, next()?.count()?);
    let enqueued_at = Timestamp(next()?.count()?);
    let queue = QueueName::new(next()?.text()?).map_err(|_| misread())?;
    let kind = Kind::new(next()?.text()?).map_err(|_| misread())?;
    let priority = Priority::new(next()?.count()?).map_err(|_| misread())?;
    let (max_attempts, timeout) = (next()?.count()?, read_span(&next()?)?);
    let retain = read_maybe_span(&next()?)?;
    let bytes = next()?.bytes()?;
    let about = About::read(next()?)?;
    let checkpoints = read_checkpoints(next()?, true)?;
    let task = Task {
        id,
        queue,
        kind,
        payload: Payload { bytes, content_type: about.content_type },
        priority,
        policy: Policy { max_attempts, backoff: about.backoff, timeout, retain },
        expires_in: about.expires_in,
        headers: about.headers,
        labels: about.labels,
    };
    Ok(Lease {
        key: LeaseKey { task: id, epoch },
        task: Arc::new(task),
        attempt,
        losses,
        ttl: want.ttl,
        enqueued_at,
        checkpoints,
    })
}
