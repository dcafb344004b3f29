//! One claim: what is wanted, as the script reads it, and the leases that it gives.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use haulier_core::{
    Cause, Epoch, Failure, Lease, LeaseKey, Outcome, Result, Settlement, Want, limits,
};

use crate::about::{read_checkpoints, span};
use crate::definition::Definition;
use crate::enqueue::id as id_of;
use crate::pack::{Pack, Value, misread};
use crate::record::Granted;
use crate::store::Inner;
use crate::{script, settle};

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
    let definitions = definitions(inner, &leases).await?;
    let mut apart = read_apart(apart)?;
    let mut leases = leases.chunks_exact(PARTS).zip(definitions).enumerate();
    let mut rotten = Vec::new();
    let mut shares = Vec::with_capacity(wants.len());
    for (want, count) in wants.iter().zip(counts) {
        let mut share = Vec::with_capacity(count);
        for (at, (parts, definition)) in leases.by_ref().take(count) {
            let Some(definition) = definition else {
                // Its lease runs out. Whoever looks for damage counts it.
                tracing::error!("a task was claimed that has no definition any more");
                continue;
            };
            match read(want, parts, &definition, apart.remove(&at))? {
                Ok(lease) => share.push(lease),
                Err(key) => rotten.push(key),
            }
        }
        shares.push(share);
    }
    reject(inner, &rotten).await;
    Ok(shares)
}

/// Tasks that are not what was handed over are never delivered, and must not hold up the others:
/// they are dead, and say why.
async fn reject(inner: &Inner, rotten: &[LeaseKey]) {
    if rotten.is_empty() {
        return;
    }
    for key in rotten {
        tracing::error!(
            task = %key.task,
            "the task is damaged in Redis: its checksum does not hold. It is not delivered, and dead"
        );
    }
    let ends = rotten.iter().map(|key| {
        let failure = Failure::new(Cause::Decode, "damaged in the store: its checksum is wrong");
        Settlement { key: *key, outcome: Outcome::Reject { failure } }
    });
    if let Err(error) = settle::settle(inner, ends.collect()).await {
        tracing::warn!("damaged tasks were not set aside, and will be met again: {error:#}");
    }
}

/// The definitions of leases: those that the script has not read are read now.
async fn definitions(inner: &Inner, leases: &[Bytes]) -> Result<Vec<Option<Bytes>>> {
    let parts = leases.chunks_exact(PARTS);
    let mut command = redis::cmd("HMGET");
    command.arg(inner.db.keys.task());
    let mut is_any = false;
    for parts in parts.clone().filter(|parts| parts[2].is_empty()) {
        command.arg(parts[0].as_ref());
        is_any = true;
    }
    let mut read: Vec<Option<Vec<u8>>> = Vec::new();
    if is_any {
        read = inner.db.send("lease", true, &command).await?;
    }
    let mut read = read.into_iter();
    let definition = |parts: &[Bytes]| match &parts[2] {
        known if !known.is_empty() => Ok(Some(known.clone())),
        _ => Ok(read.next().ok_or_else(misread)?.map(Bytes::from)),
    };
    parts.map(definition).collect()
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

/// A lease; only its key if the task is not what was handed over.
fn read(
    want: &Want,
    parts: &[Bytes],
    definition: &Bytes,
    apart: Option<(Value, Value)>,
) -> Result<std::result::Result<Lease, LeaseKey>> {
    let [id, standing, _] = parts else { return Err(misread()) };
    let id = id_of(Value::Bytes(id.clone()))?;
    let mut definition = Definition::read(id, definition)?;
    let Granted { epoch, attempt, losses } = Granted::read(standing.clone())?;
    let key = LeaseKey { task: id, epoch };
    let mut checkpoints = Vec::new();
    if let Some((payload, steps)) = apart {
        if let Some(payload) = payload.maybe() {
            definition.task.payload.bytes = payload.bytes()?;
        }
        checkpoints = read_checkpoints(steps, true)?;
    }
    if !definition.is_sound() {
        return Ok(Err(key));
    }
    let Definition { task, enqueued_at, .. } = definition;
    Ok(Ok(Lease {
        key,
        task: Arc::new(task),
        attempt,
        losses,
        ttl: want.ttl,
        enqueued_at,
        checkpoints,
    }))
}
