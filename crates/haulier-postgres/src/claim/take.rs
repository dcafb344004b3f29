//! The short way of a claim. Whoever wants tasks of one queue, of whatever kind, gets the first in
//! line: then it does not matter who gets which, whose turn comes when is known before anything was
//! looked at, and one statement looks, leases and reads what was leased.

use futures_util::future::{try_join, try_join5};
use tokio::task::yield_now;
use tokio_postgres::Row;
use uuid::Uuid;

use super::attempt::{Claimed, Job, Leases, Room, allowances, lock, rooms, running, ttl, wait_for};
use super::share::{Candidate, Given, Offer, first_line, share};
use super::walk::{Found, Look, Stretch};
use crate::db::{Failed, Tx, sql};

/// Rows that are looked at, at most: all that is shown of each of them is held in memory.
const ROWS_MAX: i32 = 2_048;

/// Whose turn comes when, as long as there are tasks; `None`: the short way is not open.
pub(super) fn turns(job: &Job) -> Option<Vec<Given>> {
    let ([(queue, served)], [(_, walk)]) = (&*job.queues, &*job.walks) else { return None };
    let rows = rows(walk.looks())?;
    if job.asks.iter().any(|ask| !ask.kinds.is_empty()) {
        return None;
    }
    let any =
        |place| Candidate { line: first_line(*queue), place, id: Uuid::nil(), kind: String::new() };
    let tasks = (0..i64::from(rows)).map(any).collect();
    let mut offers = [Offer { queue: *queue, served: *served, room: u64::MAX, tasks }];
    Some(share(&mut job.asks.clone(), &mut offers, job.grants))
}

/// How many rows these looks are for, all of them ahead, together.
fn rows(looks: &[Stretch]) -> Option<i32> {
    let rows = looks.first()?.rows;
    let ahead = |look: &Stretch| look.look == Look::Ahead && look.rows == rows;
    (rows <= ROWS_MAX && looks.iter().all(ahead)).then_some(rows)
}

/// Claims, and ends the transaction; `None`: there is nothing where it looked, and there may be
/// farther on.
pub(super) async fn take(
    tx: &Tx<'_>,
    job: &Job,
    turns: &[Given],
) -> Result<Option<Claimed>, Failed> {
    let ((queue, served), (key, mut walk)) = (job.queues[0], job.walks[0].clone());
    let looks = walk.looks().to_vec();
    let rows_max = i64::from(rows(&looks).unwrap_or_default());
    let lines: Vec<i32> = looks.iter().map(|look| look.line).collect();
    let afters: Vec<i64> = looks.iter().map(|look| look.after).collect();
    let workers: Vec<&str> = job.asks.iter().map(|ask| ask.worker.as_str()).collect();
    let whose: Vec<i32> = turns.iter().filter_map(|turn| (turn.ask + 1).try_into().ok()).collect();
    let ttls: Vec<i64> = turns.iter().map(|turn| ttl(job, turn)).collect();
    let (timeout, grace) = allowances();
    let ((), held, rooms, running, rows) = try_join5(
        wait_for(tx, job.wait_for),
        lock(tx, &[queue]),
        rooms(tx, &[queue]),
        running(tx, job.wants_running),
        tx.query(
            sql!("claim_take"),
            &[&lines, &afters, &rows_max, &queue, &workers, &whose, &ttls, &timeout, &grace],
        ),
    )
    .await?;
    let room = rooms.get(&queue).filter(|_| held.contains(&queue));
    let seen = Seen::read(&rows, &looks, rows_max)?;
    let goes_on = walk.go_on(&seen.found);
    if seen.taken.is_empty() && goes_on && room.is_some_and(Room::is_open) {
        return Ok(None);
    }
    let given: Vec<Given> = turns[..seen.taken.len().min(turns.len())].to_vec();
    let tasks: Vec<Candidate> = seen.found.into_iter().flat_map(|found| found.free).collect();
    // It is read while the database ends the transaction.
    let read = async {
        yield_now().await;
        let mut leases = Leases::of(&rows);
        let read = seen.taken.iter().zip(&given).map(|(row, given)| {
            let lease = leases.read(&rows[*row], &job.names[0], job.ttls[given.ask])?;
            Ok((tasks[given.task].id, lease))
        });
        read.collect::<Result<_, Failed>>()
    };
    let ((), leases) = try_join(tx.commit(), read).await?;
    let left = room.map_or(0, Room::most).saturating_sub(given.len() as u64);
    let is_limited = rooms.get(&queue).is_some_and(|room| room.is_limited);
    Ok(Some(Claimed {
        limited: is_limited.then_some(queue).into_iter().collect(),
        walks: if held.contains(&queue) { vec![(key, walk)] } else { Vec::new() },
        offers: vec![Offer { queue, served, room: left, tasks }],
        held,
        given,
        leases,
        running,
    }))
}

/// What was looked at.
#[derive(Debug)]
struct Seen {
    /// Of each stretch.
    found: Vec<Found>,
    /// The rows that were leased, in their order.
    taken: Vec<usize>,
}

impl Seen {
    fn read(rows: &[Row], looks: &[Stretch], rows_max: i64) -> Result<Self, Failed> {
        let (mut found, mut taken) = (vec![Found::default(); looks.len()], Vec::new());
        let mut last = 0;
        for (number, row) in rows.iter().enumerate() {
            let no = usize::try_from(row.try_get::<_, i64>(0)? - 1).unwrap_or(usize::MAX);
            let (Some(found), Some(look)) = (found.get_mut(no), looks.get(no)) else { continue };
            last = last.max(no);
            let place = row.try_get(1)?;
            found.reached = Some(place);
            if row.try_get(2)? {
                let (line, id) = (look.line, row.try_get(3)?);
                found.free.push(Candidate { line, place, id, kind: String::new() });
            }
            if row.try_get::<_, Option<bool>>(4)?.unwrap_or_default() {
                taken.push(number);
            }
        }
        // With as many as were asked for, nothing was looked at behind the last one.
        if i64::try_from(rows.len()).is_ok_and(|rows| rows >= rows_max) {
            found[last..].iter_mut().for_each(|found| found.more = true);
        }
        Ok(Self { found, taken })
    }
}
