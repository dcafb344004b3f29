//! Mixed priorities: workers drain a backlog of every priority but the highest, while urgent tasks
//! of the highest come in at a steady rate. How long do these wait, and how fast is the rest?

use std::sync::Arc;

use async_trait::async_trait;
use haulier::Client;
use haulier_core::Priority;

use super::latency::open_loop;
use super::{Case, Round, Value, quantiles};
use crate::commands::bench::run::{Amount, Callers, Job, Make, Run};
use crate::commands::bench::site::Site;
use crate::exit::Result;
use crate::text;

/// Urgent tasks a second.
const URGENT_RATE: u32 = 100;

/// So many tasks of mixed priorities.
#[derive(Debug)]
pub struct Priorities {
    /// Tasks that are not urgent.
    pub tasks: u64,
    /// Producers and workers.
    pub callers: Callers,
}

#[async_trait]
impl Case for Priorities {
    fn label(&self) -> String {
        format!("{} mixed, {URGENT_RATE} urgent a second", text::number(self.tasks))
    }

    async fn round(&self, site: &mut Site) -> Result<Round> {
        let run = site.run("priorities", None)?;
        let amount = Amount::Tasks(self.tasks);
        let mut books = run.produce(&site.clients, self.callers, amount, &mixed()).await?;
        let began = site.clock.monotonic();
        let urgent = async {
            let make = |client: &Client, due| {
                let mut task = run.task(client, due);
                task.priority = Priority::new(9)?;
                Ok(task)
            };
            // At least one, however fast the rest is drained.
            let goes_on = |sent| sent == 0 || run.accepted_count() < self.tasks;
            let books = open_loop(site, &run, URGENT_RATE, goes_on, make).await?;
            run.close();
            Ok(books)
        };
        let (urgent, worked) =
            tokio::try_join!(urgent, run.work(&site.clients, self.callers, Job::START))?;
        let took = site.clock.monotonic().saturating_sub(began);
        books.add(urgent);
        books.add(worked);
        let audited = books.audit()?;
        let [p50, p99] = quantiles(&audited);
        let values = vec![
            Value::rate("tasks_per_second", audited.tasks, took),
            Value { name: "urgent_p50", ..p50 },
            Value { name: "urgent_p99", ..p99 },
        ];
        Ok(Round { audited, values })
    }
}

/// Tasks of the nine lower priorities, by chance, whose time is not measured.
fn mixed() -> Make {
    Arc::new(|run: &Run, client: &Client| {
        let mut task = run.task(client, std::time::Duration::ZERO);
        let number = u8::try_from(client.entropy().up_to(8)).unwrap_or_default();
        task.priority = Priority::new(number)?;
        Ok(task)
    })
}
