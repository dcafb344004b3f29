//! The time by which leases live in a database that has a clock of its own: how its calendar and
//! the time of leases belong together. What is written, and by whom, is the store's.
//!
//! Leases must not follow a calendar that jumps, and must not run out while no server is there to
//! renew them. So a server compares what the database's clock has done since its last sweep with
//! what its own monotonic clock has; what differs is a jump, and goes into the slip. Between sweeps
//! the time of leases goes on by [`STANDS`] at most; where it stood still, because sweeps failed or
//! every server was frozen, it goes on from there: what was leased since counts on that.
//!
//! All times are whole milliseconds.

use std::time::Duration;

use crate::clock::millis;
use crate::probe::sometimes;

/// Clocks that differ by less are only a little fast or slow.
pub const TOLERANCE: i64 = 1_000;
/// After this long without a sweep there was nobody to renew a lease.
pub const GAP: i64 = 5_000;
/// So far the time of leases goes beyond what the last sweep left, and no further.
pub const STANDS: i64 = 2_000;
/// The time of leases is written this often.
const WRITTEN_EVERY: i64 = 500;

/// What the database shows at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The database's calendar.
    pub clock: i64,
    /// The calendar that is shown, as the last sweep left it.
    pub wall: i64,
    /// By how much the time of leases is behind the database's calendar.
    pub slip: i64,
    /// The time of leases.
    pub leases: i64,
}

impl Seen {
    /// The time of leases as the database's clock tells it.
    pub fn told(&self) -> i64 {
        self.clock - self.slip
    }

    /// How long nobody has swept, as the database's clock tells it.
    pub fn gap(&self) -> i64 {
        self.told() - self.leases
    }
}

/// When the database's clock was read, by our own monotonic clock: it was between the two.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Before it was asked.
    pub before: Duration,
    /// After it had answered.
    pub after: Duration,
}

/// What a server remembers of its last sweep.
#[derive(Debug, Clone, Copy)]
pub struct Watch {
    told: i64,
    slip: i64,
    moment: Moment,
}

/// The time, as it is to be told from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time {
    /// As in [`Seen`].
    pub wall: i64,
    /// As in [`Seen`].
    pub slip: i64,
    /// As in [`Seen`].
    pub leases: i64,
    /// How long the time of leases stood still before this.
    pub stood: i64,
}

impl Time {
    /// Whether it has to be written.
    pub fn is_news(&self, seen: &Seen) -> bool {
        self.slip != seen.slip || self.leases - seen.leases >= WRITTEN_EVERY
    }
}

impl Watch {
    /// Begins to watch.
    pub fn start(seen: &Seen, moment: Moment) -> Self {
        Self { told: seen.told(), slip: seen.slip, moment }
    }

    /// What time it is, and what is remembered until the next look.
    pub fn look(&self, seen: &Seen, moment: Moment) -> (Time, Self) {
        let jump = self.jump(seen, moment);
        if jump != 0 {
            sometimes("clock held back");
        }
        let told = seen.told() - jump;
        let leases = told.clamp(seen.leases, seen.leases + STANDS);
        let stood = (told - leases).max(0);
        // Since the calendar went back nobody was shown more than what the last sweep left; from
        // now on `wall` crawls on, until the calendar has caught up.
        let crawled = if jump == 0 { (leases - seen.leases) / 2 } else { 0 };
        let wall = seen.clock.max(seen.wall + crawled);
        let slip = seen.slip + jump + stood;
        let watch = Self { told: seen.clock - slip, slip, moment };
        (Time { wall, slip, leases, stood }, watch)
    }

    /// By how much the calendar has jumped since the last look, if it has.
    fn jump(&self, seen: &Seen, moment: Moment) -> i64 {
        if seen.slip != self.slip {
            // Another server has mended the time; it told what was to be told.
            return 0;
        }
        let passed = |from: Duration, to: Duration| signed(millis(to.saturating_sub(from)));
        let least = self.told + passed(self.moment.after, moment.before);
        let most = self.told + passed(self.moment.before, moment.after);
        let honest = (least - TOLERANCE..=most + TOLERANCE).contains(&seen.told());
        if honest { 0 } else { seen.told() - least }
    }
}

fn signed(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn at(seconds: u64) -> Moment {
        Moment { before: Duration::from_secs(seconds), after: Duration::from_secs(seconds) }
    }

    /// What is seen after it was written.
    fn after(time: Time, clock: i64) -> Seen {
        Seen { clock, wall: time.wall, slip: time.slip, leases: time.leases }
    }

    fn start() -> (Seen, Watch) {
        let seen = Seen { clock: 10 * HOUR, wall: 10 * HOUR, slip: 9 * HOUR, leases: HOUR };
        (seen, Watch::start(&seen, at(0)))
    }

    #[test]
    fn time_that_passed_while_others_swept_is_counted_however_long_it_was() {
        let (seen, watch) = start();
        let swept = Seen { clock: 12 * HOUR, leases: 3 * HOUR - 400, ..seen };
        let (time, _) = watch.look(&swept, at(7_200));
        let expected = Time { wall: 12 * HOUR, slip: 9 * HOUR, leases: 3 * HOUR, stood: 0 };
        assert_eq!(time, expected);
    }

    #[test]
    fn a_jump_of_the_calendar_moves_the_wall_and_no_lease() {
        for (jump, wall) in [(HOUR, 11 * HOUR + 2_000), (-HOUR, 10 * HOUR)] {
            let (seen, watch) = start();
            let jumped = Seen { clock: seen.clock + 2_000 + jump, ..seen };
            let (time, watch) = watch.look(&jumped, at(2));
            assert_eq!((time.leases, time.wall), (HOUR + 2_000, wall), "a jump of {jump}");
            let later = after(time, jumped.clock + 2_000);
            let time = watch.look(&later, at(4)).0;
            assert_eq!((time.leases, time.stood), (HOUR + 4_000, 0));
            let passes = if jump > 0 { 2_000 } else { 1_000 };
            assert_eq!(time.wall, wall + passes, "behind the calendar it goes at half speed");
        }
    }

    #[test]
    fn where_nobody_swept_the_time_of_leases_goes_on_from_where_it_stood() {
        // The monotonic clock may have stood still too: that of a machine that was asleep does.
        for (passed, shown) in [(900, 0), (4_400, 4), (HOUR, 3_600), (HOUR, 0), (-HOUR, 4)] {
            let (seen, watch) = start();
            let later = Seen { clock: seen.clock + passed, ..seen };
            let (time, watch) = watch.look(&later, at(shown));
            let stands = HOUR..=HOUR + STANDS;
            assert!(stands.contains(&time.leases), "after {passed}: {}", time.leases - HOUR);
            let next = watch.look(&after(time, later.clock + 1_000), at(shown + 1)).0;
            assert_eq!(next.leases, time.leases + 1_000, "I11: it jumps after {passed}");
        }
    }

    #[test]
    fn whoever_looks_second_after_the_time_stood_does_not_undo_it() {
        let (seen, one) = start();
        let other = one;
        let later = Seen { clock: seen.clock + HOUR, ..seen };
        let (time, _) = one.look(&later, at(3_600));
        assert_eq!((time.leases, time.stood), (HOUR + STANDS, HOUR - STANDS));
        let next = other.look(&after(time, later.clock + 100), at(3_600)).0;
        assert_eq!((next.leases, next.stood), (HOUR + STANDS + 100, 0), "I11");
    }

    #[test]
    fn a_jump_that_another_server_saw_is_no_jump() {
        let (seen, watch) = start();
        let mended = Seen { clock: seen.clock + HOUR + 2_000, slip: seen.slip + HOUR, ..seen };
        let (time, _) = watch.look(&mended, at(2));
        assert_eq!((time.slip, time.leases), (mended.slip, HOUR + 2_000));
    }

    #[test]
    fn a_database_that_answers_late_is_no_jump() {
        let (seen, watch) = start();
        let slow = Moment { before: Duration::from_secs(1), after: Duration::from_secs(61) };
        for read_after in [1_000, 30_000, 61_000] {
            let clock = seen.clock + read_after;
            let late = Seen { clock, leases: seen.leases + read_after - 500, ..seen };
            assert_eq!(watch.look(&late, slow).0.slip, seen.slip, "read after {read_after}");
        }
    }

    #[test]
    fn a_clock_that_is_a_little_fast_is_followed() {
        let (seen, watch) = start();
        let (clock, leases) = (seen.clock + 10_900, seen.leases + 9_900);
        let (time, _) = watch.look(&Seen { clock, leases, ..seen }, at(10));
        assert_eq!((time.slip, time.leases), (seen.slip, HOUR + 10_900));
    }
}
