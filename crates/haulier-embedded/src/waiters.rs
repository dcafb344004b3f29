//! Callers that wait for something to happen: for a task, for the end of tasks, for news. Each has
//! a deadline on the monotonic clock. Nobody is asked again before what he waits for has happened.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use haulier_core::{TaskId, Want, WorkerId};

use crate::inbox::Reception;
use crate::lines::NameId;

/// What somebody waits for.
#[derive(Debug)]
pub enum Wish {
    /// Tasks from these queues.
    Lease(Vec<Want>, Vec<NameId>),
    /// The end of these tasks.
    Get(Vec<TaskId>),
    /// News for this worker.
    Watch(WorkerId),
}

/// Somebody who waits.
#[derive(Debug)]
pub struct Waiter {
    /// For what.
    pub wish: Wish,
    /// Where the answer goes.
    pub reply: Reception,
    deadline: Duration,
}

type Places<K> = HashMap<K, BTreeSet<u64>, RandomState>;

/// Everybody who waits, by what they wait for.
#[derive(Debug, Default)]
pub struct Waiters {
    count: u64,
    all: BTreeMap<u64, Waiter>,
    deadlines: BTreeSet<(Duration, u64)>,
    queues: Places<NameId>,
    tasks: Places<TaskId>,
    workers: Places<WorkerId>,
}

fn put<K: Hash + Eq + Clone>(places: &mut Places<K>, key: &K, number: u64) {
    places.entry(key.clone()).or_default().insert(number);
}

fn drop_from<K: Hash + Eq>(places: &mut Places<K>, key: &K, number: u64) {
    if let Some(set) = places.get_mut(key) {
        set.remove(&number);
        if set.is_empty() {
            places.remove(key);
        }
    }
}

fn at<K: Hash + Eq>(places: &Places<K>, key: &K) -> Vec<u64> {
    places.get(key).map(|set| set.iter().copied().collect()).unwrap_or_default()
}

impl Waiters {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Somebody waits from now on.
    pub fn add(&mut self, wish: Wish, reply: Reception, deadline: Duration) {
        self.count += 1;
        let number = self.count;
        match &wish {
            Wish::Lease(_, queues) => {
                for queue in queues {
                    put(&mut self.queues, queue, number);
                }
            }
            Wish::Get(ids) => {
                for id in ids {
                    put(&mut self.tasks, id, number);
                }
            }
            Wish::Watch(worker) => put(&mut self.workers, worker, number),
        }
        self.deadlines.insert((deadline, number));
        self.all.insert(number, Waiter { wish, reply, deadline });
    }

    /// Somebody waits no more.
    pub fn remove(&mut self, number: u64) -> Option<Waiter> {
        let waiter = self.all.remove(&number)?;
        self.deadlines.remove(&(waiter.deadline, number));
        match &waiter.wish {
            Wish::Lease(_, queues) => {
                for queue in queues {
                    drop_from(&mut self.queues, queue, number);
                }
            }
            Wish::Get(ids) => {
                for id in ids {
                    drop_from(&mut self.tasks, id, number);
                }
            }
            Wish::Watch(worker) => drop_from(&mut self.workers, worker, number),
        }
        Some(waiter)
    }

    /// Somebody who waits.
    pub fn get(&self, number: u64) -> Option<&Waiter> {
        self.all.get(&number)
    }

    /// Who waits for tasks of a queue; who has gone away is forgotten.
    pub fn for_queue(&mut self, queue: NameId) -> Vec<u64> {
        let (gone, here): (Vec<u64>, Vec<u64>) = at(&self.queues, &queue)
            .into_iter()
            .partition(|number| self.all.get(number).is_none_or(|it| it.reply.is_closed()));
        for number in gone {
            self.remove(number);
        }
        here
    }

    /// Who waits for the end of a task.
    pub fn for_task(&self, id: TaskId) -> Vec<u64> {
        if self.tasks.is_empty() { Vec::new() } else { at(&self.tasks, &id) }
    }

    /// Who waits for news for a worker.
    pub fn for_worker(&self, worker: &WorkerId) -> Vec<u64> {
        at(&self.workers, worker)
    }

    /// When the next one has waited long enough.
    pub fn next(&self) -> Option<Duration> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Takes somebody who has waited long enough.
    pub fn take_late(&mut self, now: Duration) -> Option<Waiter> {
        let (_, number) = *self.deadlines.first().filter(|(deadline, _)| *deadline <= now)?;
        self.remove(number)
    }

    /// Takes everybody.
    pub fn take_all(&mut self) -> impl Iterator<Item = Waiter> {
        let all = std::mem::take(self).all;
        all.into_values()
    }
}
