//! What is known of the lines of a queue, so that nobody looks twice at what is not to be had.
//!
//! Places come from a sequence, and tasks mostly come into line in their order. Where a claim saw
//! nothing to be had up to a place (all of it leased, done, or of kinds that nobody wanted), the
//! next one begins behind it: the *frontier*. A transaction that took its place early and committed
//! late is missed by that, so whoever puts tasks into line tells the smallest place, and, since
//! that may be lost between servers, there is a second mark below which all transactions have
//! ended: the *floor*. Between the two it is looked again now and then. Below the floor nothing can
//! come in any more, unless a process was stopped for long at the worst moment; a slow walk finds
//! that, too, some day (L1).
//!
//! It only keeps numbers: what is asked of the database, and when, is decided elsewhere.

use super::share::{LINES, first_line};
use super::walk::{Look, Stretch, Walk};

/// One line, in places.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mark {
    /// The frontier.
    pub after: i64,
    /// Where the frontier was when the present tide began.
    rising: i64,
    pub floor: i64,
    /// How far the looks below have come: between floor and frontier, and below the floor.
    pub near: i64,
    pub far: i64,
    /// Tasks seen beyond the frontier that nobody got.
    pub left: u32,
    /// There are rows beyond it that were not looked at.
    pub more: bool,
}

/// The lines of a queue, for whoever wants the same kinds.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is true or not by itself")]
pub(super) struct Track {
    queue: i32,
    marks: [Mark; LINES],
    /// Something may have come into any line since all of them were looked at.
    told: bool,
    /// Its queue lets nothing start until something changes.
    pub shut: bool,
    /// Looks below the frontier that are due.
    near: bool,
    far: bool,
    /// The last claim ended before it had seen everything: there is a long way to go.
    long: bool,
}

impl Track {
    /// Lines of which nothing is known.
    pub fn new(queue: i32) -> Self {
        let marks = [Mark::default(); LINES];
        Self { queue, marks, told: true, shut: false, near: false, far: false, long: false }
    }

    /// Whether looking may find something.
    pub fn is_hot(&self) -> bool {
        let ahead = self.told || self.marks.iter().any(|mark| mark.left > 0 || mark.more);
        (ahead && !self.shut) || self.near
    }

    /// Something has changed; if tasks came into line, the first of them at this place. In which
    /// line is not known.
    pub fn tell(&mut self, place: i64) {
        (self.told, self.shut) = (true, false);
        for mark in &mut self.marks {
            mark.after = mark.after.min(place.saturating_sub(1));
        }
    }

    /// Looks below the frontier are due, unless they are under way.
    pub fn look_back(&mut self) {
        let begins = !std::mem::replace(&mut self.near, true);
        self.far = true;
        for mark in &mut self.marks {
            if begins {
                mark.near = mark.floor;
            }
            if mark.far >= mark.floor.min(mark.after) {
                mark.far = 0;
            }
        }
    }

    /// A tide begins: transactions that run now may still bring something in below the frontier.
    pub fn rise(&mut self) {
        self.marks.iter_mut().for_each(|mark| mark.rising = mark.after);
    }

    /// A tide is over: all of those have ended.
    pub fn rose(&mut self) {
        self.marks.iter_mut().for_each(|mark| mark.floor = mark.floor.max(mark.rising));
    }

    /// The looks of a claim that wants this many tasks. `sure`: not even a line of which nothing
    /// was told is passed over.
    pub fn walk(&self, demand: u32, sure: bool) -> Walk {
        let lines: Vec<usize> = (0..LINES)
            .filter(|step| {
                let mark = &self.marks[*step];
                sure || self.told || mark.left > 0 || mark.more
            })
            .collect();
        Walk::new(self.queue, &self.marks, lines, demand, self.long, (self.near, self.far))
    }

    /// Takes over what a claim has seen, once that has ended well. `left` is told for a line where
    /// the first task stands that was seen and not given, and how many there are.
    pub fn learn(&mut self, walk: &Walk, left: impl Fn(i32) -> Option<(i64, u32)>) {
        (self.near, self.far) = (false, false);
        self.told &= walk.has_lines_left();
        self.long = !walk.is_complete();
        for (Stretch { line, upto, look, .. }, reached, more) in walk.seen() {
            self.near |= *look == Look::Near && *more;
            let step = usize::try_from(line - first_line(self.queue)).unwrap_or(LINES);
            let Some(mark) = self.marks.get_mut(step) else { continue };
            let end = if *more { *reached } else { *upto };
            match look {
                Look::Ahead => (mark.after, mark.more, mark.left) = (*reached, *more, 0),
                Look::Near => mark.near = end,
                Look::Far => mark.far = end,
            }
        }
        for (line, mark) in (first_line(self.queue)..).zip(&mut self.marks) {
            if let Some((place, count)) = left(line) {
                mark.after = mark.after.min(place.saturating_sub(1));
                mark.left = count;
            }
        }
    }
}
