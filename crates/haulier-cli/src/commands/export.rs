//! `haulier export`: the tasks of any store as lines of JSON, oldest first, so that an import keeps
//! their order.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use haulier_core::limits::{
    CHECKPOINTS_BYTES_MAX, ENVELOPE_BYTES_MAX, ITEMS_MAX, MESSAGE_BYTES_MAX, PAGE_MAX,
};
use haulier_core::{Filter, Include, Inspect, PageRequest, State, TaskId};
use serde::Serialize;

use crate::commands::transfer::{End, Line, Place};
use crate::disk::sync_directory;
use crate::exit::{Exit, Failed, Result};
use crate::{output, text};

/// Writes the tasks of a store as lines of JSON.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  haulier export tasks.ndjson
  haulier export --filter queue:default | head -n 1
  haulier export --filter state:dead --all dead.ndjson

Every task that is there when the export begins and not final when its turn comes is written, as it
stands then; what comes later is not. For a move, pause the queues first: haulier queues pause QUEUE.
Not written: leases, attempts so far, deliveries, checkpoints, and the settings of queues. A task that
runs is written as if it waited, so it may run again. The tasks' ids are held in memory: 40 MB for a
million.")]
pub struct Args {
    /// The file to write, which must not exist; - or nothing for standard output
    #[arg(default_value = "-", hide_default_value = true)]
    file: PathBuf,
    /// Which tasks: terms such as queue:mail, joined by "and"
    #[arg(short, long, value_name = "FILTER", default_value = "", hide_default_value = true)]
    filter: Filter,
    /// Also those that are final, with their results; an import leaves them out unless told otherwise
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    place: Place,
}

impl Args {
    /// Runs the command.
    pub async fn run(self) -> Result<Exit> {
        let client = self.place.open(true).await?;
        let inspect = client.inspect()?;
        let payload_bytes_max = client.queue().capabilities().payload_bytes_max;
        let batch = batch_size(payload_bytes_max, self.all);
        let mut to = Target::open(&self.file)?;
        let count = write(&*inspect, &self.within(), (self.all, batch), &mut to).await?;
        to.finish()?;
        client.close().await?;
        output::say(format_args!("{} exported", text::count(count, "task")));
        Ok(Exit::Done)
    }

    fn within(&self) -> Filter {
        if self.all {
            return self.filter.clone();
        }
        let going: Vec<State> = State::ALL.into_iter().filter(|state| !state.is_final()).collect();
        self.filter.clone().and(Filter::states(going))
    }
}

/// Writes the tasks that a filter matches, and the last line.
pub async fn write(
    inspect: &dyn Inspect,
    within: &Filter,
    (all, batch): (bool, usize),
    to: &mut Target,
) -> Result<u64> {
    let ids = oldest_first(inspect, within).await?;
    let include = Include { payload: true, result: all, checkpoints: false };
    let mut count = 0;
    for some in ids.chunks(batch) {
        let views = inspect.get(some.to_vec(), include, Duration::ZERO).await?;
        for view in views.into_iter().flatten() {
            if all || !view.state().is_final() {
                to.line(&Line::new(&view))?;
                count += 1;
            }
        }
    }
    to.line(&End { end: count })?;
    Ok(count)
}

/// How many tasks are read in one call, so that its answer fits a message.
fn batch_size(payload_bytes_max: usize, with_results: bool) -> usize {
    let bodies = if with_results { 2 } else { 1 } * payload_bytes_max;
    let one = bodies + ENVELOPE_BYTES_MAX + CHECKPOINTS_BYTES_MAX;
    (MESSAGE_BYTES_MAX / one).clamp(1, ITEMS_MAX)
}

/// The ids of all tasks that a filter matches now. Listings begin at the newest.
async fn oldest_first(inspect: &dyn Inspect, filter: &Filter) -> Result<Vec<TaskId>> {
    let mut ids = Vec::new();
    let mut after = None;
    loop {
        let page = PageRequest { size: PAGE_MAX, after, include: Include::default() };
        let page = inspect.list(filter.clone(), page).await?;
        ids.extend(page.tasks.iter().map(|view| view.task.id));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    ids.reverse();
    Ok(ids)
}

/// Where lines go: standard output, or a file that gets its name when it is whole.
pub struct Target {
    out: BufWriter<Box<dyn Write>>,
    file: Option<(tempfile::NamedTempFile, PathBuf)>,
}

impl Target {
    /// The way to a file that must not exist, or `-`.
    pub fn open(path: &Path) -> Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self { out: BufWriter::new(Box::new(std::io::stdout())), file: None });
        }
        if path.exists() {
            let what = format!("{} is there already", path.display());
            return Err(Failed::new(Exit::No, what).next("choose another name"));
        }
        let above = path.parent().filter(|above| !above.as_os_str().is_empty());
        let made = tempfile::NamedTempFile::new_in(above.unwrap_or(Path::new(".")));
        let file = made.map_err(|error| Failed::io(path.display(), &error))?;
        let writer = file.reopen().map_err(|error| Failed::io(path.display(), &error))?;
        Ok(Self { out: BufWriter::new(Box::new(writer)), file: Some((file, path.to_owned())) })
    }

    fn line(&mut self, line: &impl Serialize) -> Result<()> {
        let written = serde_json::to_writer(&mut self.out, line).map_err(std::io::Error::from);
        written.and_then(|()| self.out.write_all(b"\n")).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &std::io::Error) -> Failed {
        match &self.file {
            Some((_, path)) => Failed::io(path.display(), error),
            None if error.kind() == std::io::ErrorKind::BrokenPipe => Failed::reader_gone(),
            None => Failed::io("standard output", error),
        }
    }

    /// Everything is written: the file is made durable, and then gets its name, durably.
    pub fn finish(mut self) -> Result<()> {
        self.out.flush().map_err(|error| self.failed(&error))?;
        let Some((file, path)) = self.file else { return Ok(()) };
        let failed = |error: &std::io::Error| Failed::io(path.display(), error);
        file.as_file().sync_all().map_err(|error| failed(&error))?;
        file.persist_noclobber(&path).map_err(|error| failed(&error.error))?;
        sync_directory(&path).map_err(|error| failed(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_in_one_call_fits_a_message_whatever_the_limits_are() {
        for payload in [1, 1024 * 1024, haulier_core::limits::PAYLOAD_BYTES_MAX] {
            let batch = batch_size(payload, false);
            assert!((1..=ITEMS_MAX).contains(&batch));
            assert!(batch == 1 || batch * payload <= MESSAGE_BYTES_MAX, "{payload}");
        }
    }
}
