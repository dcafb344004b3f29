//! Who holds unique keys, when tasks are done again: each takes its key back, unless another one
//! holds it by then.

use std::collections::HashMap;

use haulier_core::TaskId;
use uuid::Uuid;

use crate::db::{Failed, Tx, sql};
use crate::known::Known;
use crate::locked::standing;
use crate::now::Now;
use crate::row::{id, uuid};
use crate::text::escape;

type Key = (i32, String);

/// The holders of some tasks' keys, locked.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    of: HashMap<Key, TaskId>,
    /// Holders that are not among the tasks.
    others: HashMap<TaskId, Known>,
    changed: HashMap<Key, TaskId>,
}

impl Holders {
    /// Locks the keys of these tasks.
    pub(crate) async fn lock(
        tx: &Tx<'_>,
        tasks: impl Iterator<Item = &Known>,
    ) -> Result<Self, Failed> {
        let keys: Vec<Key> = tasks.filter_map(key).collect();
        if keys.is_empty() {
            return Ok(Self::default());
        }
        let (queues, keys): (Vec<i32>, Vec<String>) = keys.into_iter().unzip();
        let mut of = HashMap::new();
        let mut ids: Vec<Uuid> = Vec::new();
        for row in tx.query(sql!("holder_lock"), &[&queues, &keys]).await? {
            let task = row.try_get("task")?;
            of.insert((row.try_get("queue")?, row.try_get("key")?), id(task));
            ids.push(task);
        }
        let others = standing(tx, &ids).await?;
        let others = others.into_iter().map(|task| (task.id, task)).collect();
        Ok(Self { of, others, changed: HashMap::new() })
    }

    /// A task is done again, and holds its key again if nobody else does.
    pub(crate) fn hold_again(&mut self, id: TaskId, tasks: &HashMap<TaskId, Known>, now: &Now) {
        let Some(key) = tasks.get(&id).and_then(key) else { return };
        let holder = self.of.get(&key);
        let holder = holder.and_then(|id| tasks.get(id).or_else(|| self.others.get(id)));
        if !holder.is_some_and(|holder| holder.holds_key(now)) {
            self.of.insert(key.clone(), id);
            self.changed.insert(key, id);
        }
    }

    /// Writes down who holds what.
    pub(crate) async fn save(self, tx: &Tx<'_>) -> Result<(), Failed> {
        if self.changed.is_empty() {
            return Ok(());
        }
        let mut changed: Vec<(Key, TaskId)> = self.changed.into_iter().collect();
        changed.sort_unstable();
        let queues: Vec<i32> = changed.iter().map(|((queue, _), _)| *queue).collect();
        let keys: Vec<&str> = changed.iter().map(|((_, key), _)| key.as_str()).collect();
        let tasks: Vec<Uuid> = changed.iter().map(|(_, task)| uuid(*task)).collect();
        tx.execute(sql!("holder_put"), &[&queues, &keys, &tasks]).await?;
        Ok(())
    }
}

/// A task's unique key, as it stands in the table.
fn key(task: &Known) -> Option<Key> {
    let unique = task.unique.as_ref()?;
    Some((task.queue, escape(&unique.key).into_owned()))
}
