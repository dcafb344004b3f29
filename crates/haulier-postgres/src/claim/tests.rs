//! Sharing against its rules, taken word by word; ways through lines against lines that a test can
//! see in full.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use haulier_core::{Entropy, Kind, SeededEntropy, WorkerId, limits};
use uuid::Uuid;

use super::share::{Ask, Candidate, Given, LINES, Offer, first_line, share};
use super::track::Track;
use super::walk::{Found, Look, Stretch};

fn worker(number: u64) -> WorkerId {
    WorkerId::new(format!("w{number}")).unwrap()
}

fn kinds(numbers: impl IntoIterator<Item = u64>) -> Arc<[Kind]> {
    numbers.into_iter().map(|number| Kind::new(format!("k{number}")).unwrap()).collect()
}

fn candidate(line: i32, place: i64, kind: u64) -> Candidate {
    let id = Uuid::from_u128(u128::from(place.unsigned_abs()));
    Candidate { line, place, id, kind: format!("k{kind}") }
}

/// What [`haulier_core::Queue::lease`] says, without a thought to speed.
fn by_the_book(asks: &mut [Ask], offers: &mut [Offer], grants: u64) -> Vec<Given> {
    let mut last: BTreeMap<WorkerId, u64> =
        asks.iter().map(|ask| (ask.worker.clone(), ask.last_grant)).collect();
    let mut taken: Vec<(usize, usize)> = Vec::new();
    let mut done = vec![false; asks.len()];
    let mut given = Vec::new();
    while given.len() < limits::ITEMS_MAX {
        let open = (0..asks.len()).filter(|at| !done[*at]);
        let Some(at) = open.min_by_key(|at| last[&asks[*at].worker]) else { break };
        let ask = &asks[at];
        let fits = |kind: &str| {
            ask.kinds.is_empty() || ask.kinds.iter().any(|known| known.as_str() == kind)
        };
        let head = |(from, (offer, left)): (usize, &(usize, u32))| {
            let numbered = offers[*offer].tasks.iter().enumerate();
            let mut free = numbered.filter(|(task, _)| !taken.contains(&(*offer, *task)));
            let (task, found) = free.find(|(_, task)| fits(&task.kind))?;
            let priority = first_line(offers[*offer].queue) - found.line;
            let open = ask.left > 0 && *left > 0 && offers[*offer].room > 0;
            open.then_some((Reverse(priority), offers[*offer].served, from, task))
        };
        let Some((_, _, from, task)) = ask.from.iter().enumerate().filter_map(head).min() else {
            done[at] = true;
            continue;
        };
        let (offer, grant) = (ask.from[from].0, grants + 1 + given.len() as u64);
        last.insert(ask.worker.clone(), grant);
        asks[at].left -= 1;
        asks[at].from[from].1 -= 1;
        offers[offer].room -= 1;
        offers[offer].served = grant;
        taken.push((offer, task));
        given.push(Given { ask: at, offer, task, grant });
    }
    given
}

fn some_offers(dice: &SeededEntropy) -> Vec<Offer> {
    let offer = |queue: i32| {
        let mut tasks: Vec<Candidate> = (0..dice.up_to(12))
            .map(|place| {
                let step = i32::try_from(dice.up_to(2)).unwrap();
                candidate(first_line(queue) + step, place.cast_signed(), dice.up_to(2))
            })
            .collect();
        tasks.sort_by_key(|task| (task.line, task.place));
        let room = if dice.up_to(2) == 0 { dice.up_to(4) } else { u64::MAX };
        Offer { queue, served: dice.up_to(3), room, tasks }
    };
    (1..=3).map(offer).collect()
}

fn some_asks(dice: &SeededEntropy, offers: usize) -> Vec<Ask> {
    let last: Vec<u64> = (0..4).map(|_| dice.up_to(3)).collect();
    let ask = |_| {
        let number = dice.up_to(3);
        let from = (0..offers).filter(|_| dice.up_to(2) > 0);
        Ask {
            worker: worker(number),
            last_grant: last[usize::try_from(number).unwrap()],
            from: from.map(|offer| (offer, u32::try_from(dice.up_to(5)).unwrap())).collect(),
            kinds: if dice.up_to(1) == 0 { kinds([]) } else { kinds(0..=dice.up_to(2)) },
            left: u32::try_from(dice.up_to(8)).unwrap(),
        }
    };
    (0..=dice.up_to(5)).map(ask).collect()
}

#[test]
fn tasks_are_shared_out_as_the_trait_says() {
    for seed in 0..2_000 {
        let dice = SeededEntropy::from_u64(seed);
        let asks = some_asks(&dice, 3);
        let expected = by_the_book(&mut asks.clone(), &mut some_offers(&dice), 7);
        let dice = SeededEntropy::from_u64(seed);
        let mut asks = some_asks(&dice, 3);
        let given = share(&mut asks, &mut some_offers(&dice), 7);
        assert_eq!(given, expected, "seed {seed}");
    }
}

#[test]
fn a_call_gets_no_more_than_one_call_may_carry() {
    let tasks = (0..2_000).map(|place| candidate(first_line(1), place, 0)).collect();
    let mut offers = [Offer { queue: 1, served: 0, room: u64::MAX, tasks }];
    let from = vec![(0, 5_000)];
    let mut asks = [Ask { worker: worker(1), last_grant: 0, from, kinds: kinds([]), left: 5_000 }];
    assert_eq!(share(&mut asks, &mut offers, 0).len(), limits::ITEMS_MAX);
}

/// The lines of a queue as the database would have them.
#[derive(Default)]
struct Lines {
    /// By line and place: the kind, and whether the task is to be had.
    rows: BTreeMap<(i32, i64), (u64, bool)>,
    looked_at: usize,
}

const QUEUE: i32 = 3;

impl Lines {
    fn put(&mut self, step: i32, place: i64, kind: u64) {
        self.rows.insert((first_line(QUEUE) + step, place), (kind, true));
    }

    fn look(&mut self, stretch: &Stretch, wanted: &[u64]) -> Found {
        let Stretch { line, after, upto, rows, .. } = *stretch;
        let rows = usize::try_from(rows).unwrap();
        if after >= upto {
            return Found::default();
        }
        let part = self.rows.range((line, after.saturating_add(1))..=(line, upto));
        let mut found = Found::default();
        let mut seen = 0;
        for (&(line, place), (kind, is_free)) in part.take(rows) {
            seen += 1;
            found.reached = Some(place);
            if *is_free && (wanted.is_empty() || wanted.contains(kind)) {
                found.free.push(candidate(line, place, *kind));
            }
        }
        found.more = seen == rows;
        self.looked_at += seen;
        found
    }

    /// One claim: the first so many that it sees are given.
    fn claim(&mut self, track: &mut Track, wanted: &[u64], demand: u32) -> Vec<(i32, i64)> {
        let mut walk = track.walk(demand, false);
        let mut seen: BTreeMap<(i32, i64), Candidate> = BTreeMap::new();
        loop {
            let looks = walk.looks().to_vec();
            let found: Vec<Found> =
                looks.iter().map(|stretch| self.look(stretch, wanted)).collect();
            let goes_on = walk.go_on(&found);
            let free = found.into_iter().flat_map(|found| found.free);
            seen.extend(free.map(|task| ((task.line, task.place), task)));
            if !goes_on {
                break;
            }
        }
        let given: Vec<(i32, i64)> =
            seen.keys().copied().take(usize::try_from(demand).unwrap()).collect();
        for place in &given {
            self.rows.get_mut(place).unwrap().1 = false;
            seen.remove(place);
        }
        let left = |line| {
            let mut left = seen.keys().filter(|(of, _)| *of == line);
            let first = left.next()?.1;
            Some((first, 1 + u32::try_from(left.count()).unwrap()))
        };
        track.learn(&walk, left);
        given
    }

    /// Claims as long as looking may find something.
    fn drain(&mut self, track: &mut Track, wanted: &[u64], demand: u32) -> Vec<(i32, i64)> {
        let mut given = Vec::new();
        for _ in 0..1_000 {
            if !track.is_hot() {
                return given;
            }
            given.extend(self.claim(track, wanted, demand));
        }
        panic!("it comes to no end: {track:?}")
    }

    fn free(&self, wanted: &[u64]) -> usize {
        let fits = |kind: &u64| wanted.is_empty() || wanted.contains(kind);
        self.rows.values().filter(|(kind, is_free)| *is_free && fits(kind)).count()
    }
}

#[test]
fn whatever_was_told_is_found_and_in_the_order_of_the_line() {
    for seed in 0..300 {
        let dice = SeededEntropy::from_u64(seed);
        let (mut lines, mut track) = (Lines::default(), Track::new(QUEUE));
        let wanted: Vec<u64> = if dice.up_to(1) == 0 { vec![] } else { vec![0, 2] };
        let mut places: Vec<i64> = (1..2_000).collect();
        while !places.is_empty() {
            // Places come nearly in order, and a batch is told with its smallest.
            let batch: Vec<i64> = (0..=dice.up_to(40))
                .filter_map(|_| {
                    let ahead = usize::try_from(dice.up_to(20)).unwrap();
                    (ahead < places.len()).then(|| places.remove(ahead))
                })
                .collect();
            for place in &batch {
                lines.put(i32::try_from(dice.up_to(9)).unwrap(), *place, dice.up_to(2));
            }
            if let Some(first) = batch.iter().min() {
                track.tell(*first);
            }
            let demand = u32::try_from(1 + dice.up_to(60)).unwrap();
            let expected: Vec<(i32, i64)> = lines
                .rows
                .iter()
                .filter(|(_, (kind, free))| *free && (wanted.is_empty() || wanted.contains(kind)))
                .map(|(place, _)| *place)
                .take(usize::try_from(demand).unwrap())
                .collect();
            assert_eq!(lines.claim(&mut track, &wanted, demand), expected, "seed {seed}");
        }
        lines.drain(&mut track, &wanted, 100);
        assert_eq!(lines.free(&wanted), 0, "seed {seed}");
    }
}

#[test]
fn what_was_done_or_is_not_wanted_is_walked_over_once() {
    let (mut lines, mut track) = (Lines::default(), Track::new(QUEUE));
    (1..=100_000).for_each(|place| lines.put(4, place, 1));
    assert!(lines.drain(&mut track, &[2], 10).is_empty());
    assert!(lines.looked_at <= 100_000 + LINES, "{}", lines.looked_at);
    lines.looked_at = 0;
    for place in 100_001..100_101 {
        lines.put(4, place, 2);
        track.tell(place);
        assert_eq!(lines.claim(&mut track, &[2], 10).len(), 1);
    }
    assert!(lines.looked_at <= 200, "{}", lines.looked_at);
}

#[test]
fn what_came_late_and_was_told_by_nobody_is_found_by_looking_back() {
    let (mut lines, mut track) = (Lines::default(), Track::new(QUEUE));
    (1..50_000).filter(|place| place % 1_000 != 7).for_each(|place| lines.put(4, place, 1));
    lines.drain(&mut track, &[], 1_000);
    assert_eq!(lines.free(&[]), 0);
    (0..50).for_each(|late| lines.put(4, late * 1_000 + 7, 1));
    assert!(lines.drain(&mut track, &[], 1_000).is_empty(), "nobody told it");
    track.look_back();
    assert_eq!(lines.drain(&mut track, &[], 1_000).len(), 50);
}

#[test]
fn what_lies_below_the_floor_is_looked_at_a_little_at_a_time() {
    let (mut lines, mut track) = (Lines::default(), Track::new(QUEUE));
    (2..50_000).for_each(|place| lines.put(4, place, 1));
    lines.drain(&mut track, &[], 1_000);
    track.rise();
    track.rose();
    lines.put(4, 1, 1);
    let mut looked_at = Vec::new();
    let mut found = 0;
    for _ in 0..20 {
        lines.put(4, 25_000, 1);
        lines.looked_at = 0;
        track.look_back();
        found += lines.drain(&mut track, &[], 1_000).len();
        looked_at.push(lines.looked_at);
    }
    assert!(found >= 2, "the walk below the floor comes round");
    assert!(looked_at.iter().all(|rows| *rows <= 5_000), "{looked_at:?}");
}

#[test]
fn a_tide_lifts_the_floor_to_where_the_frontier_was_when_it_began() {
    let (mut lines, mut track) = (Lines::default(), Track::new(QUEUE));
    (1..10_000).for_each(|place| lines.put(4, place, 1));
    lines.drain(&mut track, &[], 1_000);
    track.rise();
    (10_000..10_100).for_each(|place| lines.put(4, place, 1));
    track.tell(10_000);
    lines.drain(&mut track, &[], 1_000);
    track.rose();
    lines.looked_at = 0;
    track.look_back();
    let walk = track.walk(10, false);
    let near = walk.looks().iter().find(|stretch| stretch.look == Look::Near);
    assert_eq!(near.map(|near| (near.after, near.upto)), Some((9_999, 10_099)));
}
