//! What is due first, and when.

use std::time::Duration;

use haulier_core::{clock::millis, limits};
use tokio_postgres::Row;

use super::floor::Floor;
use super::time::Time;
use crate::db::Failed;
use crate::now::span;

/// So far ahead, in milliseconds, a sweep sees when a lease runs out.
pub(super) const AHEAD: i64 = 1_000;

/// The first of everything that time brings about. Of the calendar, but for `deadline`, which is
/// known only if it is near.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    pub time: Time,
    /// When this node was heard of last.
    pub heard_at: Option<i64>,
    wake: Option<i64>,
    expires: Option<i64>,
    deadline: Option<i64>,
    kept: Option<i64>,
    gone: Option<i64>,
    held: Option<i64>,
    look: Option<i64>,
    fresh: bool,
}

impl Due {
    pub fn read(row: &Row, time: Time) -> Result<Self, Failed> {
        let gone: Option<i64> = row.try_get("gone")?;
        Ok(Self {
            time,
            heard_at: row.try_get("heard_at")?,
            wake: row.try_get("wake")?,
            expires: row.try_get("expires")?,
            deadline: row.try_get("deadline")?,
            kept: row.try_get("kept")?,
            gone: gone.map(|at| at.saturating_add(span(limits::DEDUP_WINDOW))),
            held: row.try_get("held")?,
            look: row.try_get("look")?,
            fresh: row.try_get("fresh")?,
        })
    }

    fn by_wall(&self, at: Option<i64>) -> bool {
        at.is_some_and(|at| at <= self.time.wall)
    }

    /// A task that has not started expires.
    pub fn expires(&self) -> bool {
        self.by_wall(self.expires)
    }

    /// A pause is over, or a lease has run out.
    pub fn comes_into_line(&self) -> bool {
        self.by_wall(self.wake) || self.deadline.is_some_and(|at| at <= self.time.leases)
    }

    /// A task has come in with a transaction of somebody else.
    pub fn has_come_in(&self) -> bool {
        self.wake == Some(0)
    }

    /// A finished task is to be removed, or an id to be forgotten.
    pub fn is_kept_no_longer(&self) -> bool {
        self.by_wall(self.kept)
    }

    /// A unique key is free.
    pub fn frees_a_key(&self) -> bool {
        self.by_wall(self.held)
    }

    /// There are counts to be added up.
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// The ids of a batch of completed tasks are to be forgotten.
    pub fn forgets(&self) -> bool {
        self.by_wall(self.gone)
    }

    /// When there is something to do again, from now; `all` of what sweeps do, or only what brings
    /// tasks into line. Counts can wait for whatever else comes.
    pub fn next(&self, all: bool) -> Duration {
        let timers = [self.wake, self.expires];
        let house = [self.kept, self.gone, self.held, self.look];
        let house = house.into_iter().filter(|_| all);
        let by_wall = timers.into_iter().chain(house).flatten();
        let by_wall = by_wall.map(|at| at.saturating_sub(self.time.wall));
        let by_lease = self.deadline.map_or(AHEAD, |at| at.saturating_sub(self.time.leases));
        let left = by_wall.chain([by_lease]).min().unwrap_or_default();
        Duration::from_millis(u64::try_from(left).unwrap_or_default())
    }
}

/// Where looks at the indexes of time begin.
#[derive(Debug, Default)]
pub(super) struct Floors {
    wake: Floor,
    expires: Floor,
    deadline: Floor,
    kept: Floor,
    gone: Floor,
}

/// Where the looks of one sweep begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun {
    pub wake: i64,
    pub expires: i64,
    pub deadline: i64,
    pub kept: i64,
    pub gone: i64,
}

impl Floors {
    /// Where the looks of a sweep begin that begins at this time.
    pub fn begin(&mut self, at: Duration) -> Begun {
        let at = i64::try_from(millis(at)).unwrap_or(i64::MAX);
        Begun {
            wake: self.wake.begin(at),
            expires: self.expires.begin(at),
            deadline: self.deadline.begin(at),
            kept: self.kept.begin(at),
            gone: self.gone.begin(at),
        }
    }

    /// A sweep has left nothing below what it saw last.
    pub fn reach(&mut self, due: &Due) {
        let Time { wall, leases, .. } = due.time;
        let first = |at: Option<i64>, now: i64| at.map_or(now, |at| at.min(now));
        self.wake.reach(first(due.wake.filter(|at| *at > 0), wall));
        self.expires.reach(first(due.expires, wall));
        self.deadline.reach(first(due.deadline, leases));
        self.kept.reach(first(due.kept, wall));
        let window = span(limits::DEDUP_WINDOW);
        self.gone.reach(first(due.gone, wall).saturating_sub(window));
    }
}
