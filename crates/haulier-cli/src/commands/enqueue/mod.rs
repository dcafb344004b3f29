//! `haulier enqueue`: hands tasks over, and, if asked to, waits for what becomes of them.

mod options;

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use haulier::Client;
use haulier_core::limits::{ITEMS_MAX, PAYLOAD_BYTES_MAX, WAIT_MAX};
use haulier_core::{Clock, Enqueued, Include, Kind, NewTask, Payload, State, TaskId, TaskView};
use haulier_server::api;
use serde::de::IgnoredAny;

use self::options::TaskOptions;
use crate::exit::{Exit, Failed, Result};
use crate::output::{self, Format, Output, Row};
use crate::{connect, span, text};

/// What `--wait` without a time means: longer than any task may run.
const WAIT_DEFAULT: &str = "24h";

/// Hands tasks over.
#[derive(Debug, clap::Args)]
#[command(after_help = r#"Examples:
  haulier enqueue hello '{"name": "world"}'
  haulier enqueue email.send '{"to": "a@b.c"}' -q mail --delay 5m --unique order-17 --unique-for 1h
  echo '{"n": 1}' | haulier enqueue count - --max-attempts 3 --label tenant=acme
  haulier enqueue note 'plain words' --content-type text/plain --count 3 -o name

With --wait the exit code is the outcome: 0 completed (the result is printed), 1 dead or cancelled,
75 not finished in time."#)]
pub struct Args {
    /// What the task asks for, as in email.send
    kind: Kind,
    /// The payload: JSON, `-` for standard input, or `@FILE`
    #[arg(value_name = "JSON|-|@FILE", default_value = "{}")]
    payload: String,
    /// The task's id, to repeat a call that was lost; made if left out
    #[arg(long, value_name = "UUID", conflicts_with = "count")]
    id: Option<TaskId>,
    #[command(flatten)]
    options: TaskOptions,
    /// Hand over this many tasks, each with its own id
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// Wait until it is final, at most this long (24h if no time is given)
    #[arg(long, value_name = "DURATION", value_parser = span, num_args = 0..=1,
          require_equals = true, default_missing_value = WAIT_DEFAULT)]
    wait: Option<Duration>,
    #[command(flatten)]
    server: connect::Server,
    #[command(flatten)]
    output: Output,
}

impl Args {
    /// Runs the command.
    pub async fn run(self, clock: Arc<dyn Clock>) -> Result<Exit> {
        // This process alone has the store open, so nobody could do the task meanwhile.
        if self.wait.is_some() && !self.server.is_served() {
            return Err(Failed::new(Exit::Usage, "--wait needs a server, where a worker can be")
                .next("leave --wait out, or give the --url of a server"));
        }
        let payload = self.payload()?;
        let client = self.server.builder()?.clock(Arc::clone(&clock)).open().await?;
        let answers = self.hand_over(&client, &payload).await?;
        if let (Some(patience), false) = (self.wait, answers.iter().any(is_refused)) {
            let ids = answers.iter().map(|answer| answer.id.0).collect();
            let views = wait(&client, ids, patience).await?;
            return self.print_outcomes(&views);
        }
        let refused = answers.iter().find(|answer| is_refused(answer)).cloned();
        match self.output.format {
            Format::Json if self.count == 1 => output::json(&answers[0])?,
            format => {
                let document = api::EnqueuedMany { answers };
                output::rows(format, &document.answers, &document)?;
            }
        }
        match refused.and_then(|answer| answer.error) {
            Some(error) => Err(refusal(&error)),
            None => Ok(Exit::Done),
        }
    }

    /// Reads the payload; JSON is checked here, where the mistake is still at hand.
    fn payload(&self) -> Result<Payload> {
        let (bytes, from) = match self.payload.as_str() {
            "-" => (read(&mut std::io::stdin().lock(), "standard input")?, "standard input".into()),
            text => match text.strip_prefix('@') {
                Some(path) => (read_file(Path::new(path))?, path.to_owned()),
                None => {
                    (text.as_bytes().to_vec(), format!("the payload {}", text::short(text, 60)))
                }
            },
        };
        let payload = Payload::new(bytes, self.options.content_type.as_str());
        if payload.is_json() {
            serde_json::from_slice::<IgnoredAny>(&payload.bytes).map_err(|error| {
                Failed::new(
                    Exit::Usage,
                    format!("{from} is not JSON: {}", text::wrong_json(&error)),
                )
                .next(
                    "write JSON in single quotes, as in '{\"name\": \"world\"}', or say what it \
                         is: --content-type text/plain",
                )
            })?;
        }
        Ok(payload)
    }

    /// Hands over `count` tasks, a call's worth at a time.
    async fn hand_over(&self, client: &Client, payload: &Payload) -> Result<Vec<api::Enqueued>> {
        let mut answers: Vec<api::Enqueued> = Vec::new();
        while answers.len() < self.count as usize {
            let count = (self.count as usize - answers.len()).min(ITEMS_MAX);
            let task = |_| {
                let id = self.id.unwrap_or_else(|| client.new_id());
                self.options.task(id, self.kind.clone(), payload.clone())
            };
            let tasks: Vec<NewTask> = (0..count).map(task).collect();
            let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
            let accepted = answers.len();
            let given: Vec<Enqueued> = client.enqueue_many(tasks).await.map_err(|error| {
                let id = ids.first().map(ToString::to_string).unwrap_or_default();
                match (accepted, error.may_have_applied()) {
                    (0, true) => Failed::from(error).next(format!(
                        "repeat it with --id {id}: if it was accepted, it is not done twice"
                    )),
                    (0, false) => error.into(),
                    _ => Failed::from(error).next(format!("{accepted} tasks were accepted before")),
                }
            })?;
            answers.extend(ids.into_iter().zip(given).map(|(id, a)| api::Enqueued::new(id, a)));
        }
        Ok(answers)
    }

    fn print_outcomes(&self, views: &[TaskView]) -> Result<Exit> {
        match (self.output.format, views) {
            (Format::Table | Format::Wide, [view]) if view.state() == State::Completed => {
                if let Some(result) = &view.result {
                    output::bytes(&result.bytes)?;
                }
            }
            (format, views) => {
                let row = |view| api::TaskView::row(view, Include::RESULT);
                let tasks: Vec<api::TaskView> = views.iter().map(row).collect();
                let document = api::TaskPage { tasks, next_page_token: None };
                output::rows(format, &document.tasks, &document)?;
            }
        }
        if let Some(view) = views.iter().find(|view| !view.state().is_final()) {
            return Err(Failed::new(Exit::TryAgain, "not finished in time; the work goes on")
                .next(format!("follow it with: haulier tasks watch {}", view.task.id)));
        }
        match views.iter().find(|view| view.state() != State::Completed) {
            None => Ok(Exit::Done),
            Some(view) => {
                let reason = view.standing.reason.map(|reason| format!(" ({reason})"));
                let why = view.last_failure().map(|failure| format!(": {}", failure.message));
                Err(Failed::new(
                    Exit::No,
                    format!(
                        "the task is {}{}{}",
                        view.state(),
                        reason.unwrap_or_default(),
                        why.unwrap_or_default()
                    ),
                )
                .next(format!("look closer with: haulier tasks show {}", view.task.id)))
            }
        }
    }
}

fn is_refused(answer: &api::Enqueued) -> bool {
    answer.error.is_some()
}

fn refusal(error: &api::Refused) -> Failed {
    let code = haulier_core::Code::parse(error.code).unwrap_or(haulier_core::Code::Internal);
    Failed::new(Exit::of(code), error.detail.clone())
}

/// Waits until all are final or the time is over, and returns them as they stand.
async fn wait(client: &Client, ids: Vec<TaskId>, patience: Duration) -> Result<Vec<TaskView>> {
    let (clock, inspect) = (client.clock(), client.inspect()?);
    let until = clock.monotonic().saturating_add(patience);
    let mut views = Vec::with_capacity(ids.len());
    for slice in ids.chunks(ITEMS_MAX) {
        loop {
            let left = until.saturating_sub(clock.monotonic());
            let found = inspect.get(slice.to_vec(), Include::RESULT, left.min(WAIT_MAX)).await?;
            let known: Vec<TaskView> = found.into_iter().flatten().collect();
            if known.len() < slice.len() {
                return Err(Failed::new(
                    Exit::No,
                    "a finished task was forgotten before it was read",
                )
                .next("keep finished tasks longer: --retain 1h"));
            }
            if left.is_zero() || known.iter().all(|view| view.state().is_final()) {
                views.extend(known);
                break;
            }
        }
    }
    Ok(views)
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    let shown = path.display();
    let mut file = std::fs::File::open(path)
        .map_err(|error| Failed::io(format_args!("cannot read {shown}"), &error))?;
    read(&mut file, &shown.to_string())
}

/// Reads at most what any server takes, and one byte more to know that it is too much.
fn read(source: &mut dyn Read, what: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source
        .take(PAYLOAD_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failed::io(format_args!("cannot read {what}"), &error))?;
    if bytes.len() > PAYLOAD_BYTES_MAX {
        return Err(Failed::new(
            Exit::Usage,
            format!("{what} has more than {PAYLOAD_BYTES_MAX} bytes, which no server takes"),
        )
        .next("store it elsewhere and send a reference"));
    }
    Ok(bytes)
}

impl Row for api::Enqueued {
    fn heads(wide: bool) -> Vec<&'static str> {
        if wide {
            vec!["id", "answer", "state", "class", "error"]
        } else {
            vec!["id", "answer", "state"]
        }
    }

    fn cells(&self, wide: bool) -> Vec<String> {
        let answer = match (&self.error, &self.answer) {
            (Some(_), _) => "refused",
            (None, api::EnqueueAnswer::Existing) => "existing",
            (None, _) => "inserted",
        };
        let state = self.state.map_or("-", |state| state.as_str());
        let mut cells = vec![self.id.0.to_string(), answer.to_owned(), state.to_owned()];
        if wide {
            cells.push(self.durability.map_or("-", |class| class.as_str()).to_owned());
            cells.push(self.error.as_ref().map_or("-", |error| &error.detail).to_owned());
        }
        cells
    }

    fn name(&self) -> String {
        self.id.0.to_string()
    }
}
