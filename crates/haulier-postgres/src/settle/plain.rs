//! The fast path: completions of tasks that run, in one statement and one round trip.

use std::collections::HashSet;

use haulier_core::{Error, Outcome, Payload, Result, Settled, State};
use uuid::Uuid;

use super::{Effects, Ends};
use crate::db::sql;
use crate::row::{content_type_column, uuid};
use crate::store::Inner;

/// Completes what runs and was not called off. What comes back has to be looked at; the number is
/// what the batch's completions are counted from.
pub(super) async fn complete<'a>(
    inner: &Inner,
    ends: &[Ends<'a>],
    answers: &mut [Option<Settled>],
    effects: &mut Effects,
) -> Result<(i64, Vec<Ends<'a>>)> {
    let ids: Vec<Uuid> = ends.iter().map(|end| uuid(end.end.key.task)).collect();
    let epochs: Vec<i64> =
        ends.iter().map(|end| i64::try_from(end.end.key.epoch.0).unwrap_or(i64::MAX)).collect();
    let places: Vec<i64> = ends.iter().map(|end| end.completion).collect();
    let rows = if ends.iter().all(|end| result(end).is_none()) {
        inner.db.write_one("settle", sql!("complete"), &[&ids, &epochs, &places]).await?
    } else {
        let results: Vec<Option<&[u8]>> =
            ends.iter().map(|end| result(end).map(|result| &*result.bytes)).collect();
        let types: Vec<Option<&str>> =
            ends.iter().map(|end| result(end).and_then(content_type_column)).collect();
        inner
            .db
            .write_one(
                "settle",
                sql!("complete_results"),
                &[&ids, &epochs, &places, &results, &types],
            )
            .await?
    };
    let told = rows.first().map(|row| -> Result<_, tokio_postgres::Error> {
        Ok((
            row.try_get::<_, i64>("base")?,
            row.try_get::<_, Option<Vec<i32>>>("queues")?.unwrap_or_default(),
            row.try_get::<_, Option<Vec<i64>>>("places")?,
            row.try_get::<_, i64>("completed")?,
        ))
    });
    let Some(Ok((base, queues, done, completed))) = told else {
        return Err(Error::internal("settle: what was completed cannot be read"));
    };
    effects.finished |= completed > 0;
    effects.freed.extend(queues);
    // Places come back only if some are missing.
    let done: Option<HashSet<i64>> = match done {
        None if completed == 0 => Some(HashSet::new()),
        done => done.map(|done| done.into_iter().collect()),
    };
    let mut left = Vec::new();
    for end in ends {
        if done.as_ref().is_none_or(|done| done.contains(&end.completion)) {
            answers[end.at] = Some(Settled::Applied { state: State::Completed, late: false });
        } else {
            left.push(*end);
        }
    }
    Ok((base, left))
}

fn result<'a>(end: &Ends<'a>) -> Option<&'a Payload> {
    match &end.end.outcome {
        Outcome::Complete { result } => result.as_ref(),
        _ => None,
    }
}
