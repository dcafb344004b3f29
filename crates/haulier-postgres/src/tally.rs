//! Changes of counts, gathered while a verb decides, and written as one row a queue. Nobody ever
//! updates a count, so nobody waits for one.

use std::collections::BTreeMap;

use haulier_core::State;

use crate::db::{Failed, Tx, sql};

/// What a verb changes in the counts of queues.
#[derive(Debug, Default)]
pub(crate) struct Tally(BTreeMap<i32, Row>);

#[derive(Debug, Default, Clone, Copy)]
struct Row {
    states: [i64; State::ALL.len()],
    removed: i64,
    finished: i64,
}

impl Tally {
    /// A task came from one state into another one.
    pub(crate) fn moved(&mut self, queue: i32, from: State, to: State) {
        let row = self.0.entry(queue).or_default();
        row.states[from as usize] -= 1;
        row.states[to as usize] += 1;
    }

    /// A task became final.
    pub(crate) fn finished(&mut self, queue: i32) {
        self.0.entry(queue).or_default().finished += 1;
    }

    /// Tasks are gone.
    pub(crate) fn removed(&mut self, queue: i32, state: State, tasks: i64) {
        let row = self.0.entry(queue).or_default();
        row.states[state as usize] -= tasks;
        row.removed += tasks;
    }

    /// Writes the changes.
    pub(crate) async fn save(&self, tx: &Tx<'_>) -> Result<(), Failed> {
        if self.0.is_empty() {
            return Ok(());
        }
        let queues: Vec<i32> = self.0.keys().copied().collect();
        let column = |of: fn(&Row) -> i64| self.0.values().map(of).collect::<Vec<i64>>();
        let state = |state: State| {
            self.0.values().map(|row| row.states[state as usize]).collect::<Vec<i64>>()
        };
        tx.execute(
            sql!("tally"),
            &[
                &queues,
                &state(State::Scheduled),
                &state(State::Available),
                &state(State::Running),
                &state(State::Retryable),
                &state(State::Completed),
                &state(State::Cancelled),
                &state(State::Dead),
                &column(|row| row.removed),
                &column(|row| row.finished),
            ],
        )
        .await?;
        Ok(())
    }
}
