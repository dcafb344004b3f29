//! The claimer: the one task of a server that claims. It gathers what calls want, has it claimed,
//! and hands it out; and it knows when looking again may be of use.
//!
//! It looks when a call comes in, when something was told about a queue that somebody waits for,
//! when time brings something about, and, because what other servers tell may be lost, now and then
//! by itself.

use std::sync::Arc;
use std::time::Duration;

use haulier_core::{Code, Error, Lease, LeaseKey, Outcome, Result, Settlement, limits};

use super::desk::Waiting;
use crate::notify::{self, Told};
use crate::store::Inner;
use crate::{lease, settle, time};

/// Serves until the store is closed.
pub(super) async fn run(inner: Arc<Inner>) {
    let mut closing = inner.closing();
    let tick_at = inner.pace.monotonic();
    let mut claimer = Claimer { inner: Arc::clone(&inner), tick_at };
    while !*closing.borrow() {
        let next = inner.hub.alarm().map_or(claimer.tick_at, |at| at.min(claimer.tick_at));
        let pause = next.saturating_sub(inner.pace.monotonic());
        tokio::select! {
            () = inner.hub.claimer_woken() => {}
            () = inner.pace.sleep(pause) => {}
            _ = closing.changed() => break,
        }
        while claimer.round().await {}
    }
    let error = Error::new(Code::Unavailable, "the store is closed");
    inner.claims.desk.close(&error);
    claimer.give_back().await;
}

struct Claimer {
    inner: Arc<Inner>,
    tick_at: Duration,
}

/// Whether a call may get something now that it could not have before.
fn may_get_something(call: &Waiting, told: &Told) -> bool {
    let mut queues = call.wants.iter().flat_map(|want| want.queues.iter());
    told.all || queues.any(|wanted| told.queues.contains(&wanted.queue))
}

impl Claimer {
    /// Claims once. `true` if there is more to do at once.
    async fn round(&mut self) -> bool {
        self.give_back().await;
        let now = self.inner.pace.monotonic();
        let told = self.inner.hub.take_told();
        let is_tick = now >= self.tick_at;
        if is_tick {
            self.tick_at = now + notify::tick(&self.inner);
        }
        let is_due = self.inner.hub.take_alarm(now);
        // A lease runs out only by a time that is certain.
        if is_due && let Err(error) = time::keep(&self.inner).await {
            tracing::debug!("the time could not be kept: {error:#}");
        }
        let is_sure = is_due || is_tick;
        let desk = &self.inner.claims.desk;
        let asking: Vec<Waiting> = desk
            .waiting()
            .into_iter()
            .filter(|call| call.is_last || call.is_new || is_sure || may_get_something(call, &told))
            .collect();
        let mut goes_on = false;
        let mut rest = asking.as_slice();
        while !rest.is_empty() {
            // As many wants as one script takes; a single call never has more.
            let mut wants = 0;
            let fit = rest.iter().take_while(|call| {
                wants += call.wants.len();
                wants <= limits::ITEMS_MAX
            });
            let (now, later) = rest.split_at(fit.count().max(1));
            goes_on |= self.serve(now).await;
            rest = later;
        }
        goes_on
    }

    /// Claims for these calls. `true` if there is more to do at once.
    async fn serve(&self, asking: &[Waiting]) -> bool {
        let desk = &self.inner.claims.desk;
        desk.send(asking.iter().map(|call| call.ticket));
        let wants = asking.iter().flat_map(|call| call.wants.iter());
        match lease::lease(&self.inner, wants).await {
            Ok(shares) => self.hand_out(asking, shares),
            Err(error) => {
                for call in asking {
                    desk.fail(call.ticket, &error);
                }
                false
            }
        }
    }

    /// Gives everybody his share. `true` if somebody has none who might get one at once.
    fn hand_out(&self, asking: &[Waiting], shares: Vec<Vec<Lease>>) -> bool {
        let is_full = shares.iter().map(Vec::len).sum::<usize>() >= limits::ITEMS_MAX;
        let mut shares = shares.into_iter();
        let mut goes_on = false;
        for call in asking {
            let share: Vec<_> = shares.by_ref().take(call.wants.len()).collect();
            let is_served = share.iter().any(|leases| !leases.is_empty());
            let answer = (is_served || (call.is_last && !is_full)).then_some(Ok(share));
            goes_on |= answer.is_none() && is_full;
            self.inner.claims.desk.back(call.ticket, answer);
        }
        if goes_on {
            self.inner.hub.tell_all();
        }
        goes_on
    }

    /// Gives back what was claimed for nobody.
    async fn give_back(&self) {
        let keys = self.inner.claims.desk.orphans();
        for keys in keys.chunks(limits::ITEMS_MAX) {
            let release = |key: &LeaseKey| Settlement { key: *key, outcome: Outcome::Release };
            let ends = keys.iter().map(release).collect();
            let given_back: Result<_> = settle::settle(&self.inner, ends).await;
            if let Err(error) = given_back {
                // They run out.
                tracing::debug!("leases could not be given back: {error:#}");
            }
        }
    }
}
