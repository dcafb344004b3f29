//! `haulier import`: enqueues what an export wrote, in any store. Tasks keep their ids, so that an
//! import that is repeated adds nothing.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use haulier_core::limits::{FRAME_BYTES_MAX, ITEMS_MAX, MESSAGE_BYTES_MAX};
use haulier_core::{Code, Enqueued, NewTask, Queue, TaskId};
use serde::Serialize;

use crate::commands::transfer::{Incoming, Place};
use crate::exit::{Exit, Failed, Result};
use crate::output::{self, Format, Output};
use crate::text;

/// Longest line: the largest message, in base64.
const LINE_BYTES_MAX: u64 = 2 * MESSAGE_BYTES_MAX as u64;
/// Refusals that are told one by one.
const REFUSALS_SHOWN: u64 = 20;

/// Enqueues the tasks that an export wrote.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  haulier export - --filter queue:default | haulier import --data copied
  haulier import - </dev/null || test $? = 65

A task whose id is there already is left as it is, so an import can be repeated. The windows of unique
keys and `expires_in` count anew, from the import.

Exit code 0 if all is there, 1 if a task was refused, 2 if a line cannot be read, 65 if the last line
of the export is missing, 75 if everything that was refused may be accepted later.")]
pub struct Args {
    /// What an export wrote; - or nothing for standard input
    #[arg(default_value = "-", hide_default_value = true)]
    file: PathBuf,
    /// Also enqueue tasks that were final when they were exported: they run again
    #[arg(long)]
    rerun: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    output: Output,
}

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Tasks that were stored.
    pub inserted: u64,
    /// Tasks that were there already.
    pub existing: u64,
    /// Tasks whose unique key another task of the store holds.
    pub unique: u64,
    /// Tasks that were not stored.
    pub refused: u64,
    /// Tasks that were final, and that nobody wanted to run again.
    pub left_out: u64,
    /// Of those that were refused, those that would be refused again.
    pub refused_for_good: u64,
}

impl Args {
    /// Runs the command.
    pub async fn run(self) -> Result<Exit> {
        let mut lines = Lines::open(&self.file)?;
        let client = self.place.open(false).await?;
        let (tally, ended) = read(&mut lines, client.queue(), self.rerun).await?;
        client.close().await?;
        self.tell(&tally)?;
        judge(&tally, lines.tasks, ended)
    }

    fn tell(&self, tally: &Tally) -> Result<()> {
        match self.output.format {
            Format::Json => output::json(tally),
            Format::Ndjson => output::json_line(tally),
            Format::Name | Format::Table | Format::Wide => {
                let Tally { inserted, existing, unique, refused, left_out, .. } = tally;
                let inserted = text::count(*inserted, "task");
                output::line(format_args!(
                    "{inserted} inserted, {existing} existing, {unique} met by another task's \
                     unique key, {refused} refused, {left_out} left out because they were final"
                ))
            }
        }
    }
}

/// Enqueues all tasks of an export; what came of it, and what its last line says, if it is there.
pub async fn read(
    lines: &mut Lines,
    queue: Arc<dyn Queue>,
    rerun: bool,
) -> Result<(Tally, Option<u64>)> {
    let mut batch = Batch { queue, tasks: Vec::new(), bytes: 0 };
    let mut tally = Tally::default();
    let mut ended = None;
    while let Some(line) = lines.next()? {
        if let Some(end) = line.end {
            ended = Some(end);
            continue;
        }
        let was_final = line.was_final();
        let Some(task) = line.task else { return Err(lines.wrong("has neither task nor end")) };
        if was_final && !rerun {
            tally.left_out += 1;
            continue;
        }
        let Some(id) = task.id.as_ref().map(|id| id.0) else {
            return Err(lines.wrong("the task has no id: repeated, it would be another task"));
        };
        let task = task.into_core("task", || id);
        let task = task.map_err(|error| lines.wrong(error.message()))?;
        batch.add(task, &mut tally).await?;
    }
    batch.send(&mut tally).await?;
    Ok((tally, ended))
}

fn judge(tally: &Tally, tasks: u64, ended: Option<u64>) -> Result<Exit> {
    if ended != Some(tasks) {
        let what = match ended {
            None => {
                format!("the export was cut short: its last line is missing after {tasks} tasks")
            }
            Some(end) => format!("the export has {tasks} tasks; its last line says {end}"),
        };
        return Err(Failed::new(Exit::Damage, what)
            .next("export again and import again: what is there already is left as it is"));
    }
    if tally.refused == 0 {
        return Ok(Exit::Done);
    }
    let exit = if tally.refused_for_good == 0 { Exit::TryAgain } else { Exit::No };
    let what = format!("{} refused", text::count(tally.refused, "task"));
    Err(Failed::new(exit, what).next("mend what is said above, and import again"))
}

/// Tasks that go with the next call.
struct Batch {
    queue: Arc<dyn Queue>,
    tasks: Vec<NewTask>,
    bytes: usize,
}

impl Batch {
    async fn add(&mut self, task: NewTask, tally: &mut Tally) -> Result<()> {
        let bytes = 1_024 + task.payload.bytes.len() + task.headers.byte_len();
        if self.tasks.len() == ITEMS_MAX || self.bytes + bytes > FRAME_BYTES_MAX {
            self.send(tally).await?;
        }
        self.bytes += bytes;
        self.tasks.push(task);
        Ok(())
    }

    async fn send(&mut self, tally: &mut Tally) -> Result<()> {
        if self.tasks.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        let tasks = std::mem::take(&mut self.tasks);
        let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
        let answers = self.queue.enqueue(tasks).await?;
        ids.into_iter().zip(answers).for_each(|(id, answer)| tally.count(id, answer));
        Ok(())
    }
}

impl Tally {
    fn count(&mut self, asked: TaskId, answer: Enqueued) {
        match answer {
            Enqueued::Inserted { .. } => self.inserted += 1,
            Enqueued::Existing { id, .. } if id == asked => self.existing += 1,
            Enqueued::Existing { .. } => self.unique += 1,
            Enqueued::Refused(refusal) => {
                self.refused += 1;
                let later = refusal.code.is_retryable() && refusal.code != Code::Internal;
                self.refused_for_good += u64::from(!later);
                if self.refused <= REFUSALS_SHOWN {
                    let why = text::line(&refusal.message).into_owned();
                    output::say(format_args!("refused: {asked}: {}: {why}", refusal.code));
                }
            }
        }
    }
}

/// The lines of an export.
pub struct Lines {
    from: BufReader<Box<dyn Read>>,
    name: String,
    number: u64,
    tasks: u64,
    buffer: Vec<u8>,
}

impl Lines {
    /// The lines of a file, or of `-`.
    pub fn open(path: &Path) -> Result<Self> {
        let (from, name): (Box<dyn Read>, String) = if path.as_os_str() == "-" {
            (Box::new(std::io::stdin()), "standard input".to_owned())
        } else {
            let name = path.display().to_string();
            let file = File::open(path).map_err(|error| Failed::io(&name, &error))?;
            (Box::new(file), name)
        };
        let from = BufReader::new(from);
        Ok(Self { from, name, number: 0, tasks: 0, buffer: Vec::new() })
    }

    /// The next line that is not empty.
    fn next(&mut self) -> Result<Option<Incoming>> {
        loop {
            self.buffer.clear();
            self.number += 1;
            let mut limited = (&mut self.from).take(LINE_BYTES_MAX);
            let count = limited
                .read_until(b'\n', &mut self.buffer)
                .map_err(|error| Failed::io(&self.name, &error))?;
            if count == 0 {
                return Ok(None);
            }
            if count as u64 == LINE_BYTES_MAX {
                return Err(self.wrong("is longer than any task"));
            }
            if self.buffer.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let line: Incoming = serde_json::from_slice(&self.buffer)
                .map_err(|error| self.wrong(&text::wrong_json(&error)))?;
            self.tasks += u64::from(line.task.is_some());
            return Ok(Some(line));
        }
    }

    fn wrong(&self, why: &str) -> Failed {
        let (name, number) = (&self.name, self.number);
        Failed::new(Exit::Usage, format!("{name}, line {number}: {why}"))
            .next("mend the line and import again: what is there already is left as it is")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(tally: &Tally, tasks: u64, ended: Option<u64>) -> Exit {
        judge(tally, tasks, ended).unwrap_or_else(|failed| failed.exit())
    }

    #[test]
    fn an_import_is_well_only_if_the_export_was_whole_and_nothing_was_refused() {
        let well = Tally { inserted: 3, ..Tally::default() };
        assert_eq!(exit(&well, 3, Some(3)), Exit::Done);
        assert_eq!(exit(&well, 3, None), Exit::Damage);
        assert_eq!(exit(&well, 3, Some(4)), Exit::Damage);
        let full = Tally { refused: 1, ..Tally::default() };
        assert_eq!(exit(&full, 1, Some(1)), Exit::TryAgain);
        let conflict = Tally { refused: 2, refused_for_good: 1, ..Tally::default() };
        assert_eq!(exit(&conflict, 2, Some(2)), Exit::No);
    }
}
