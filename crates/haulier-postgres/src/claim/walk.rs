//! One claim's way through the lines of a queue: which parts of them it looks through, in which
//! order, and when it has seen enough.
//!
//! It goes in rounds, each of them one question to the database, and looks at ever longer parts
//! where there is little to be had. It ends in any case, for others wait for their turn: whatever
//! was left out is looked at by the next claim.

use super::share::{Candidate, LINES, first_line};
use super::track::Mark;

/// Rows that a round looks at in one line at least and at most.
const ROWS_MIN: i32 = 64;
const ROWS_MAX: i32 = 16_384;
/// Rows below the floor that a claim looks at.
const ROWS_FAR: i32 = 4_096;
/// Rounds of one claim.
const ROUNDS_MAX: u32 = 4;

/// Which look it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Beyond the frontier, for what is new.
    Ahead,
    /// Between floor and frontier, for what came late.
    Near,
    /// Below the floor, for what should not be there.
    Far,
}

/// A part of a line to be looked through, in places: behind `after`, up to `upto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub line: i32,
    pub after: i64,
    pub upto: i64,
    /// Rows to look at.
    pub rows: i32,
    pub look: Look,
}

/// What was found in a stretch.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    /// The last row that was looked at; `None`: there was none.
    pub reached: Option<i64>,
    /// There may be more behind it.
    pub more: bool,
    /// What may be given, in order.
    pub free: Vec<Candidate>,
}

/// The way, and what was seen on it.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    queue: i32,
    marks: [Mark; LINES],
    /// Lines that are still to be looked at, counted from the queue's first, last one first.
    lines: Vec<usize>,
    demand: u32,
    found: u32,
    round: u32,
    /// A long way is gone in long steps from the beginning.
    growth: u32,
    next: Vec<Stretch>,
    /// What was looked through, how far, and whether there may be more behind.
    seen: Vec<(Stretch, i64, bool)>,
}

impl Walk {
    /// The first round. Lines are looked at in the order of their priority, and those behind only
    /// if the ones before will not do.
    pub fn new(
        queue: i32,
        marks: &[Mark; LINES],
        mut lines: Vec<usize>,
        demand: u32,
        long: bool,
        (near, far): (bool, bool),
    ) -> Self {
        lines.reverse();
        let growth = if long { ROUNDS_MAX } else { 0 };
        let (next, seen) = (Vec::new(), Vec::new());
        let mut walk =
            Self { queue, marks: *marks, lines, demand, found: 0, round: 0, growth, next, seen };
        let mut expected = 0;
        while let Some(step) = walk.lines.pop_if(|_| expected < demand) {
            expected += marks[step].left;
            walk.look_ahead(step);
        }
        walk.look_back(near, far);
        walk
    }

    fn line(&self, step: usize) -> i32 {
        first_line(self.queue) + i32::try_from(step).unwrap_or_default()
    }

    fn look_ahead(&mut self, step: usize) {
        let (line, after) = (self.line(step), self.marks[step].after);
        let factor = 4_i32.saturating_pow(self.round + self.growth);
        let wanted = i32::try_from(self.demand).unwrap_or(ROWS_MAX).max(ROWS_MIN);
        let rows = wanted.saturating_mul(factor).min(ROWS_MAX);
        self.next.push(Stretch { line, after, upto: i64::MAX, rows, look: Look::Ahead });
    }

    fn look_back(&mut self, near: bool, far: bool) {
        for (step, mark) in self.marks.iter().enumerate() {
            let line = self.line(step);
            let mut look = |after, upto, rows, look| {
                if after < upto {
                    self.next.push(Stretch { line, after, upto, rows, look });
                }
            };
            if near {
                look(mark.near, mark.after, ROWS_MAX, Look::Near);
            }
            if far {
                look(mark.far, mark.floor.min(mark.after), ROWS_FAR, Look::Far);
            }
        }
    }

    /// Whether it looks below the frontier, too.
    pub fn looks_back(&self) -> bool {
        self.next.iter().any(|stretch| stretch.look != Look::Ahead)
    }

    /// What is to be looked through in this round.
    pub fn looks(&self) -> &[Stretch] {
        &self.next
    }

    /// Notes what the stretches of this round had, in their order, and goes on to the next round.
    /// `false`: there is none.
    pub fn go_on(&mut self, found: &[Found]) -> bool {
        let looked = std::mem::take(&mut self.next);
        for (stretch, found) in looked.into_iter().zip(found) {
            self.note(stretch, found);
        }
        self.round += 1;
        if self.found >= self.demand || self.round >= ROUNDS_MAX {
            return false;
        }
        for step in 0..LINES {
            let line = self.line(step);
            let ahead = |(seen, _, more): &&(Stretch, i64, bool)| {
                seen.line == line && seen.look == Look::Ahead && *more
            };
            if self.seen.iter().find(ahead).is_some() {
                self.look_ahead(step);
            }
        }
        while let Some(step) = self.lines.pop() {
            self.look_ahead(step);
        }
        !self.next.is_empty()
    }

    fn note(&mut self, stretch: Stretch, found: &Found) {
        let reached = found.reached.unwrap_or(stretch.after);
        self.found = self.found.saturating_add(u32::try_from(found.free.len()).unwrap_or(u32::MAX));
        if stretch.look == Look::Ahead {
            let step = usize::try_from(stretch.line - first_line(self.queue)).unwrap_or(LINES);
            if let Some(mark) = self.marks.get_mut(step) {
                mark.after = reached;
            }
        }
        let same = |seen: &&mut (Stretch, i64, bool)| {
            (seen.0.line, seen.0.look) == (stretch.line, stretch.look)
        };
        match self.seen.iter_mut().find(same) {
            Some(seen) => (seen.1, seen.2) = (reached, found.more),
            None => self.seen.push((stretch, reached, found.more)),
        }
    }

    /// What was looked through, how far, and whether there may be more behind.
    pub fn seen(&self) -> &[(Stretch, i64, bool)] {
        &self.seen
    }

    /// Whether there are lines that it did not come to.
    pub const fn has_lines_left(&self) -> bool {
        !self.lines.is_empty()
    }

    /// Whether it saw all that there is, or enough.
    pub fn is_complete(&self) -> bool {
        let more = self.seen.iter().any(|(seen, _, more)| seen.look == Look::Ahead && *more);
        self.found >= self.demand || (self.lines.is_empty() && !more)
    }
}
