//! The fast path: one statement, in one round trip, and nothing is looked at before.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use haulier_core::{Enqueued, Error, Result, State, TaskId};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::Given;
use super::columns::{All, Columns, More, is_bare};
use crate::change::InLine;
use crate::db::{Params, sql};
use crate::row;
use crate::store::Inner;

/// What a statement stored, if that was not everything as available tasks.
type Stored = HashMap<TaskId, State>;

/// Stores what can be stored without looking; what comes back has to be looked at.
pub(super) async fn insert<'a>(
    inner: &Inner,
    given: &[Given<'a>],
    answers: &mut [Option<Enqueued>],
    in_line: &mut InLine,
) -> Result<Vec<Given<'a>>> {
    let columns = Columns::of(given);
    let rows = if given.iter().all(|given| is_bare(given.task)) {
        let params: Params<'_> = &[
            &columns.ids,
            &columns.queues,
            &columns.priorities,
            &columns.kinds,
            &columns.payloads,
            &columns.content_types,
            &inner.enqueues.wary.is_on(),
        ];
        match inner.db.write_one("enqueue", sql!("enqueue_bare"), params).await {
            // One of them is there already: nothing was stored, so look.
            Err(error) if is_known(&error) => {
                inner.enqueues.wary.be();
                return Ok(given.to_vec());
            }
            rows => rows?,
        }
    } else {
        let all = All { wall: None, unlimited: true, columns, more: More::of(given) };
        inner.db.write_one("enqueue", sql!("enqueue"), &all.params()).await?
    };
    let stored = read(&rows, in_line)
        .map_err(|error| Error::internal("what was stored cannot be read").caused_by(error))?;
    let durability = inner.durability();
    let mut left = Vec::new();
    for one in given {
        let id = one.task.id;
        let state = stored.as_ref().map_or(Some(State::Available), |all| all.get(&id).copied());
        match state {
            Some(state) => answers[one.at] = Some(Enqueued::Inserted { id, state, durability }),
            None => left.push(*one),
        }
    }
    Ok(left)
}

/// Whether ids are looked up before they are stored. New ones are in no table, and looking each of
/// them up takes a sixth of the time of storing it; who meets one that is not new meets more.
#[derive(Debug, Default)]
pub(super) struct Wary(AtomicU32);

impl Wary {
    /// So many calls stay wary.
    const CALLS: u32 = 1_000;

    fn is_on(&self) -> bool {
        let less = |calls: u32| calls.checked_sub(1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    fn be(&self) {
        self.0.store(Self::CALLS, Ordering::Relaxed);
    }
}

fn is_known(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    let source = source.and_then(|source| source.downcast_ref::<tokio_postgres::Error>());
    source.and_then(tokio_postgres::Error::code) == Some(&SqlState::UNIQUE_VIOLATION)
}

/// What came into line, and, unless everything was stored as an available task, what was stored.
pub(super) fn read(
    rows: &[Row],
    in_line: &mut InLine,
) -> Result<Option<Stored>, tokio_postgres::Error> {
    let mut stored = Some(Stored::new());
    for row in rows {
        let place: Option<i64> = row.try_get("place")?;
        if let Some(place) = place {
            in_line.add(row.try_get("queue")?, place);
        }
        let ids: Option<Vec<Uuid>> = row.try_get("ids")?;
        let Some(ids) = ids else {
            stored = None;
            continue;
        };
        let states: Vec<i16> = row.try_get("states")?;
        let pairs = ids.into_iter().zip(states);
        if let Some(stored) = &mut stored {
            stored.extend(pairs.map(|(id, state)| {
                (row::id(id), if state == 0 { State::Scheduled } else { State::Available })
            }));
        }
    }
    Ok(stored)
}
