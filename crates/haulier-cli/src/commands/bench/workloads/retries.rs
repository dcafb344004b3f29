//! Retries: the first attempt of every task fails, and the second completes it. What a failure
//! costs is stored, paused, and delivered again.

use std::time::Duration;

use async_trait::async_trait;
use haulier_core::{Cause, Failure, Lease, Outcome};

use super::{Case, Round, Value, flow};
use crate::commands::bench::run::{Amount, Callers, Job, Run, Until};
use crate::commands::bench::site::Site;
use crate::exit::Result;

/// The pause before the second attempt.
const PAUSE: Duration = Duration::from_millis(10);

/// Tasks that fail once.
#[derive(Debug)]
pub struct Retries {
    /// Producers, and workers.
    pub callers: Callers,
    /// How much.
    pub amount: Amount,
}

#[async_trait]
impl Case for Retries {
    fn label(&self) -> String {
        let Callers { count, batch } = self.callers;
        format!("{count} × {count}, batch {batch}, each fails once")
    }

    async fn round(&self, site: &mut Site) -> Result<Round> {
        let run = site.run("retries", Some(self.callers.window()))?;
        let job = Job { until: Until::Accepted, outcome: fail_once };
        let work = (&Run::plain(), job);
        let (books, took) = flow(site, &run, self.callers, self.amount, work).await?;
        let failed = books.failed;
        let audited = books.audit()?;
        let values = vec![
            Value::rate("tasks_per_second", audited.tasks, took),
            Value::rate("attempts_per_second", audited.tasks + failed, took),
        ];
        Ok(Round { audited, values })
    }
}

fn fail_once(lease: &Lease) -> Outcome {
    match lease.attempt {
        1 => Outcome::Fail {
            failure: Failure::new(Cause::Error, "the first attempt fails"),
            retry_in: Some(PAUSE),
        },
        _ => Outcome::Complete { result: None },
    }
}
