//! `haulier quickstart`: the main job from end to end, in front of whoever tries Haulier first.
//!
//! One task a file, three worker processes, one server on an embedded store. While they work, one worker
//! and then the server itself are killed as a power cut would. In the end every digest is compared with
//! our own pass over the files, and the records of the server and of the workers with each other. The
//! moments of the faults are chosen by progress, never by time: they also come with few files or on a
//! fast machine.

mod account;
mod crew;
mod files;
mod ledger;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use haulier::Client;
use haulier_core::limits::{ITEMS_MAX, RETAIN_COMPLETED_COUNT};
use haulier_core::{
    Clock, Include, LeaseKey, NewTask, QueueName, Refusal, SettingsPatch, State, TaskId, TaskView,
};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use self::account::{Account, Own};
use self::crew::{CONCURRENCY, Crew, WORKERS};
use self::files::{Entry, Listing, Look};
use self::worker::DigestFile;
pub use self::worker::WorkerArgs;
use crate::exit::{Exit, Failed, Result};
use crate::output::{self, Format, Output};
use crate::{signals, text};

/// How often progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Progress that does not come for this long does not come at all.
const STALLED_AFTER: Duration = Duration::from_secs(90);
/// How long a call may be repeated while the server is away.
const AWAY_MAX: Duration = Duration::from_mins(1);

/// Hauls files through a server and three workers, kills some of them, and proves that nothing was lost.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  haulier quickstart
  haulier quickstart . --files-max 2000
  haulier quickstart -o json

Exit code 0 only if no completion was accepted twice, nothing is missing, and every digest is right.")]
pub struct Args {
    /// The directory whose files are hauled, with everything below it
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Take no more files than this
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    files_max: usize,
    /// Leave the server running, with its data, and say where
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    output: Output,
}

/// What is printed at the end.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    account: Account,
    seconds: f64,
    tasks_per_second: f64,
    server_away_seconds: f64,
    url: String,
}

impl Args {
    /// Runs the command.
    pub async fn run(self, clock: Arc<dyn Clock>) -> Result<Exit> {
        let end = signals::end()?;
        let listing = self.list()?;
        let place = tempfile::Builder::new().prefix("haulier-quickstart-").tempdir();
        let mut place = place.map_err(|error| Failed::io("no temporary directory", &error))?;
        let shown = tokio::select! {
            shown = self.show(listing, place.path(), clock) => shown,
            () = end => {
                let gone = "interrupted; the server, the workers and their data are gone";
                return Err(Failed::new(Exit::No, gone));
            }
        };
        // What went wrong is to be read in the logs and the data; what went well leaves nothing.
        place.disable_cleanup(shown.is_err() || self.keep);
        shown.map_err(|failed| {
            failed.next(format!("data and logs are in {}", place.path().display()))
        })
    }

    async fn show(&self, listing: Listing, dir: &Path, clock: Arc<dyn Clock>) -> Result<Exit> {
        let crew = Crew::start(dir, Arc::clone(&clock)).await?;
        let run = Run::new(crew, listing.files, clock).await?;
        let (report, crew) = run.story().await?;
        self.print(&report)?;
        if self.keep {
            let id = crew.keep_server().await?;
            output::say(format_args!(
                "The server stays: {} (pid {id}, data in {}). End it with: kill {id}",
                report.url,
                dir.display()
            ));
        } else {
            crew.stop_server().await?;
        }
        if report.account.holds() {
            return Ok(Exit::Done);
        }
        Err(Failed::new(Exit::Bug, "a promise was broken: see the last rows"))
    }

    fn list(&self) -> Result<Listing> {
        let shown = self.dir.display();
        let listing = files::list(&self.dir, self.files_max)
            .map_err(|error| Failed::io(format_args!("cannot read {shown}"), &error))?;
        if listing.links > 0 {
            output::say(format_args!("note: {} symbolic links are not followed", listing.links));
        }
        for path in listing.unreadable.iter().take(3) {
            output::say(format_args!("note: {} cannot be read; left out", text::line(path)));
        }
        if listing.unreadable.len() > 3 {
            output::say(format_args!("note: so are {} more", listing.unreadable.len() - 3));
        }
        if listing.cut {
            output::say(format_args!("note: only the first {} files are taken", self.files_max));
        }
        if listing.files.is_empty() {
            return Err(Failed::new(Exit::No, format!("there is no file to haul in {shown}"))
                .next("name a directory with files, as in: haulier quickstart /usr/share/doc"));
        }
        Ok(listing)
    }

    fn print(&self, report: &Report) -> Result<()> {
        if self.output.format == Format::Json || self.output.format == Format::Ndjson {
            return output::json(report);
        }
        let account = &report.account;
        let rows = [
            ("files", text::number(account.files)),
            ("bytes", text::bytes(account.bytes)),
            ("seconds", format!("{:.2}", report.seconds)),
            ("tasks/s", format!("{:.0}", report.tasks_per_second)),
            ("server away", format!("{:.2} s", report.server_away_seconds)),
            ("deliveries", text::number(account.deliveries)),
            ("losses", text::number(account.losses)),
            ("completions", text::number(account.completions)),
            ("changed meanwhile", text::number(account.changed)),
            ("accepted twice", text::number(account.accepted_twice)),
            ("missing", text::number(account.missing)),
            ("mismatches", text::number(account.mismatches)),
            ("API", format!("{}/api/v1", report.url)),
        ];
        rows.iter()
            .try_for_each(|(name, value)| output::line(format_args!("{name:<18}{value:>12}")))
    }
}

/// One run: who works, what is hauled, how far it is.
struct Run {
    clock: Arc<dyn Clock>,
    client: Client,
    queue: QueueName,
    crew: Crew,
    files: Vec<Entry>,
    tasks: Vec<NewTask>,
    bar: ProgressBar,
}

impl Run {
    async fn new(crew: Crew, files: Vec<Entry>, clock: Arc<dyn Clock>) -> Result<Self> {
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
        let bar = ProgressBar::new(tasks.len() as u64).with_style(style);
        output::say(format_args!(
            "Hauling {} files through {} (D2: synced before every acknowledgement), \
             {WORKERS} worker processes with {CONCURRENCY} tasks at a time each.",
            text::number(tasks.len() as u64),
            crew.url,
        ));
        Ok(Self { clock, client, queue, crew, files, tasks, bar })
    }

    /// The whole story. Work is handed over in parts, and a fault follows an acknowledgement at once:
    /// so there is work in everybody's hands when it strikes.
    async fn story(mut self) -> Result<(Report, Crew)> {
        let began = self.clock.monotonic();
        let share = |percent: usize| (self.tasks.len() * percent).div_ceil(100);
        let (quarter, half, most) = (share(25), share(50), share(75));
        self.hand_over(0, half).await?;
        self.wait_for(quarter).await?;
        self.hand_over(half, most).await?;
        let killed = self.crew.replace_worker(0).await?;
        self.tell(format_args!("killed a worker with SIGKILL (pid {killed}); started another"));
        self.wait_for(half).await?;
        self.hand_over(most, self.tasks.len()).await?;
        let (killed, away) = self.crew.restart_server().await?;
        self.tell(format_args!(
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

    fn tell(&self, what: std::fmt::Arguments<'_>) {
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
            self.crew.check().await?;
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
