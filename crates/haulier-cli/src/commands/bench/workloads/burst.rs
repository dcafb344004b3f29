//! A delayed burst: tasks that are all due at the same moment, with workers waiting for them. How
//! late do they start, and how fast are they gone?

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use haulier_core::Start;

use super::{Case, Round, Value, quantiles};
use crate::commands::bench::run::{Amount, Callers, Job, Make};
use crate::commands::bench::site::Site;
use crate::exit::Result;
use crate::text;

/// How long each task may take to be handed over before the burst is due; and all of them together,
/// besides.
const HAND_OVER: Duration = Duration::from_micros(20);
const HEAD_START: Duration = Duration::from_secs(1);

/// So many tasks that are due at once.
#[derive(Debug)]
pub struct Burst {
    /// Tasks.
    pub tasks: u32,
    /// Producers and workers.
    pub callers: Callers,
}

#[async_trait]
impl Case for Burst {
    fn label(&self) -> String {
        format!("{} due at once", text::number(self.tasks.into()))
    }

    async fn round(&self, site: &mut Site) -> Result<Round> {
        let run = site.run("burst", None)?;
        let now = site.clock.read();
        let delay = HEAD_START + HAND_OVER * self.tasks;
        let (due, at) = (now.monotonic + delay, now.wall.after(delay));
        let make: Make = Arc::new(move |run, client| {
            let mut task = run.task(client, due);
            task.start = Start::At(at);
            Ok(task)
        });
        let amount = Amount::Tasks(self.tasks.into());
        let mut books = run.produce(&site.clients, self.callers, amount, &make).await?;
        run.close();
        // On a machine that takes longer to hand over the burst begins when that is done.
        let began = due.max(site.clock.monotonic());
        books.add(run.work(&site.clients, self.callers, Job::START).await?);
        let took = site.clock.monotonic().saturating_sub(began);
        let audited = books.audit()?;
        let [p50, p99] = quantiles(&audited);
        let values = vec![
            Value::rate("tasks_per_second", audited.tasks, took),
            Value { name: "late_p50", ..p50 },
            Value { name: "late_p99", ..p99 },
        ];
        Ok(Round { audited, values })
    }
}
