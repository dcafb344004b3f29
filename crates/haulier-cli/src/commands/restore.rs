//! `haulier restore`: makes a data directory of a backup, and says what that means for the tasks in
//! it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use haulier_core::{Clock, State};
use haulier_embedded::{Raise, Restored};
use haulier_server::api::Instant;
use serde::Serialize;

use crate::commands::verify::by_state;
use crate::exit::{Exit, Result};
use crate::output::{self, Format, Output};
use crate::text;

/// Makes a data directory of a backup.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  haulier restore monday.backup --data restored && haulier verify restored

What was done after the backup was taken may be done again. Epochs go on rising: the generation becomes
the second of the restore, which is more than any store before it had; on one machine restores of one
backup wait for each other, so that each has a second of its own.

Exit code 0 if the store is whole, 65 if the backup is damaged, 74 if it cannot be read or written, 78
if the directory is not empty, is in use, or the machine's clock is behind the backup.")]
pub struct Args {
    /// The backup
    file: PathBuf,
    /// The directory to make; it must be missing or empty
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The generation to go on from, instead of the second of the restore: for copies of one backup
    /// that are restored on several machines at once, to each another one
    #[arg(long, value_name = "N")]
    generation: Option<u32>,
    #[command(flatten)]
    output: Output,
}

/// What was restored, as JSON.
#[derive(Debug, Serialize)]
struct Document {
    data: String,
    segments: usize,
    generation: u32,
    generation_before: u32,
    taken_at: Instant,
    tasks: BTreeMap<&'static str, u64>,
    may_run_again: u64,
}

impl Args {
    /// Runs the command.
    pub async fn run(self, clock: &dyn Clock) -> Result<Exit> {
        let raise = self.generation.map_or(Raise::By(clock), |given| Raise::To(given, clock));
        let restored = haulier_embedded::restore(&self.file, &self.data, raise)?;
        let document = document(&self.data.display().to_string(), &restored);
        match self.output.format {
            Format::Json => output::json(&document)?,
            Format::Ndjson => output::json_line(&document)?,
            Format::Name => output::line(format_args!("{}", text::line(&document.data)))?,
            Format::Table | Format::Wide => tell(&document)?,
        }
        clock.sleep(restored.turn_left(clock.wall())).await;
        Ok(Exit::Done)
    }
}

fn document(data: &str, restored: &Restored) -> Document {
    let pending = State::ALL.into_iter().filter(|state| !state.is_final());
    Document {
        data: data.to_owned(),
        segments: restored.manifest.segments.len(),
        generation: restored.generation,
        generation_before: restored.manifest.generation,
        taken_at: Instant(restored.manifest.taken_at),
        tasks: by_state(&restored.report),
        may_run_again: pending.map(|state| restored.report.tasks.get(state)).sum(),
    }
}

fn tell(document: &Document) -> Result<()> {
    let all = text::count(document.tasks.values().sum(), "task");
    let data = text::line(&document.data);
    output::line(format_args!("{data}: {all}, as they were at {}", document.taken_at))?;
    let before = document.generation_before;
    output::line(format_args!("generation {before} becomes {}", document.generation))?;
    let repeats = text::count(document.may_run_again, "task");
    let states = document.tasks.iter().filter(|(state, count)| {
        **count > 0 && State::ALL.iter().any(|one| one.as_str() == **state && !one.is_final())
    });
    let states: Vec<String> =
        states.map(|(state, count)| format!("{} {state}", text::number(*count))).collect();
    output::line(format_args!(
        "{repeats} may run again, if they were finished after the backup: {}",
        if states.is_empty() { "none".to_owned() } else { states.join(", ") }
    ))?;
    output::say(format_args!("next: haulier serve --data {data}"));
    Ok(())
}
