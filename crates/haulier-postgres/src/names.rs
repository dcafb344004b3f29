//! Queue names and the numbers that stand for them in tables. A number is for ever: so what was
//! read once needs no asking again, unless the database becomes another one.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use haulier_core::{Error, QueueName, Result, limits};

use crate::db::{Db, sql};

/// Names that are remembered; beyond it, all are forgotten and read again.
const REMEMBERED_MAX: usize = 65_536;

/// What is known of the names.
#[derive(Debug, Default)]
pub(crate) struct Names(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Of which database it is known; see [`Db::era`].
    era: u64,
    numbers: HashMap<QueueName, i32>,
}

impl Names {
    /// The numbers of these queues, made where there are none. A queue for which there is no more
    /// room has none.
    pub(crate) async fn numbers(&self, db: &Db, queues: &[&QueueName]) -> Result<Vec<Option<i32>>> {
        let found = self.known(db, queues).await?;
        let missing: Vec<&str> = queues
            .iter()
            .zip(&found)
            .filter(|(_, number)| number.is_none())
            .map(|(queue, _)| queue.as_str())
            .collect();
        if missing.is_empty() {
            return Ok(found);
        }
        // It looks again itself, for somebody else may make the same queue meanwhile.
        let most = i64::try_from(limits::QUEUES_MAX).unwrap_or(i64::MAX);
        db.write_one("enqueue", sql!("queue_make"), &[&missing, &most]).await?;
        self.known(db, queues).await
    }

    /// The number of a queue, made if there is none; none if there is no room for one more.
    pub(crate) async fn number(&self, db: &Db, queue: &QueueName) -> Result<Option<i32>> {
        Ok(self.numbers(db, &[queue]).await?.into_iter().next().flatten())
    }

    /// The numbers of those of these queues that there are.
    pub(crate) async fn known(&self, db: &Db, queues: &[&QueueName]) -> Result<Vec<Option<i32>>> {
        let era = db.era();
        let mut found = self.remembered(era, queues);
        let missing: Vec<&str> = queues
            .iter()
            .zip(&found)
            .filter(|(_, number)| number.is_none())
            .map(|(queue, _)| queue.as_str())
            .collect();
        if missing.is_empty() {
            return Ok(found);
        }
        let rows = db.read_one("queues", sql!("queue_numbers"), &[&missing]).await?;
        let read = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        let read: HashMap<&str, i32> = read
            .collect::<Result<_, tokio_postgres::Error>>()
            .map_err(|error| Error::internal("a queue's row cannot be read").caused_by(error))?;
        for (queue, number) in queues.iter().zip(&mut found) {
            *number = number.or_else(|| read.get(queue.as_str()).copied());
        }
        self.remember(era, queues, &found);
        Ok(found)
    }

    fn remembered(&self, era: u64, queues: &[&QueueName]) -> Vec<Option<i32>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let number = |queue: &&QueueName| known.numbers.get(*queue).copied();
        queues.iter().map(|queue| number(queue).filter(|_| known.era == era)).collect()
    }

    fn remember(&self, era: u64, queues: &[&QueueName], numbers: &[Option<i32>]) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.era != era || known.numbers.len() + queues.len() > REMEMBERED_MAX {
            *known = Known { era, numbers: HashMap::new() };
        }
        for (queue, number) in queues.iter().zip(numbers) {
            if let Some(number) = number {
                known.numbers.insert((*queue).clone(), *number);
            }
        }
    }
}
