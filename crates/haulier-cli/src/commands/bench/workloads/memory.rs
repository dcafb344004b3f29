//! Memory a task: how much more the server holds for each task that waits. The first half of the
//! tasks fills what is bounded, as the cache of payloads; the second half shows what each task
//! costs beyond that. Both are told.

use async_trait::async_trait;

use super::{Case, Counting, Round, Value, drain, float};
use crate::commands::bench::books::Books;
use crate::commands::bench::run::{Amount, Callers, Job, Run};
use crate::commands::bench::site::Site;
use crate::exit::{Exit, Failed, Result};
use crate::text;

/// So many tasks that wait.
#[derive(Debug)]
pub struct Memory {
    /// Tasks that wait.
    pub pending: u64,
    /// Producers and workers.
    pub callers: Callers,
}

#[async_trait]
impl Case for Memory {
    fn label(&self) -> String {
        format!("{} pending", text::number(self.pending))
    }

    fn counting(&self) -> Counting {
        Counting::Not("it is about memory")
    }

    fn needs_server(&self) -> bool {
        true
    }

    async fn round(&self, site: &mut Site) -> Result<Round> {
        let run = site.run("memory", None)?;
        let usage = site.usage();
        let usage = usage.ok_or_else(|| Failed::new(Exit::Bug, "memory without its own server"))?;
        let halves = [self.pending / 2, self.pending - self.pending / 2];
        let (mut books, mut held) = (Books::default(), vec![usage.memory()?]);
        for half in halves {
            let amount = Amount::Tasks(half);
            let made = run.produce(&site.clients, self.callers, amount, &Run::plain()).await?;
            books.add(made);
            held.push(usage.memory()?);
        }
        run.close();
        books.add(drain(site, &run, self.callers, Job::COMPLETE).await?.0);
        let each =
            |from: u64, to: u64, tasks: u64| float(to.saturating_sub(from)) / float(tasks.max(1));
        let values = vec![
            Value::less("second_half", "B/task", each(held[1], held[2], halves[1])),
            Value::less("first_half", "B/task", each(held[0], held[1], halves[0])),
        ];
        Ok(Round { audited: books.audit()?, values })
    }
}
