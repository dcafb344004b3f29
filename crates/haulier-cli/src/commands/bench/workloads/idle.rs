//! What it costs to do nothing: queues in which nothing happens, and workers that wait in them,
//! each with a lease call out and the beats of a worker that holds no lease.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use haulier::Client;
use haulier_core::limits::{BEAT_IDLE, ITEMS_MAX, LEASE_TTL_DEFAULT, WAIT_MAX, WANT_NAMES_MAX};
use haulier_core::{Beat, NewTask, QueueName, Want, WantedQueue, WorkerId};
use tokio::task::JoinSet;

use super::{Case, Counting, Round, Value, float};
use crate::commands::bench::books::Books;
use crate::commands::bench::run::{Job, Run};
use crate::commands::bench::site::Site;
use crate::exit::{Exit, Failed, Result};
use crate::text;

/// So many of both.
#[derive(Debug)]
pub struct Idle {
    /// Queues; one task was done in each.
    pub queues: u32,
    /// Workers that wait.
    pub workers: u32,
    /// For how long it is watched.
    pub time: Duration,
}

#[async_trait]
impl Case for Idle {
    fn label(&self) -> String {
        let (queues, workers) = (self.queues.into(), self.workers.into());
        format!("{}, {}", text::count(queues, "queue"), text::count(workers, "worker"))
    }

    fn counting(&self) -> Counting {
        Counting::Within
    }

    fn needs_server(&self) -> bool {
        true
    }

    async fn round(&self, site: &mut Site) -> Result<Round> {
        let run = site.run("idle", None)?;
        let names =
            (0..self.queues).map(|number| name(&run, number)).collect::<Result<Vec<_>>>()?;
        let mut books = Books::default();
        for names in names.chunks(ITEMS_MAX) {
            let client = site.client();
            let tasks = names.iter().map(|name| task(&run, client, name)).collect();
            run.hand_over(&*client.queue(), tasks, &mut books).await?;
        }
        for names in names.chunks(WANT_NAMES_MAX) {
            empty(&run, site.client(), names, &mut books).await?;
        }
        let mut waiting = JoinSet::new();
        for (number, client) in (0..self.workers).zip(site.clients.iter().cycle()) {
            let queue = names[number as usize % names.len()].clone();
            let id = WorkerId::new(format!("{}-{number}", run.queue))?;
            // Their beats are spread over the time between two.
            let first = BEAT_IDLE * number / self.workers;
            waiting.spawn(wait(Arc::clone(&run), client.clone(), id, queue, first));
        }
        let values = self.watch(site, &mut waiting).await?;
        Ok(Round { audited: books.audit()?, values })
    }
}

impl Idle {
    /// What the server takes of the machine meanwhile.
    async fn watch(
        &self,
        site: &mut Site,
        waiting: &mut JoinSet<Result<()>>,
    ) -> Result<Vec<Value>> {
        let usage = site.usage();
        let usage = usage.ok_or_else(|| Failed::new(Exit::Bug, "idle without its own server"))?;
        // All of them have to be there before it counts.
        site.clock.sleep(self.time / 2).await;
        let (before, disk_before) = (usage.processor()?, site.counts()?);
        tokio::select! {
            () = site.clock.sleep(self.time) => {}
            Some(ended) = waiting.join_next() => {
                ended.map_err(|error| Failed::new(Exit::Bug, error.to_string()))??;
                return Err(Failed::new(Exit::Bug, "a worker got a task although there was none"));
            }
        }
        let used = usage.processor()?.saturating_sub(before);
        let share = used.as_secs_f64() / self.time.as_secs_f64() * 100.0;
        let mut values = vec![Value::less("processor", "%", share)];
        if let (Ok(before), Ok(after)) = (disk_before, site.counts()?) {
            values.push(Value::less("syncs", "", float(after.since(before).syncs)));
        }
        Ok(values)
    }
}

fn name(run: &Run, number: u32) -> Result<QueueName> {
    Ok(QueueName::new(format!("{}-{number}", run.queue))?)
}

fn task(run: &Run, client: &Client, queue: &QueueName) -> NewTask {
    let mut task = run.task(client, Duration::ZERO);
    task.queue = queue.clone();
    task
}

/// Takes and completes the one task of each queue.
async fn empty(run: &Run, client: &Client, names: &[QueueName], books: &mut Books) -> Result<()> {
    let queue = client.queue();
    let mut left = names.len();
    while left > 0 {
        let most = u32::try_from(left).unwrap_or(u32::MAX);
        let mut want = Want::new(run.worker_id(0)?, run.queue.clone(), most);
        want.queues =
            names.iter().map(|name| WantedQueue { queue: name.clone(), max: most }).collect();
        let leases: Vec<_> =
            queue.lease(vec![want], run.patience).await?.into_iter().flatten().collect();
        if leases.is_empty() {
            // The audit says what is missing.
            return Ok(());
        }
        left -= leases.len().min(left);
        run.end(&*queue, &leases, Job::COMPLETE, books).await?;
    }
    Ok(())
}

/// A worker that has nothing to do; ends only if it gets something.
async fn wait(
    run: Arc<Run>,
    client: Client,
    id: WorkerId,
    name: QueueName,
    first_beat: Duration,
) -> Result<()> {
    let queue = client.queue();
    let lease = async {
        loop {
            let want = Want::new(id.clone(), name.clone(), 1);
            if queue.lease(vec![want], WAIT_MAX).await?.iter().any(|leases| !leases.is_empty()) {
                return Ok(());
            }
        }
    };
    let beat = async {
        run.clock.sleep(first_beat).await;
        loop {
            let (worker, ttl) = (id.clone(), LEASE_TTL_DEFAULT);
            queue.beat(vec![Beat { worker, about: None, ttl, leases: Vec::new() }]).await?;
            run.clock.sleep(BEAT_IDLE).await;
        }
    };
    tokio::select! {
        got = lease => got,
        failed = beat => failed,
    }
}
