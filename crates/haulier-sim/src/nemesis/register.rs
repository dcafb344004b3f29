//! A resource that is fenced: it remembers the largest epoch that wrote a task's entry, and takes
//! no smaller one. What a handler does outside of Haulier is safe exactly if guarded like this.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use haulier_core::{LeaseKey, State, TaskId};

use crate::history::{Asked, Got, Key, Line, Settlement, StateWord, What};

/// The newest epoch that wrote each task's entry.
#[derive(Debug, Default)]
pub struct Register(Mutex<BTreeMap<TaskId, u64>>);

impl Register {
    /// Writes, unless a larger epoch was here before; whether it was taken.
    pub fn write(&self, key: LeaseKey) -> bool {
        let mut newest = self.lock();
        let newest = newest.entry(key.task).or_default();
        let taken = key.epoch.0 >= *newest;
        *newest = key.epoch.0.max(*newest);
        taken
    }

    /// Completions that the store accepted although another delivery wrote last: the fence of the
    /// store and that of the register must agree (I2). Of a store that may have lost what it
    /// accepted (`forgets`), only the last completion of a task counts.
    pub fn disagreements(&self, lines: &[Line], forgets: bool) -> Vec<String> {
        let newest = self.lock();
        let mut asked = BTreeMap::new();
        let mut completed = Vec::new();
        for line in lines {
            match &line.what {
                What::Invoke { b, n, asked: Asked::Settle { key, .. } } => {
                    asked.insert((*b, *n), *key);
                }
                What::Ok { b, n, got: Got::Settle(Settlement::Applied { state, .. }) }
                    if *state == StateWord(State::Completed) =>
                {
                    completed.extend(asked.get(&(*b, *n)));
                }
                _ => {}
            }
        }
        if forgets {
            let last: BTreeMap<TaskId, Key> =
                completed.into_iter().map(|key: Key| (key.task, key)).collect();
            completed = last.into_values().collect();
        }
        let wrote = |key: &Key| newest.get(&key.task).copied();
        completed.retain(|key| wrote(key) != Some(key.epoch));
        let says = |key: &Key| {
            let (task, epoch, wrote) = (key.task, key.epoch, wrote(key));
            format!("I2 of task {task}: completed by epoch {epoch}, but {wrote:?} wrote last")
        };
        completed.iter().map(says).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TaskId, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use haulier_core::{Ended, Epoch, ManualClock};

    use super::*;
    use crate::history::{EndedWord, Recorder};

    fn key(epoch: u64) -> LeaseKey {
        LeaseKey { task: TaskId::from_bytes([1; 16]), epoch: Epoch(epoch) }
    }

    #[test]
    fn a_smaller_epoch_is_refused_after_a_larger_one() {
        let register = Register::default();
        assert!(register.write(key(1)) && register.write(key(3)) && register.write(key(3)));
        assert!(!register.write(key(2)));
    }

    #[test]
    fn a_completion_by_whoever_did_not_write_last_is_found() {
        let recorder = Recorder::new(Arc::new(ManualClock::new()));
        let (p, b, n) = (Arc::from("w1"), recorder.call(), 0);
        let (outcome, again_ms) = (EndedWord(Ended::Complete), None);
        let asked = Asked::Settle { key: Key::from(key(2)), outcome, again_ms };
        recorder.record(&p, What::Invoke { b, n, asked });
        let settled = Settlement::Applied { state: StateWord(State::Completed), late: false };
        recorder.record(&p, What::Ok { b, n, got: Got::Settle(settled) });
        let register = Register::default();
        register.write(key(2));
        assert!(register.disagreements(&recorder.lines(), false).is_empty());
        register.write(key(3));
        assert!(register.disagreements(&recorder.lines(), false)[0].starts_with("I2"));
        assert_eq!(register.disagreements(&recorder.lines(), true).len(), 1);
        // The store forgot that completion, and accepted another one.
        let b = recorder.call();
        let asked = Asked::Settle { key: Key::from(key(3)), outcome, again_ms };
        recorder.record(&p, What::Invoke { b, n, asked });
        recorder.record(&p, What::Ok { b, n, got: Got::Settle(settled) });
        assert_eq!(register.disagreements(&recorder.lines(), false).len(), 1);
        assert!(register.disagreements(&recorder.lines(), true).is_empty());
    }
}
