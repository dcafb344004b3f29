//! Recovery: a server with a backlog is killed as by a power cut and started again. How long from
//! its start to the first delivery? Everything that was acknowledged before has to be there.

use async_trait::async_trait;

use super::{Case, Counting, Round, Value, drain, fill};
use crate::commands::bench::books::Books;
use crate::commands::bench::run::{Amount, Callers, Job, Run};
use crate::commands::bench::site::Site;
use crate::exit::{Exit, Failed, Result};
use crate::text;

/// So many tasks that wait.
#[derive(Debug)]
pub struct Recovery {
    /// Tasks that wait.
    pub pending: u64,
    /// Producers and workers.
    pub callers: Callers,
}

#[async_trait]
impl Case for Recovery {
    fn label(&self) -> String {
        format!("kill -9 with {} pending", text::number(self.pending))
    }

    fn counting(&self) -> Counting {
        Counting::Not("its time is that of a start")
    }

    fn needs_server(&self) -> bool {
        true
    }

    async fn round(&self, site: &mut Site) -> Result<Round> {
        let run = site.run("recovery", None)?;
        let amount = Amount::Tasks(self.pending);
        let (mut books, _) = fill(site, &run, self.callers, amount, &Run::plain()).await?;
        let began = site.kill_and_restart().await?;
        let began = began.ok_or_else(|| Failed::new(Exit::Bug, "there is no server to kill"))?;
        let took = first_delivery(site, &run, &mut books).await?.saturating_sub(began);
        let (drained, _) = drain(site, &run, self.callers, Job::COMPLETE).await?;
        books.add(drained);
        let audited = books.audit()?;
        let values = vec![Value::less("first_delivery", "s", took.as_secs_f64())];
        Ok(Round { audited, values })
    }
}

/// When somebody got a task again.
async fn first_delivery(site: &Site, run: &Run, books: &mut Books) -> Result<std::time::Duration> {
    let queue = site.client().queue();
    let leases = run.take(&*queue, &run.worker_id(0)?, 1).await?;
    let got = site.clock.monotonic();
    run.end(&*queue, &leases, Job::COMPLETE, books).await?;
    Ok(got)
}
