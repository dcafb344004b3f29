//! The course of the quickstart: hand over, wait, strike, wait again, reckon.
//!
//! The moments of the faults are chosen by progress, never by time: they also come with few files,
//! or on a fast machine. Nothing here starts or kills a process itself; that is the crew's.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use haulier::Client;
use haulier_core::limits::{ITEMS_MAX, RETAIN_COMPLETED_COUNT};
use haulier_core::{
    Clock, Include, LeaseKey, NewTask, QueueName, Refusal, SettingsPatch, State, TaskId, TaskView,
};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::account::{self, Account, Own};
use super::crew::{CONCURRENCY, Crew, WORKERS};
use super::files::{self, Entry, Look};
use super::ledger;
use super::worker::DigestFile;
use crate::exit::{Exit, Failed, Result};
use crate::{output, text};

/// How often progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Progress that does not come for this long does not come at all.
const STALLED_AFTER: Duration = Duration::from_secs(90);
/// How long a call may be repeated while the server is away.
const AWAY_MAX: Duration = Duration::from_mins(1);

/// What is printed at the end.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What it came to.
    #[serde(flatten)]
    pub account: Account,
    /// From the first enqueue to the last completion.
    pub seconds: f64,
    /// Files by seconds, faults included.
    pub tasks_per_second: f64,
    /// From the kill of the server until it was back.
    pub server_away_seconds: f64,
    /// Where the API listens.
    pub url: String,
}

/// One run: who works, what is hauled, how far it is.
#[derive(Debug)]
pub struct Story {
    clock: Arc<dyn Clock>,
    client: Client,
    queue: QueueName,
    crew: Crew,
    files: Vec<Entry>,
    tasks: Vec<NewTask>,
    bar: ProgressBar,
}

impl Story {
    /// Connects, and makes a task of every file.
    pub async fn new(crew: Crew, files: Vec<Entry>, clock: Arc<dyn Clock>) -> Result<Self> {
        let client = Client::builder(&crew.url).clock(Arc::clone(&clock)).open().await?;
        let task = |file: &Entry| client.task(&DigestFile { path: file.path.clone() });
        let tasks: Result<Vec<NewTask>, Refusal> = files.iter().map(task).collect();
        let tasks = tasks?;
        let queue = QueueName::new("quickstart")?;
        // Finished tasks are the record that is checked at the end: none may be pruned before.
        let patch = SettingsPatch {
            retain_completed: Some(Duration::from_hours(24)),
            retain_completed_count: Some(RETAIN_COMPLETED_COUNT.max(tasks.len() as u64)),
            ..SettingsPatch::default()
        };
        client.control()?.configure(queue.clone(), patch).await?;
        let style = ProgressStyle::with_template("  {bar:40} {pos}/{len} {msg}");
        let style = style.map_err(|error| Failed::new(Exit::Bug, error.to_string()))?;
        let class = client.queue().capabilities().durability;
        let bar = ProgressBar::new(tasks.len() as u64).with_style(style);
        output::say(format_args!(
            "Hauling {} files through {} with {WORKERS} worker processes, {CONCURRENCY} tasks at a \
             time each. {class}: {}.",
            text::number(tasks.len() as u64),
            crew.url,
            class.explain(),
        ));
        Ok(Self { clock, client, queue, crew, files, tasks, bar })
    }

    /// From the first task to the reckoning. Work is handed over in parts, and a fault follows an
    /// acknowledgement at once: so there is work in everybody's hands when it strikes.
    pub async fn tell(mut self) -> Result<(Report, Crew)> {
        let began = self.clock.monotonic();
        let share = |percent: usize| (self.tasks.len() * percent).div_ceil(100);
        let (quarter, half, most) = (share(25), share(50), share(75));
        self.hand_over(0, half).await?;
        self.wait_for(quarter).await?;
        self.hand_over(half, most).await?;
        let killed = self.crew.replace_worker(0).await?;
        self.say(format_args!("killed a worker with SIGKILL (pid {killed}); started another"));
        self.wait_for(half).await?;
        self.hand_over(most, self.tasks.len()).await?;
        let (killed, away) = self.crew.restart_server().await?;
        self.say(format_args!(
            "killed the server with SIGKILL (pid {killed}); back on the same port and data in {} ms",
            away.as_millis()
        ));
        self.wait_for(self.tasks.len()).await?;
        let seconds = self.clock.monotonic().saturating_sub(began).as_secs_f64();
        self.bar.finish_and_clear();
        self.crew.dismiss_workers().await?;
        let account = self.reckon().await?;
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let tasks_per_second = account.files as f64 / seconds;
        let report = Report {
            account,
            seconds,
            tasks_per_second,
            server_away_seconds: away.as_secs_f64(),
            url: self.crew.url.clone(),
        };
        Ok((report, self.crew))
    }

    fn say(&self, what: std::fmt::Arguments<'_>) {
        self.bar.suspend(|| output::say(format_args!("  {what}")));
    }

    /// Hands over the tasks from `from` up to `to`, each once, however often it is tried.
    async fn hand_over(&self, from: usize, to: usize) -> Result<()> {
        for slice in self.tasks[from..to].chunks(ITEMS_MAX) {
            let call = || self.client.enqueue_many(slice.to_vec());
            for answer in self.patiently(call).await? {
                answer.accepted()?;
            }
        }
        Ok(())
    }

    /// Waits until that many tasks are final.
    async fn wait_for(&mut self, count: usize) -> Result<()> {
        let inspect = self.client.inspect()?;
        let (mut best, mut since) = (0, self.clock.monotonic());
        loop {
            self.crew.check()?;
            let queues = self.patiently(|| inspect.queues()).await?;
            let ours = queues.iter().find(|stats| stats.queue == self.queue);
            let finished = ours.map_or(0, |stats| stats.counts.total() - stats.counts.pending());
            self.bar.set_position(finished);
            if finished >= count as u64 {
                return Ok(());
            }
            let now = self.clock.monotonic();
            if finished > best {
                (best, since) = (finished, now);
            } else if now.saturating_sub(since) > STALLED_AFTER {
                let running = ours.map_or(0, |stats| stats.counts.get(State::Running));
                return Err(Failed::new(
                    Exit::Bug,
                    format!("stalled: {finished} of {count} tasks are done, {running} run"),
                ));
            }
            self.clock.sleep(LOOK_EVERY).await;
        }
    }

    /// Repeats a call that may be repeated while the server is away.
    async fn patiently<T, F>(&self, call: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = haulier_core::Result<T>>,
    {
        let until = self.clock.monotonic().saturating_add(AWAY_MAX);
        loop {
            match call().await {
                Ok(answer) => return Ok(answer),
                Err(error) if error.is_retryable() && self.clock.monotonic() < until => {
                    self.clock.sleep(LOOK_EVERY).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn reckon(&self) -> Result<Account> {
        let ids: Vec<TaskId> = self.tasks.iter().map(|task| task.id).collect();
        let inspect = self.client.inspect()?;
        let mut views: Vec<Option<TaskView>> = Vec::with_capacity(ids.len());
        for slice in ids.chunks(ITEMS_MAX) {
            let get = || inspect.get(slice.to_vec(), Include::RESULT, Duration::ZERO);
            views.extend(self.patiently(get).await?);
        }
        let mut ledgers: Vec<LeaseKey> = Vec::new();
        for path in self.crew.ledgers() {
            let read = ledger::read(&path);
            ledgers.extend(read.map_err(|error| Failed::io(path.display(), &error))?);
        }
        let files = self.files.clone();
        let own = tokio::task::spawn_blocking(move || files.iter().map(own_pass).collect());
        let own: Vec<Own> = own.await.map_err(|error| Failed::new(Exit::Bug, error.to_string()))?;
        Ok(account::reckon(&ids, &views, &own, &ledgers))
    }
}

/// Our own digest of a file, unless somebody changed it since it was listed.
fn own_pass(file: &Entry) -> Own {
    let path = Path::new(&file.path);
    let digest = files::digest(path);
    match (digest, Look::now(path)) {
        (Ok((digest, _)), Some(look)) if look == file.look => Own::Same(digest),
        _ => Own::Changed,
    }
}
