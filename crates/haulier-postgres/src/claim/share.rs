//! Sharing: whose turn it is, and which task that one gets.
//!
//! The rules are those of [`haulier_core::Queue::lease`]: one task at a time in turn, the worker
//! whose last grant is longest ago first; of its queues the one with the highest priority in line,
//! among equals the one that was served longest ago. It only computes: what is given becomes a
//! lease elsewhere, or nothing at all if that fails.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use haulier_core::{Kind, WorkerId, limits};
use uuid::Uuid;

/// Lines of a queue: one a priority.
pub(super) const LINES: usize = haulier_core::Priority::COUNT;

/// The first line of a queue, the one of its highest priority. A line is a queue's number and a
/// priority in one, so that one index holds all of them.
pub(super) const fn first_line(queue: i32) -> i32 {
    queue * 16
}

/// A task that may be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub line: i32,
    pub place: i64,
    pub id: Uuid,
    /// Empty where nobody asked for certain kinds.
    pub kind: String,
}

/// What a queue has to give.
#[derive(Debug)]
pub(super) struct Offer {
    pub queue: i32,
    /// When it was last served, counted in grants; zero: never.
    pub served: u64,
    /// How many of its tasks its settings let start now.
    pub room: u64,
    /// In the order of their lines and places.
    pub tasks: Vec<Candidate>,
}

/// A want that is being served.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub worker: WorkerId,
    /// When the worker got its last task, counted in grants; zero: never.
    pub last_grant: u64,
    /// Offers by their number, with what may still come from each.
    pub from: Vec<(usize, u32)>,
    /// Which kinds; empty takes every kind.
    pub kinds: Arc<[Kind]>,
    pub left: u32,
}

/// A task for an asker, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Given {
    pub ask: usize,
    pub offer: usize,
    pub task: usize,
    /// Which grant it is.
    pub grant: u64,
}

/// Shares offers out; `grants` were made before.
pub(super) fn share(asks: &mut [Ask], offers: &mut [Offer], grants: u64) -> Vec<Given> {
    let mut heads = Heads::new(offers);
    let mut turns = Turns::new(asks);
    let mut given: Vec<Given> = Vec::new();
    while given.len() < limits::ITEMS_MAX
        && let Some((last_grant, at, seat)) = turns.next()
    {
        let ask = &mut asks[at];
        let Some((from, task)) = heads.pick(ask, offers) else {
            turns.close(seat, last_grant);
            continue;
        };
        let grant = grants + 1 + given.len() as u64;
        let offer = ask.from[from].0;
        ask.left -= 1;
        ask.from[from].1 -= 1;
        heads.take(offer, task);
        offers[offer].room -= 1;
        offers[offer].served = grant;
        given.push(Given { ask: at, offer, task, grant });
        turns.wait(seat, grant);
    }
    given
}

/// Whose turn it is. Several wants of a worker share its turn; its first that is open speaks for
/// it.
struct Turns {
    /// The open wants of each worker.
    open: Vec<VecDeque<usize>>,
    /// Last grant, want, and whose: the least is next, so that equals come in the order of the
    /// request.
    order: BinaryHeap<Reverse<(u64, usize, usize)>>,
}

impl Turns {
    fn new(asks: &[Ask]) -> Self {
        let mut seats: HashMap<&WorkerId, usize> = HashMap::new();
        let mut open: Vec<VecDeque<usize>> = Vec::new();
        for (at, ask) in asks.iter().enumerate() {
            let seat = *seats.entry(&ask.worker).or_insert(open.len());
            if seat == open.len() {
                open.push(VecDeque::new());
            }
            open[seat].push_back(at);
        }
        let mut turns = Self { open, order: BinaryHeap::new() };
        for seat in 0..turns.open.len() {
            let first = turns.open[seat].front().map_or(0, |at| asks[*at].last_grant);
            turns.wait(seat, first);
        }
        turns
    }

    /// The want that is served next, and its worker's seat.
    fn next(&mut self) -> Option<(u64, usize, usize)> {
        self.order.pop().map(|Reverse(turn)| turn)
    }

    /// A worker gets another turn after those who were granted something longer ago.
    fn wait(&mut self, seat: usize, last_grant: u64) {
        if let Some(at) = self.open[seat].front() {
            self.order.push(Reverse((last_grant, *at, seat)));
        }
    }

    /// A want can get nothing more.
    fn close(&mut self, seat: usize, last_grant: u64) {
        self.open[seat].pop_front();
        self.wait(seat, last_grant);
    }
}

/// Who is first in line, of each queue and for each set of kinds.
struct Heads {
    taken: Vec<Vec<bool>>,
    /// Nothing before is to be had any more.
    first: HashMap<(usize, Arc<[Kind]>), usize>,
}

impl Heads {
    fn new(offers: &[Offer]) -> Self {
        let taken = offers.iter().map(|offer| vec![false; offer.tasks.len()]).collect();
        Self { taken, first: HashMap::new() }
    }

    /// The next task of a want, and from which of its queues.
    fn pick(&mut self, ask: &Ask, offers: &[Offer]) -> Option<(usize, usize)> {
        if ask.left == 0 {
            return None;
        }
        let mut best: Option<(i32, u64, usize, usize)> = None;
        for (from, (number, left)) in ask.from.iter().enumerate() {
            let offer = &offers[*number];
            if *left == 0 || offer.room == 0 {
                continue;
            }
            if let Some(task) = self.head(*number, &ask.kinds, offer) {
                // The smaller the step, the higher the priority.
                let step = offer.tasks[task].line - first_line(offer.queue);
                let this = (step, offer.served, from, task);
                best = Some(best.map_or(this, |best| best.min(this)));
            }
        }
        best.map(|(_, _, from, task)| (from, task))
    }

    fn head(&mut self, number: usize, kinds: &Arc<[Kind]>, offer: &Offer) -> Option<usize> {
        let taken = &self.taken[number];
        let fits = |at: &usize| {
            let kind = offer.tasks[*at].kind.as_str();
            !taken[*at] && (kinds.is_empty() || kinds.iter().any(|known| known.as_str() == kind))
        };
        let first = self.first.entry((number, Arc::clone(kinds))).or_default();
        let head = (*first..offer.tasks.len()).find(fits);
        *first = head.unwrap_or(offer.tasks.len());
        head
    }

    fn take(&mut self, number: usize, task: usize) {
        self.taken[number][task] = true;
    }
}
