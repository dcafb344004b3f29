//! All tracks of a server, and the tide that lifts their floors.
//!
//! A tide begins by noting where the frontiers are. A little later, so that whoever had a place but
//! no transaction number yet has one, it asks which transactions have begun by now, and ends when
//! all of those have ended. Somebody's transaction that never ends must not make everybody look at
//! the same rows for ever: after a while the tide ends all the same, and the slow walk below the
//! floor is left to find what was missed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use haulier_core::Kind;

use super::track::Track;

/// Whose lines are tracked: a queue's, for whoever wants these kinds.
pub(super) type Key = (i32, Arc<[Kind]>);

/// Tracks that are kept; beyond it, those that nobody asks for now are forgotten.
const TRACKS_MAX: usize = 4_096;
/// From a transaction's place in line to its number, at most.
const NUMBERED_WITHIN: Duration = Duration::from_millis(500);
/// Between two looks at what transactions run.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The longest tide.
const TIDE_MAX: Duration = Duration::from_secs(15);

/// Which transactions run: all below `oldest` have ended, none from `next` on has begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct Running {
    pub oldest: i64,
    pub next: i64,
}

#[derive(Debug)]
struct Tide {
    began: Duration,
    /// The first transaction that it does not wait for, once that is known.
    until: Option<i64>,
    looked: Duration,
}

/// All that is known of lines.
#[derive(Debug)]
pub(super) struct Tracks {
    all: BTreeMap<Key, Track>,
    tide: Tide,
}

impl Tracks {
    pub fn new(now: Duration) -> Self {
        let tide = Tide { began: now, until: None, looked: now };
        Self { all: BTreeMap::new(), tide }
    }

    /// The track of a key, from now on at least.
    pub fn track(&mut self, key: &Key) -> &mut Track {
        self.all.entry(key.clone()).or_insert_with(|| Track::new(key.0))
    }

    /// Whether looking there may find something.
    pub fn is_hot(&self, key: &Key) -> bool {
        self.all.get(key).is_none_or(Track::is_hot)
    }

    /// Something has changed in a queue; see [`Track::tell`].
    pub fn tell(&mut self, queue: i32, place: i64) {
        // Of a queue's sets of kinds the empty one comes first.
        let first: Key = (queue, Arc::new([]));
        let from = self.all.range_mut(first..).take_while(|((of, _), _)| *of == queue);
        from.for_each(|(_, track)| track.tell(place));
    }

    /// Anything may have changed, and whatever came into line may have been missed.
    pub fn tell_all(&mut self) {
        for track in self.all.values_mut() {
            track.tell(i64::MAX);
            track.look_back();
        }
    }

    /// Forgets what nobody asks for now, if there is too much.
    pub fn trim(&mut self, is_wanted: impl Fn(&Key) -> bool) {
        if self.all.len() > TRACKS_MAX {
            self.all.retain(|key, _| is_wanted(key));
        }
    }

    /// Whether the next claim should say which transactions run.
    pub fn wants_running(&self, now: Duration) -> bool {
        now >= self.tide.began + NUMBERED_WITHIN && now >= self.tide.looked + LOOK_EVERY
    }

    /// Goes on with the tide.
    pub fn flow(&mut self, now: Duration, running: Running) {
        self.tide.looked = now;
        let until = *self.tide.until.get_or_insert(running.next);
        if running.oldest >= until || now >= self.tide.began + TIDE_MAX {
            self.all.values_mut().for_each(Track::rose);
            self.all.values_mut().for_each(Track::rise);
            self.tide = Tide { began: now, until: None, looked: now };
        }
    }
}
