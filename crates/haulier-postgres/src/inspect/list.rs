//! Pages of tasks, newest first.
//!
//! A page walks an index by age, from where the page before ended, and looks at so many tasks at
//! most. Which index is chosen by what the filter asks for: dead tasks, and those that stand in no
//! line, have indexes of their own, so that they are found among millions that wait; running ones
//! are few enough to be sorted. What else a filter asks for is decided by core, on narrow rows; the
//! tasks of the page are read whole in the end, as many as may be by their bytes.

use std::collections::HashMap;
use std::sync::Arc;

use haulier_core::{
    Error, Filter, Include, Page, PageRequest, Result, State, TaskId, filter::Subject, limits,
};
use tokio_postgres::Row;
use uuid::Uuid;

use super::views;
use crate::db::{Failed, Sql, Tx, sql};
use crate::now::{Now, millis, span, timestamp};
use crate::row::{id, pairs, reason, state, uuid};
use crate::store::Inner;

/// Rows that are read at first; each further read is larger, for a filter that matches seldom.
const READ_FIRST: i64 = 200;
const READ_GROWS: i64 = 8;

/// One page of the tasks that a filter matches.
pub(crate) async fn list(inner: &Arc<Inner>, filter: Filter, page: PageRequest) -> Result<Page> {
    if page.size == 0 || page.size > limits::PAGE_MAX {
        let detail = format!("is {}; it goes from 1 to {}", page.size, limits::PAGE_MAX);
        return Err(Error::invalid("page.size", detail));
    }
    let after = page.after.as_deref().map(Place::read).transpose()?;
    let (filter, page) = (&filter, &page);
    let look = |tx: Tx<'static>| async move { find(&tx, filter, page, after).await };
    inner.db.read("list", look).await
}

async fn find(
    tx: &Tx<'_>,
    filter: &Filter,
    page: &PageRequest,
    after: Option<Place>,
) -> Result<Page, Failed> {
    let now = tx.now().await?;
    let walk = Walk::of(filter, &now);
    let mut last = after.map_or(walk.newest, |after| after.min(walk.newest));
    let (mut found, mut examined, mut limit) = (Vec::new(), 0, READ_FIRST);
    let most = i64::try_from(limits::PAGE_EXAMINED_MAX).unwrap_or(i64::MAX);
    let mut more = true;
    while more && found.len() < page.size && examined < most {
        limit = limit.min(most - examined);
        // One more than is looked at tells whether there is a next page.
        let asked = limit + 1;
        let rows = tx.query(walk.sql, &[&last.at, &last.id, &walk.oldest, &asked]).await?;
        more = rows.len() > usize::try_from(limit).unwrap_or_default();
        let looked_at = &rows[..rows.len().min(usize::try_from(limit).unwrap_or_default())];
        for (at, row) in looked_at.iter().enumerate() {
            last = Place { at: row.try_get("enqueued_at")?, id: row.try_get("id")? };
            if matches(filter, row, &now)? {
                found.push(last);
            }
            if found.len() == page.size {
                more |= at + 1 < rows.len();
                break;
            }
        }
        examined += limit;
        limit *= READ_GROWS;
    }
    let fitting = fitting(tx, &found, page.include).await?;
    if let Some(end) = found[..fitting].last().filter(|_| fitting < found.len()) {
        (more, last) = (true, *end);
    }
    let ids = ids(&found[..fitting]);
    let mut views = views(tx, &ids, page.include).await?;
    let tasks = ids.iter().filter_map(|found| views.remove(&id(*found))).collect();
    Ok(Page { tasks, next: more.then(|| last.token()) })
}

/// How many of these tasks a page may hold by their bytes; the first it holds in any case.
async fn fitting(tx: &Tx<'_>, found: &[Place], include: Include) -> Result<usize, Failed> {
    if found.len() <= 1 {
        return Ok(found.len());
    }
    let Include { payload, result, checkpoints } = include;
    let rows =
        tx.query(sql!("task_bytes"), &[&ids(found), &payload, &result, &checkpoints]).await?;
    let mut bytes = HashMap::with_capacity(rows.len());
    for row in &rows {
        bytes.insert(row.try_get::<_, Uuid>("id")?, row.try_get::<_, i64>("bytes")?);
    }
    let most = i64::try_from(limits::PAGE_BYTES_MAX).unwrap_or(i64::MAX);
    let mut sum = 0;
    let fits = |place: &&Place| {
        sum += bytes.get(&place.id).copied().unwrap_or_default();
        sum <= most
    };
    Ok(found.iter().take_while(fits).count().max(1))
}

fn ids(places: &[Place]) -> Vec<Uuid> {
    places.iter().map(|place| place.id).collect()
}

/// Where a page ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    at: i64,
    id: Uuid,
}

impl Place {
    fn read(token: &str) -> Result<Self> {
        let parts = token.split_once('.');
        let read = parts.and_then(|(at, id)| {
            let at = i64::try_from(at.parse::<u64>().ok()?).ok()?;
            Some(Self { at, id: uuid(TaskId::parse(id).ok()?) })
        });
        read.ok_or_else(|| Error::invalid("page.after", "is not the `next` of an earlier page"))
    }

    fn token(self) -> String {
        format!("{}.{}", self.at, id(self.id))
    }
}

/// Which rows are looked at, newest first.
#[derive(Debug, Clone, Copy)]
struct Walk {
    sql: Sql,
    newest: Place,
    oldest: i64,
}

impl Walk {
    fn of(filter: &Filter, now: &Now) -> Self {
        const ASIDE: &[State] =
            &[State::Scheduled, State::Retryable, State::Cancelled, State::Dead];
        let states = filter.only_states();
        let only = |among: &[State]| {
            states.as_ref().is_some_and(|states| states.iter().all(|state| among.contains(state)))
        };
        let sql = match () {
            () if only(&[State::Dead]) => sql!("list_dead"),
            () if only(&[State::Running]) => sql!("list_running"),
            () if only(ASIDE) => sql!("list_aside"),
            () => sql!("list_all"),
        };
        let ago = |age| millis(now.wall).saturating_sub(span(age));
        let newest = filter.older_than().map_or(i64::MAX, ago);
        Self {
            sql,
            // What is exactly as old as that is looked at, and told by the filter.
            newest: Place { at: newest, id: Uuid::max() },
            oldest: filter.younger_than().map_or(0, ago),
        }
    }
}

fn matches(filter: &Filter, row: &Row, now: &Now) -> Result<bool, Failed> {
    // Only its id is known.
    let (known, gone) = (state(row.try_get("state")?), row.try_get::<_, bool>("gone")?);
    let Some(state) = known.filter(|_| !gone) else { return Ok(false) };
    let running = row.try_get("running")?;
    let state = if running { State::Running } else { state };
    let labels = pairs(row.try_get("labels")?);
    let subject = Subject {
        queue: row.try_get("queue_name")?,
        kind: row.try_get("kind")?,
        state,
        reason: reason(row.try_get("reason")?).filter(|_| state == State::Dead),
        enqueued_at: timestamp(row.try_get("enqueued_at")?),
        labels: &labels,
    };
    Ok(filter.matches(&subject, now.wall))
}
