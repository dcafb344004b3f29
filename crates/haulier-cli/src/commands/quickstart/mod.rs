//! `haulier quickstart`: the main job from end to end, in front of whoever tries Haulier first.
//!
//! One task a file, three worker processes, one server on an embedded store. While they work, one
//! worker and then the server itself are killed as a power cut would. In the end every digest is
//! compared with our own pass over the files, and the records of the server and of the workers with
//! each other.

mod account;
mod crew;
mod files;
mod ledger;
mod story;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use haulier_core::Clock;

use self::crew::Crew;
use self::files::Listing;
use self::story::{Report, Story};
pub use self::worker::WorkerArgs;
use crate::exit::{Exit, Failed, Result};
use crate::output::{self, Format, Output};
use crate::{signals, text};

/// Hauls files through a server and three workers, kills some of them, and proves that nothing was
/// lost.
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
        let story = Story::new(crew, listing.files, clock).await?;
        let (report, crew) = story.tell().await?;
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
            .map_err(|error| Failed::io(format_args!("cannot read {shown}"), &error))
            .map_err(|failed| failed.next("name a directory that is there and may be read"))?;
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
        ];
        rows.iter()
            .try_for_each(|(name, value)| output::line(format_args!("{name:<18}{value:>12}")))?;
        let note = if self.keep { "" } else { "  (has ended; --keep leaves it running)" };
        output::line(format_args!("{:<18}{}/api/v1{note}", "API", report.url))
    }
}
