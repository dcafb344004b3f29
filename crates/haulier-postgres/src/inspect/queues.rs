//! Queues: what they count, and how long the head of their lines has been waiting.
//!
//! Counts are sums, so nothing is counted. What has been done stands at the heads of lines until it
//! is removed, so a server remembers where it found the first available task, and looks from there.
//! What comes in below that (a transaction that took its time) is shown once a minute has passed;
//! it is leased at once nevertheless.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use haulier_core::{
    Priority, QueueName, QueueSettings, QueueStats, Result, State, StateCounts, Timestamp,
};
use tokio_postgres::Row;

use crate::control::read_settings;
use crate::db::{Failed, Tx, sql};
use crate::known::line;
use crate::now::timestamp;
use crate::store::Inner;

/// After this long the heads are looked for from the beginning.
const REMEMBERED: Duration = Duration::from_mins(1);
/// Lines that are remembered at most.
const LINES_MAX: usize = 10_000;

/// Where the first available task of each line was found.
#[derive(Debug, Default)]
pub(crate) struct Heads(Mutex<Found>);

#[derive(Debug, Default)]
struct Found {
    since: Duration,
    of: HashMap<i32, i64>,
}

impl Heads {
    /// Where to begin in these lines.
    fn floors(&self, lines: &[i32], now: Duration) -> Vec<i64> {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(found.since) >= REMEMBERED || found.of.len() > LINES_MAX {
            *found = Found { since: now, of: HashMap::new() };
        }
        lines.iter().map(|line| found.of.get(line).copied().unwrap_or_default()).collect()
    }

    fn found(&self, heads: impl Iterator<Item = (i32, i64)>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).of.extend(heads);
    }
}

/// Every queue that has something to show, by name.
pub(crate) async fn queues(inner: &Arc<Inner>) -> Result<Vec<QueueStats>> {
    let (heads, clock) = (&inner.heads, inner.pace.monotonic());
    let look = |tx: Tx<'static>| async move {
        let rows = tx.query(sql!("queues"), &[]).await?;
        let mut queues = Vec::new();
        for row in &rows {
            let stats = stats(row)?;
            if stats.counts.total() > 0 || stats.settings != QueueSettings::default() {
                queues.push((row.try_get::<_, i32>("no")?, stats));
            }
        }
        let now = tx.now().await?;
        let waiting = queues.iter().filter(|(_, s)| s.counts.get(State::Available) > 0);
        let waiting: Vec<i32> = waiting.map(|(number, _)| *number).collect();
        let oldest = oldest(&tx, heads, clock, &waiting).await?;
        for (number, stats) in &mut queues {
            stats.oldest_available = oldest.get(number).map(|due| now.wall.since(*due));
        }
        Ok(queues.into_iter().map(|(_, stats)| stats).collect())
    };
    inner.db.read("queues", look).await
}

fn stats(row: &Row) -> Result<QueueStats, Failed> {
    let mut counts = StateCounts::default();
    let counted: Vec<i64> = row.try_get("counts")?;
    for (state, count) in State::ALL.into_iter().zip(counted) {
        *counts.slot(state) = u64::try_from(count).unwrap_or_default();
    }
    let count = |column| row.try_get::<_, i64>(column).map(i64::unsigned_abs);
    Ok(QueueStats {
        queue: QueueName::new(row.try_get::<_, &str>("name")?)
            .map_err(haulier_core::Error::from)?,
        counts,
        oldest_available: None,
        settings: read_settings(row)?,
        accepted: count("accepted")?,
        removed: count("removed")?,
        finished: count("finished")?,
    })
}

/// Since when the first available task of each of these queues has been available.
async fn oldest(
    tx: &Tx<'_>,
    heads: &Heads,
    clock: Duration,
    queues: &[i32],
) -> Result<HashMap<i32, Timestamp>, Failed> {
    let mut oldest: HashMap<i32, Timestamp> = HashMap::new();
    if queues.is_empty() {
        return Ok(oldest);
    }
    let priorities = (0..=9).filter_map(|number| Priority::new(number).ok());
    let priorities: Vec<Priority> = priorities.collect();
    let lines: HashMap<i32, i32> = queues
        .iter()
        .flat_map(|queue| priorities.iter().map(|priority| (line(*queue, *priority), *queue)))
        .collect();
    let asked: Vec<i32> = lines.keys().copied().collect();
    let floors = heads.floors(&asked, clock);
    let mut found = Vec::new();
    for row in tx.query(sql!("queue_heads"), &[&asked, &floors]).await? {
        let line = row.try_get("line")?;
        let place: Option<i64> = row.try_get("place")?;
        let ends: Option<i64> = row.try_get("ends")?;
        found.extend(place.or(ends).map(|place| (line, place)));
        let due: Option<i64> = row.try_get("due_at")?;
        if let (Some(due), Some(queue)) = (due.map(timestamp), lines.get(&line)) {
            let first = oldest.entry(*queue).or_insert(due);
            *first = due.min(*first);
        }
    }
    heads.found(found.into_iter());
    Ok(oldest)
}
