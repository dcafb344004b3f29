//! The claimer: the one task of a server that claims. It gathers what all waiting calls want, has
//! it claimed, and hands it out; and it knows when looking again may be of use.
//!
//! It looks when a call comes in that does not wait, when something was told about a queue that
//! somebody waits for, and, because what other servers tell may be lost, now and then by itself.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use haulier_core::probe::planted;
use haulier_core::{
    Code, Error, Kind, LeaseKey, Outcome, QueueName, Result, Settlement, Want, WorkerId, limits,
};
use tokio_postgres::error::SqlState;

use super::attempt::{Claimed, Job, claim};
use super::desk::Waiting;
use super::share::Ask;
use super::tracks::{Key, Tracks};
use crate::now::span;
use crate::store::Inner;
use crate::{notify, settle, sweep, workers};

/// A worker's sign of life is written at most so often.
const HEARD_EVERY: Duration = Duration::from_secs(1);
/// Workers and queues that are remembered; beyond it, those that are silent are forgotten.
const REMEMBERED_MAX: usize = 65_536;
/// Looking below the frontier takes at most one part in so many of the time.
const LOOK_BACK_SHARE: u32 = 20;
/// Tasks that are brought into line at once when something is said to be due.
const PROMOTED_MAX: usize = 1_000;

/// Serves until the store is closed.
pub(super) async fn run(inner: Arc<Inner>) {
    let mut closing = inner.closing();
    let mut claimer = Claimer::new(Arc::clone(&inner));
    let _end = End(Arc::clone(&inner));
    while !*closing.borrow() {
        let tick = claimer.tick_at.saturating_sub(inner.pace.monotonic());
        tokio::select! {
            () = inner.hub.claimer_woken() => {}
            () = inner.pace.sleep(tick) => {}
            _ = closing.changed() => break,
        }
        while claimer.round().await {}
    }
    close(&inner);
    claimer.give_back().await;
}

fn close(inner: &Inner) {
    inner.claims.desk.close(&Error::new(Code::Unavailable, "the store is closed"));
}

/// However serving ends, nobody waits for it any more: it may be in the middle of a claim that the
/// database does not answer when the store is closed.
struct End(Arc<Inner>);

impl Drop for End {
    fn drop(&mut self) {
        close(&self.0);
    }
}

/// A worker as the claimer knows it.
#[derive(Debug, Default)]
struct Known {
    last_grant: u64,
    /// When it was noted that it lives, by the clock of users' waits.
    heard_at: Option<Duration>,
}

struct Claimer {
    inner: Arc<Inner>,
    /// Of which database all of this is known; see [`crate::db::Db::era`].
    era: u64,
    tracks: Tracks,
    workers: HashMap<WorkerId, Known>,
    /// When each queue was served last, counted in grants.
    served: HashMap<i32, u64>,
    grants: u64,
    /// Queues of which something was told: another one may be new, and be waited for by its name.
    met: HashSet<i32>,
    /// A queue whose mutex somebody else had.
    busy: Option<i32>,
    tick_at: Duration,
    look_back_at: Duration,
}

impl Claimer {
    fn new(inner: Arc<Inner>) -> Self {
        let now = inner.pace.monotonic();
        Self {
            tracks: Tracks::new(now),
            workers: HashMap::new(),
            served: HashMap::new(),
            grants: 0,
            met: HashSet::new(),
            busy: None,
            tick_at: now,
            look_back_at: now,
            era: inner.db.era(),
            inner,
        }
    }

    /// Takes in what is new, and claims once. `true` if there is more to do at once.
    async fn round(&mut self) -> bool {
        self.give_back().await;
        if self.era != self.inner.db.era() {
            self.inner.claims.desk.forget_numbers();
            *self = Self::new(Arc::clone(&self.inner));
        }
        let now = self.inner.pace.monotonic();
        let is_tick = now >= self.tick_at;
        let is_new_queue = self.take_told().await;
        self.number(is_tick || is_new_queue).await;
        let waiting = self.inner.claims.desk.waiting();
        if is_tick {
            self.tick_at = now + notify::tick(&self.inner);
            self.look_back(now, &waiting);
        }
        let (asking, resting): (Vec<Waiting>, Vec<Waiting>) = waiting
            .into_iter()
            .partition(|call| call.is_last || is_tick || self.may_get_something(call));
        // There is nothing for them: that is known without looking.
        self.inner.claims.desk.rest(resting.iter().map(|call| call.ticket));
        if asking.is_empty() {
            return false;
        }
        self.serve(asking, is_tick).await
    }

    /// What was told since the last round. `true` if it was about a queue that was never met.
    async fn take_told(&mut self) -> bool {
        let told = self.inner.hub.take_told();
        if told.due
            && let Err(error) = sweep::promote(&self.inner, PROMOTED_MAX).await
        {
            // Sweeps find it, too.
            tracing::debug!("bringing tasks into line failed: {error:#}");
        }
        if told.all {
            self.tracks.tell_all();
        }
        if self.met.len() > REMEMBERED_MAX {
            self.met.clear();
        }
        let mut is_new = told.all;
        for (queue, place) in told.queues {
            self.tracks.tell(queue, place);
            is_new |= self.met.insert(queue);
        }
        is_new
    }

    /// Notes who asks in calls that are new, and finds the numbers of queues.
    async fn number(&mut self, again: bool) {
        let desk = &self.inner.claims.desk;
        let calls = desk.to_number(again);
        if calls.is_empty() {
            return;
        }
        let new = calls.iter().filter(|(_, _, is_new)| *is_new);
        let heard: BTreeSet<WorkerId> =
            new.flat_map(|(_, wants, _)| wants.iter().map(|want| want.worker.clone())).collect();
        let queues: BTreeSet<&QueueName> = calls
            .iter()
            .flat_map(|(_, wants, _)| wants.iter())
            .flat_map(|want| want.queues.iter().map(|wanted| &wanted.queue))
            .collect();
        let queues: Vec<&QueueName> = queues.into_iter().collect();
        let known = match hear(&self.inner, &mut self.workers, heard).await {
            Ok(()) => self.inner.names.known(&self.inner.db, &queues).await,
            Err(error) => Err(error),
        };
        let numbers: HashMap<&QueueName, i32> = match &known {
            Ok(known) => queues
                .iter()
                .zip(known)
                .filter_map(|(queue, number)| Some((*queue, (*number)?)))
                .collect(),
            Err(error) => return calls.iter().for_each(|(ticket, ..)| desk.fail(*ticket, error)),
        };
        for (ticket, wants, _) in &calls {
            let of = |want: &Want| {
                let queues = want.queues.iter();
                queues.map(|wanted| numbers.get(&wanted.queue).copied()).collect()
            };
            desk.number(*ticket, wants.iter().map(of).collect());
        }
    }

    /// Now and then it is looked below the frontier, too.
    fn look_back(&mut self, now: Duration, waiting: &[Waiting]) {
        if now < self.look_back_at || planted("latecomer-missed") {
            return;
        }
        for key in waiting.iter().flat_map(keys) {
            self.tracks.track(&key).look_back();
        }
    }

    fn may_get_something(&self, call: &Waiting) -> bool {
        keys(call).any(|key| self.tracks.is_hot(&key))
    }

    /// Claims for these calls. `true` if there is more to do at once.
    async fn serve(&mut self, asking: Vec<Waiting>, is_sure: bool) -> bool {
        let inner = Arc::clone(&self.inner);
        let desk = &inner.claims.desk;
        desk.send(asking.iter().map(|call| call.ticket));
        let is_sure = is_sure || asking.iter().any(|call| call.is_last);
        let job = self.job(&asking, is_sure);
        if job.queues.is_empty() {
            // Nobody has ever enqueued anything there.
            for call in &asking {
                if call.is_last {
                    desk.answer(call.ticket, Ok(vec![Vec::new(); call.wants.len()]));
                } else {
                    desk.back(call.ticket, true);
                }
            }
            return false;
        }
        let began = inner.pace.monotonic();
        let looks_back = job.walks.iter().any(|(_, walk)| walk.looks_back());
        let claimed = inner.db.write("lease", |tx| claim(tx, &job)).await;
        let ended = inner.pace.monotonic();
        if looks_back {
            let cost = ended.saturating_sub(began);
            self.look_back_at = self.look_back_at.max(ended) + cost * LOOK_BACK_SHARE;
        }
        match claimed {
            Ok(claimed) => {
                self.learn(&job, &claimed, ended);
                self.hand_out(&asking, &job, claimed)
            }
            Err(error) if is_lock_timeout(&error) => {
                for call in &asking {
                    desk.back(call.ticket, false);
                }
                true
            }
            Err(error) => {
                // What was leased after all runs out. It is not given back: by now the same worker
                // may have the same task from another server, and none can tell the two apart.
                for call in &asking {
                    desk.fail(call.ticket, &error);
                }
                false
            }
        }
    }

    /// What these calls want, in the words of a claim.
    fn job(&mut self, asking: &[Waiting], is_sure: bool) -> Job {
        let mut demand: BTreeMap<i32, u32> = BTreeMap::new();
        let mut wanted: BTreeSet<Key> = BTreeSet::new();
        for (want, from) in asking.iter().flat_map(wants) {
            for (queue, most) in from {
                let demand = demand.entry(queue).or_default();
                *demand = demand.saturating_add(most.min(want.max));
                wanted.insert((queue, Arc::clone(&want.kinds)));
            }
        }
        let most = u32::try_from(limits::ITEMS_MAX).unwrap_or(u32::MAX);
        for demand in demand.values_mut() {
            *demand = (*demand).min(most);
        }
        let numbers: Vec<i32> = demand.keys().copied().collect();
        let (mut asks, mut ttls) = (Vec::new(), Vec::new());
        for (want, from) in asking.iter().flat_map(wants) {
            let from = from
                .into_iter()
                .filter_map(|(queue, most)| Some((numbers.binary_search(&queue).ok()?, most)));
            ttls.push(span(want.ttl));
            asks.push(Ask {
                worker: want.worker.clone(),
                last_grant: self.workers.get(&want.worker).map_or(0, |known| known.last_grant),
                from: from.collect(),
                kinds: Arc::clone(&want.kinds),
                left: want.max,
            });
        }
        let walks = wanted.into_iter().map(|key| {
            let demand = demand.get(&key.0).copied().unwrap_or_default();
            let walk = self.tracks.track(&key).walk(demand, is_sure);
            (key, walk)
        });
        let walks = walks.collect();
        let mut names: BTreeMap<i32, QueueName> = BTreeMap::new();
        for (want, own) in asking.iter().flat_map(|call| call.wants.iter().zip(&*call.numbers)) {
            let named = want.queues.iter().zip(own).filter_map(|(from, no)| Some(((*no)?, from)));
            let named = named.filter(|(no, _)| demand.contains_key(no));
            names.extend(named.map(|(no, from)| (no, from.queue.clone())));
        }
        let served = |queue| self.served.get(&queue).copied().unwrap_or_default();
        Job {
            queues: numbers.into_iter().map(|queue| (queue, served(queue))).collect(),
            names: names.into_values().collect(),
            wait_for: self.busy.take().filter(|queue| demand.contains_key(queue)),
            asks,
            ttls,
            walks,
            grants: self.grants,
            wants_running: self.tracks.wants_running(self.inner.pace.monotonic()),
        }
    }

    /// Takes over what a claim has seen and done.
    fn learn(&mut self, job: &Job, claimed: &Claimed, now: Duration) {
        for given in &claimed.given {
            self.grants = self.grants.max(given.grant);
            self.served.insert(claimed.offers[given.offer].queue, given.grant);
            let worker = &job.asks[given.ask].worker;
            if let Some(known) = self.workers.get_mut(worker) {
                known.last_grant = given.grant;
            }
        }
        let given: HashSet<(usize, usize)> =
            claimed.given.iter().map(|given| (given.offer, given.task)).collect();
        for (key, walk) in &claimed.walks {
            let Ok(at) = job.queues.binary_search_by_key(&key.0, |(queue, _)| *queue) else {
                continue;
            };
            let offer = &claimed.offers[at];
            // Of each line, what somebody with these kinds could still have: the first, and how
            // many.
            let mut left: HashMap<i32, (i64, u32)> = HashMap::new();
            for (number, task) in offer.tasks.iter().enumerate() {
                if !given.contains(&(at, number)) && fits(&key.1, &task.kind) {
                    left.entry(task.line).or_insert((task.place, 0)).1 += 1;
                }
            }
            let track = self.tracks.track(key);
            track.learn(walk, |line| left.get(&line).copied());
            track.shut = offer.room == 0;
            if offer.room == 0 && claimed.limited.contains(&key.0) {
                self.inner.hub.await_room(key.0);
            }
        }
        let busy = job.queues.iter().find(|(queue, _)| !claimed.held.contains(queue));
        self.busy = busy.map(|(queue, _)| *queue);
        if let Some(running) = claimed.running {
            self.tracks.flow(now, running);
        }
        if self.served.len() > REMEMBERED_MAX {
            self.served.clear();
        }
        let wanted: HashSet<&Key> = job.walks.iter().map(|(key, _)| key).collect();
        self.tracks.trim(|key| wanted.contains(key));
    }

    /// Gives everybody his share. `true` if somebody has none who might get one at once.
    fn hand_out(&self, asking: &[Waiting], job: &Job, mut claimed: Claimed) -> bool {
        let desk = &self.inner.claims.desk;
        let mut shares: Vec<Vec<haulier_core::Lease>> = vec![Vec::new(); job.asks.len()];
        for given in &claimed.given {
            let id = claimed.offers[given.offer].tasks[given.task].id;
            shares[given.ask].extend(claimed.leases.remove(&id));
        }
        let is_full = claimed.given.len() >= limits::ITEMS_MAX;
        let seen = seen(&claimed);
        let mut shares = shares.into_iter();
        let mut goes_on = false;
        for call in asking {
            let share: Vec<_> = shares.by_ref().take(call.wants.len()).collect();
            let is_served = share.iter().any(|leases| !leases.is_empty());
            let is_done = !is_full && keys(call).all(|key| seen.contains(&key));
            if is_served || (call.is_last && is_done) {
                desk.answer(call.ticket, Ok(share));
            } else {
                goes_on |= call.is_last || self.may_get_something(call);
                desk.back(call.ticket, is_done);
            }
        }
        goes_on
    }

    /// Gives back what was claimed for nobody.
    async fn give_back(&self) {
        let keys = self.inner.claims.desk.orphans();
        for keys in keys.chunks(limits::ITEMS_MAX) {
            let release = |key: &LeaseKey| Settlement { key: *key, outcome: Outcome::Release };
            let ends = keys.iter().map(release).collect();
            if let Err(error) = settle::settle(&self.inner, ends).await {
                // They run out.
                tracing::debug!("leases could not be given back: {error:#}");
            }
        }
    }
}

/// Notes signs of life, for as many as have not had theirs noted just now.
async fn hear(
    inner: &Inner,
    known: &mut HashMap<WorkerId, Known>,
    mut workers: BTreeSet<WorkerId>,
) -> Result<()> {
    let now = inner.clock.monotonic();
    workers.retain(|worker| {
        let heard_at = known.get(worker).and_then(|known| known.heard_at);
        heard_at.is_none_or(|at| now.saturating_sub(at) >= HEARD_EVERY)
    });
    if workers.is_empty() {
        return Ok(());
    }
    // Whoever was forgotten is like one that was never served.
    let new = workers::heard(inner, &workers).await?;
    if known.len() + workers.len() > REMEMBERED_MAX {
        known.retain(|_, known| {
            let at = known.heard_at.unwrap_or_default();
            now.saturating_sub(at) < limits::WORKER_FORGOTTEN_AFTER
        });
    }
    for worker in workers {
        let is_new = new.contains(&worker);
        let known = known.entry(worker).or_default();
        known.heard_at = Some(now);
        if is_new {
            known.last_grant = 0;
        }
    }
    Ok(())
}

/// The wants of a call, each with its queues and what may come from them.
fn wants(call: &Waiting) -> impl Iterator<Item = (&Want, Vec<(i32, u32)>)> {
    call.wants.iter().zip(call.numbers.iter()).map(|(want, numbers)| (want, from(want, numbers)))
}

fn from(want: &Want, numbers: &[Option<i32>]) -> Vec<(i32, u32)> {
    let queues = want.queues.iter().zip(numbers);
    let queues = queues.filter(|(wanted, _)| want.max > 0 && wanted.max > 0);
    queues.filter_map(|(wanted, number)| Some(((*number)?, wanted.max))).collect()
}

/// Whose lines a call waits for.
fn keys(call: &Waiting) -> impl Iterator<Item = Key> {
    wants(call).flat_map(|(want, from)| {
        from.into_iter().map(|(queue, _)| (queue, Arc::clone(&want.kinds)))
    })
}

fn fits(kinds: &[Kind], kind: &str) -> bool {
    kinds.is_empty() || kinds.iter().any(|known| known.as_str() == kind)
}

/// Whose lines were seen as far as there is something to be had.
fn seen(claimed: &Claimed) -> HashSet<Key> {
    let open = claimed.offers.iter().filter(|offer| offer.room > 0);
    let open: HashSet<i32> = open.map(|offer| offer.queue).collect();
    let seen = claimed.walks.iter().filter(|(key, walk)| {
        claimed.held.contains(&key.0) && (!open.contains(&key.0) || walk.is_complete())
    });
    seen.map(|(key, _)| key.clone()).collect()
}

/// Whether a mutex was not got in time.
fn is_lock_timeout(error: &Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<tokio_postgres::Error>() {
            return error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE);
        }
        source = error.source();
    }
    false
}
