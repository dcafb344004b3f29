//! One direction at a time: handing over while nobody takes, and taking while nobody hands over.
//! Never the headline: a queue that is fast in one direction may be slow as a whole. What is not
//! timed happens all the same, so that the books balance.

use async_trait::async_trait;

use super::{Case, Round, Value, drain, fill};
use crate::commands::bench::run::{Amount, Callers, Job, Run};
use crate::commands::bench::site::Site;
use crate::exit::Result;

/// Which direction is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Enqueue.
    In,
    /// Deliver and complete.
    Out,
    /// Both, one after the other.
    Both,
}

/// Callers in one direction.
#[derive(Debug)]
pub struct OneWay {
    /// Which one.
    pub way: Way,
    /// Producers, and then workers.
    pub callers: Callers,
    /// How much.
    pub amount: Amount,
}

#[async_trait]
impl Case for OneWay {
    fn label(&self) -> String {
        let Callers { count, batch } = self.callers;
        let who = match self.way {
            Way::In => "producers",
            Way::Out => "workers",
            Way::Both => "callers",
        };
        format!("{count} {who}, batch {batch}")
    }

    async fn round(&self, site: &mut Site) -> Result<Round> {
        let run = site.run("one-way", None)?;
        let (mut books, filled) =
            fill(site, &run, self.callers, self.amount, &Run::plain()).await?;
        let (drained_books, drained) = drain(site, &run, self.callers, Job::COMPLETE).await?;
        books.add(drained_books);
        let audited = books.audit()?;
        let enqueued = Value::rate("enqueued_per_second", audited.tasks, filled);
        let completed = Value::rate("completed_per_second", audited.tasks, drained);
        let values = match self.way {
            Way::In => vec![enqueued],
            Way::Out => vec![completed],
            Way::Both => vec![enqueued, completed],
        };
        Ok(Round { audited, values })
    }
}
