//! Workers' signs of life: leases renewed, progress and checkpoints saved, news brought back. A
//! renewal touches the lease alone; a task's own row is written only if there is something to save.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use haulier_core::{
    Beat, BeatReply, Checkpoint, Directive, Error, Held, LeaseKey, Progress, Result, TaskId, lease,
    limits,
};
use tokio::try_join;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::db::{Failed, Params, Tx, sql};
use crate::now::span;
use crate::row::{self, Reader, uuid};
use crate::store::Inner;
use crate::text::escape;
use crate::workers;

/// Takes beats in; nothing is changed if one of them breaks a rule.
pub(crate) async fn beat(inner: &Arc<Inner>, beats: Vec<Beat>) -> Result<Vec<BeatReply>> {
    for (at, beat) in beats.iter().enumerate() {
        lease::check_ttl(beat.ttl)
            .map_err(|refusal| Error::invalid(format!("beats[{at}].ttl"), refusal.message))?;
    }
    let said = Said::of(&beats);
    let (beats_of, said_of) = (&beats, &said);
    let (directives, held) = inner
        .db
        .write("beat", |tx| async move { Box::pin(once(&tx, beats_of, said_of)).await })
        .await?;
    let reply = |(beat, directive): (&Beat, Directive)| BeatReply {
        directive,
        held: beat
            .leases
            .iter()
            .map(|lease| held.get(&lease.key).copied().unwrap_or(Held::Stale))
            .collect(),
    };
    Ok(beats.iter().zip(directives).map(reply).collect())
}

/// What beats say of each lease; of what is said twice, the last counts.
#[derive(Debug, Default)]
struct Said<'a> {
    leases: BTreeMap<LeaseKey, One<'a>>,
}

#[derive(Debug)]
struct One<'a> {
    ttl: i64,
    progress: Option<&'a Progress>,
    checkpoints: Vec<&'a Checkpoint>,
}

impl<'a> Said<'a> {
    fn of(beats: &'a [Beat]) -> Self {
        let mut leases: BTreeMap<LeaseKey, One<'a>> = BTreeMap::new();
        for beat in beats {
            for said in &beat.leases {
                let new = || One { ttl: 0, progress: None, checkpoints: Vec::new() };
                let one = leases.entry(said.key).or_insert_with(new);
                one.ttl = span(beat.ttl);
                one.progress = said.progress.as_ref().or(one.progress);
                one.checkpoints.extend(&said.checkpoints);
            }
        }
        Self { leases }
    }
}

async fn once(
    tx: &Tx<'_>,
    beats: &[Beat],
    said: &Said<'_>,
) -> Result<(Vec<Directive>, HashMap<LeaseKey, Held>), Failed> {
    let heard: Vec<_> = beats.iter().map(|beat| (&beat.worker, beat.about.as_deref())).collect();
    let saves = said.leases.values().any(|one| one.progress.is_some());
    let steps: Vec<LeaseKey> = said
        .leases
        .iter()
        .filter(|(_, one)| !one.checkpoints.is_empty())
        .map(|(key, _)| *key)
        .collect();
    // Checkpoints that are too many fail the whole call: so they are looked at first.
    let merged = if steps.is_empty() { Vec::new() } else { merge(tx, said, &steps).await? };
    let (directives, held) = try_join!(workers::beaten(tx, &heard), renew(tx, said))?;
    if saves {
        save_progress(tx, said, &held).await?;
    }
    if !merged.is_empty() {
        save_checkpoints(tx, &merged).await?;
    }
    Ok((directives, held))
}

/// Renews what may be renewed.
async fn renew(tx: &Tx<'_>, said: &Said<'_>) -> Result<HashMap<LeaseKey, Held>, Failed> {
    if said.leases.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<Uuid> = said.leases.keys().map(|key| uuid(key.task)).collect();
    let epochs: Vec<i64> = said.leases.keys().map(epoch).collect();
    let ttls: Vec<i64> = said.leases.values().map(|one| one.ttl).collect();
    let rows = tx.query(sql!("lease_renew"), &[&ids, &epochs, &ttls]).await?;
    rows.iter()
        .map(|row| {
            let stops: bool = row.try_get("stops")?;
            Ok((key(row)?, if stops { Held::Cancel } else { Held::Yes }))
        })
        .collect()
}

fn epoch(key: &LeaseKey) -> i64 {
    i64::try_from(key.epoch.0).unwrap_or(i64::MAX)
}

fn key(row: &Row) -> Result<LeaseKey, Failed> {
    Ok(LeaseKey {
        task: row::id(row.try_get("id")?),
        epoch: haulier_core::Epoch(row.try_get::<_, i64>("epoch")?.unsigned_abs()),
    })
}

/// What the checkpoints of each task will be, if its lease can be renewed.
async fn merge(
    tx: &Tx<'_>,
    said: &Said<'_>,
    steps: &[LeaseKey],
) -> Result<Vec<(TaskId, Vec<Checkpoint>)>, Failed> {
    let ids: BTreeSet<Uuid> = steps.iter().map(|key| uuid(key.task)).collect();
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let of_ids: Params<'_> = &[&ids];
    let (_, _, rows, now) = try_join!(
        biased;
        tx.query(sql!("lease_lock"), of_ids),
        tx.query(sql!("task_lock"), of_ids),
        tx.query(sql!("checkpoints"), of_ids),
        tx.now(),
    )?;
    let reader = Reader::of(&rows);
    let mut merged = Vec::new();
    for row in &rows {
        let id = reader.id(row)?;
        let grant = reader.known(row)?.grant.filter(|grant| now.leases < grant.hard_end());
        let current = grant.map(|grant| LeaseKey { task: id, epoch: grant.epoch });
        let Some(one) = current.and_then(|key| said.leases.get(&key)) else { continue };
        let mut all = reader.checkpoints(row)?;
        let mut names: HashSet<Arc<str>> = all.iter().map(|step| Arc::clone(&step.name)).collect();
        // A step is done once: the first value stays.
        for new in &one.checkpoints {
            if names.insert(Arc::clone(&new.name)) {
                all.push((*new).clone());
            }
        }
        lease::check_checkpoints(all.iter()).map_err(Error::from)?;
        merged.push((id, all));
    }
    Ok(merged)
}

async fn save_progress(
    tx: &Tx<'_>,
    said: &Said<'_>,
    held: &HashMap<LeaseKey, Held>,
) -> Result<(), Failed> {
    let (mut ids, mut fractions, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    let news = said.leases.iter().filter(|(key, _)| held.contains_key(key));
    for (key, progress) in news.filter_map(|(key, one)| Some((key, one.progress?))) {
        ids.push(uuid(key.task));
        fractions.push(progress.fraction);
        let long = progress.note.len() > limits::TEXT_BYTES_MAX;
        let note = if long { lease::cut(&progress.note) } else { Arc::clone(&progress.note) };
        notes.push(escape(&note).into_owned());
    }
    if !ids.is_empty() {
        tx.execute(sql!("task_progress"), &[&ids, &fractions, &notes]).await?;
    }
    Ok(())
}

async fn save_checkpoints(tx: &Tx<'_>, merged: &[(TaskId, Vec<Checkpoint>)]) -> Result<(), Failed> {
    for (id, steps) in merged {
        let names: Vec<_> = steps.iter().map(|step| escape(&step.name)).collect();
        let values: Vec<&[u8]> = steps.iter().map(|step| &*step.value).collect();
        tx.execute(sql!("task_checkpoints"), &[&uuid(*id), &names, &values]).await?;
    }
    Ok(())
}
