//! `haulier verify`: checks a data directory from outside while no server uses it. It changes
//! nothing, unless it is asked to cut the unfinished writes of a crash, as a start would.

use std::collections::BTreeMap;
use std::path::PathBuf;

use haulier_embedded::Report;
use serde::Serialize;

use crate::exit::{Exit, Failed, Result};
use crate::output::{self, Format, Output};
use crate::text;

/// Checks a data directory.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  haulier verify haulier-data
  haulier verify haulier-data -o json

Exit code 0 if everything is whole, 65 if something is damaged, 74 if it cannot be read, 78 if a newer
version wrote it or, with --repair, a server uses it.")]
pub struct Args {
    /// The data directory of a server that does not run
    dir: PathBuf,
    /// Cut the unfinished writes of a crash behind the log's end, as a start does; never anything
    /// else
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    output: Output,
}

/// What was found, as JSON.
#[derive(Debug, Serialize)]
struct Found<'a> {
    sound: bool,
    segments: usize,
    records: u64,
    parts: u64,
    generation: u32,
    unfinished_tail: bool,
    closed: bool,
    records_by_kind: &'a BTreeMap<&'static str, u64>,
    damage: &'a [String],
}

impl Args {
    /// Runs the command.
    pub fn run(&self) -> Result<Exit> {
        let shown = self.dir.display();
        if !self.dir.is_dir() {
            return Err(Failed::new(Exit::Io, format!("{shown} is no directory"))
                .next("name the directory that a server was given with --data"));
        }
        if self.repair && haulier_embedded::repair(&self.dir)? {
            output::say(format_args!("cut the unfinished writes of a crash"));
        }
        let report = haulier_embedded::verify(&self.dir)?;
        if report.segments.is_empty() {
            return Err(Failed::new(Exit::Io, format!("{shown} holds no store"))
                .next("name the directory that a server was given with --data"));
        }
        match self.output.format {
            Format::Json => output::json(&found(&report))?,
            Format::Ndjson => output::json_line(&found(&report))?,
            Format::Name | Format::Table | Format::Wide => {
                output::line(format_args!("{}", text::block(&report.to_string())))?;
            }
        }
        if report.is_sound() {
            return Ok(Exit::Done);
        }
        let count = text::count(report.damage.len() as u64, "damaged part");
        Err(Failed::new(Exit::Damage, format!("{shown}: {count}"))
            .next("restore the directory from a backup"))
    }
}

fn found(report: &Report) -> Found<'_> {
    Found {
        sound: report.is_sound(),
        segments: report.segments.len(),
        records: report.records.values().sum(),
        parts: report.parts,
        generation: report.generation,
        unfinished_tail: report.unfinished_tail,
        closed: report.closed,
        records_by_kind: &report.records,
        damage: &report.damage,
    }
}
