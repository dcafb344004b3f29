//! One claim: what is wanted, as the script reads it, and the leases that it gives.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use haulier_core::{Epoch, Lease, LeaseKey, Result, Want, limits};

use crate::about::{read_checkpoints, span};
use crate::definition::Definition;
use crate::enqueue::id as id_of;
use crate::pack::{Pack, Value, misread};
use crate::record::Granted;
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
    let (answer, leases) = inner.write_with(&script::LEASE, args, Vec::new()).await?;
    let [counts, apart] = answer.tuple()?;
    let counts: Vec<usize> = counts.list()?.iter().map(Value::count).collect::<Result<_>>()?;
    if counts.len() != wants.len() || counts.iter().sum::<usize>() * PARTS != leases.len() {
        return Err(misread());
    }
    let mut apart = read_apart(apart)?;
    let mut leases = leases.chunks_exact(PARTS).enumerate();
    let read_share = |(want, count): (&&Want, usize)| {
        let share = leases.by_ref().take(count);
        share.map(|(at, parts)| read(want, parts, apart.remove(&at))).collect()
    };
    wants.iter().zip(counts).map(read_share).collect()
}

/// Id, standing and definition of a lease.
const PARTS: usize = 3;

/// What is kept apart of some leases, by their places: the payload, and checkpoints.
fn read_apart(list: Value) -> Result<BTreeMap<usize, (Value, Value)>> {
    let read = |one: Value| {
        let [at, payload, checkpoints] = one.tuple()?;
        Ok((at.count()?, (payload, checkpoints)))
    };
    list.list()?.into_iter().map(read).collect()
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

fn read(want: &Want, parts: &[Bytes], apart: Option<(Value, Value)>) -> Result<Lease> {
    let [id, standing, definition] = parts else { return Err(misread()) };
    let id = id_of(Value::Bytes(id.clone()))?;
    let Definition { mut task, enqueued_at, .. } = Definition::read(id, definition.clone())?;
    let Granted { epoch, attempt, losses } = Granted::read(standing.clone())?;
    let mut checkpoints = Vec::new();
    if let Some((payload, steps)) = apart {
        if let Some(payload) = payload.maybe() {
            task.payload.bytes = payload.bytes()?;
        }
        checkpoints = read_checkpoints(steps, true)?;
    }
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
