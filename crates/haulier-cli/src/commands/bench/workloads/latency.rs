//! From enqueue to start at a steady rate. An open loop: tasks are handed over when their time has
//! come, whether or not earlier ones were answered, and their time counts from then. A server that
//! stalls cannot slow down the clients that measure it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use haulier::Client;
use haulier_core::NewTask;
use tokio::task::JoinSet;

use super::{Case, Round, quantiles};
use crate::commands::bench::books::Books;
use crate::commands::bench::run::{Callers, Job, Run, gather};
use crate::commands::bench::site::Site;
use crate::exit::Result;

/// So many tasks a second, for so long.
#[derive(Debug)]
pub struct Latency {
    /// Tasks a second.
    pub rate: u32,
    /// How many.
    pub tasks: u32,
}

#[async_trait]
impl Case for Latency {
    fn label(&self) -> String {
        format!("{} a second", self.rate)
    }

    async fn round(&self, site: &mut Site) -> Result<Round> {
        let run = site.run("latency", None)?;
        let callers = Callers { count: site.clients.len(), batch: 1 };
        let produce = async {
            let task = |client: &Client, due| Ok(run.task(client, due));
            let books = open_loop(site, &run, self.rate, |sent| sent < self.tasks, task).await?;
            run.close();
            Ok(books)
        };
        let (mut books, worked) =
            tokio::try_join!(produce, run.work(&site.clients, callers, Job::START))?;
        books.add(worked);
        let audited = books.audit()?;
        let values = quantiles(&audited).into();
        Ok(Round { audited, values })
    }
}

/// Hands over `rate` tasks a second, one a call, in turn over the connections, for as long as
/// `goes_on` says so of the number that was handed over.
pub async fn open_loop(
    site: &Site,
    run: &Arc<Run>,
    rate: u32,
    goes_on: impl Fn(u32) -> bool,
    make: impl Fn(&Client, Duration) -> Result<NewTask>,
) -> Result<Books> {
    let began = run.clock.monotonic();
    let mut calls = JoinSet::new();
    for (number, client) in (0..).zip(site.clients.iter().cycle()) {
        if !goes_on(number) {
            break;
        }
        let due = began + Duration::from_secs(1) * number / rate;
        run.clock.sleep(due.saturating_sub(run.clock.monotonic())).await;
        let (run, queue, task) = (Arc::clone(run), client.queue(), make(client, due)?);
        calls.spawn(async move {
            let mut books = Books::default();
            run.hand_over(&*queue, vec![task], &mut books).await?;
            Ok(books)
        });
    }
    gather(calls).await
}
