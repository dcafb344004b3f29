//! Whole lifecycles, as fast as they go: enqueue, deliver, complete, each acknowledged. Producers
//! and workers run at the same time; what is under way is bounded, so that the queue does not just
//! fill.

use async_trait::async_trait;

use super::{Case, Round, Value, flow, quantiles};
use crate::commands::bench::run::{Amount, Callers, Job, Run};
use crate::commands::bench::site::Site;
use crate::exit::Result;

/// So many producers and as many workers.
#[derive(Debug)]
pub struct Lifecycle {
    /// Producers, and workers.
    pub callers: Callers,
    /// How much.
    pub amount: Amount,
}

#[async_trait]
impl Case for Lifecycle {
    fn label(&self) -> String {
        let Callers { count, batch } = self.callers;
        format!("{count} × {count}, batch {batch}")
    }

    async fn round(&self, site: &mut Site) -> Result<Round> {
        let run = site.run("lifecycle", Some(self.callers.window()))?;
        let work = (&Run::plain(), Job::COMPLETE);
        let (books, took) = flow(site, &run, self.callers, self.amount, work).await?;
        let audited = books.audit()?;
        let mut values = vec![Value::rate("tasks_per_second", audited.tasks, took)];
        values.extend(quantiles(&audited));
        Ok(Round { audited, values })
    }
}
