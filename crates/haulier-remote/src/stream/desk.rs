//! What callers and a stream's actor share. Callers put down here, without waiting, what they give
//! back when they are dropped; the actor looks whenever it is woken.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::HashSet;
use haulier_core::{LeaseKey, Settlement};
use tokio::sync::Notify;

use super::lock;

/// Settlements, each with its place in the call.
type Placed = Vec<(usize, Settlement)>;

/// What callers and the actor of one stream share.
#[derive(Debug, Default)]
pub(super) struct Desk {
    /// Delivered, and not over as far as is known.
    held: Mutex<HashSet<LeaseKey>>,
    back: Mutex<Back>,
    wake: Notify,
    last: AtomicU64,
}

/// What was given back.
#[derive(Debug, Default)]
pub(super) struct Back {
    /// Credits that nobody waits for any more.
    pub credits: Vec<u64>,
    /// Leases that came for a caller that was gone.
    pub leases: Vec<LeaseKey>,
}

impl Desk {
    /// A number for a credit.
    pub fn number(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn holds(&self, key: LeaseKey) -> bool {
        lock(&self.held).contains(&key)
    }

    pub fn holds_all(&self, ends: &[Settlement]) -> bool {
        let held = lock(&self.held);
        ends.iter().all(|end| held.contains(&end.key))
    }

    pub fn hold(&self, keys: impl IntoIterator<Item = LeaseKey>) {
        lock(&self.held).extend(keys);
    }

    pub fn forget(&self, keys: impl IntoIterator<Item = LeaseKey>) {
        let mut held = lock(&self.held);
        for key in keys {
            held.remove(&key);
        }
    }

    pub fn all_held(&self) -> Vec<LeaseKey> {
        lock(&self.held).iter().copied().collect()
    }

    pub fn holds_nothing(&self) -> bool {
        lock(&self.held).is_empty()
    }

    /// Settlements of leases that this stream holds, and the others.
    pub fn part(&self, ends: Placed) -> (Placed, Placed) {
        let held = lock(&self.held);
        ends.into_iter().partition(|(_, end)| held.contains(&end.key))
    }

    /// Nobody waits for this credit any more.
    pub fn give_back_credit(&self, number: u64) {
        lock(&self.back).credits.push(number);
        self.wake.notify_one();
    }

    /// Nobody will run these.
    pub fn give_back_leases(&self, keys: impl IntoIterator<Item = LeaseKey>) {
        lock(&self.back).leases.extend(keys);
        self.wake.notify_one();
    }

    /// What was given back since the last time.
    pub fn take_back(&self) -> Back {
        std::mem::take(&mut *lock(&self.back))
    }

    /// Is ready when something was given back.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }
}
