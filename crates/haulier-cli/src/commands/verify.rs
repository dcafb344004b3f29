//! `haulier verify`: checks a data directory that no server has open, or a backup, byte by byte. It
//! changes nothing, unless it is asked for what a start would do in any case.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use haulier_core::State;
use haulier_embedded::{Damage, OpenError, Report};
use serde::Serialize;

use crate::exit::{Exit, Failed, Result};
use crate::output::{self, Format, Output};
use crate::text;

/// Checks a data directory or a backup.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  haulier verify haulier-data
  haulier verify haulier-data -o json

Exit code 0 if everything is whole, 65 if something is damaged, 74 if it cannot be read, 78 if a newer
version wrote it, a server uses it, or a restore into it is not finished.")]
pub struct Args {
    /// The data directory of a server that does not run, or a backup
    path: PathBuf,
    /// Cut the unfinished writes of a crash behind the log's end, as a start does, and write hints
    /// anew; never anything else
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    output: Output,
}

/// What was found, as JSON.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each answers a question of its own")]
struct Found<'a> {
    sound: bool,
    refused: bool,
    records: u64,
    parts: u64,
    generation: u32,
    unfinished_tail: bool,
    closed: bool,
    tasks: BTreeMap<&'static str, u64>,
    records_by_kind: &'a BTreeMap<&'static str, u64>,
    segments: Vec<Segment>,
    damage: Vec<Stretch<'a>>,
    contradictions: &'a [String],
}

/// One segment.
#[derive(Debug, Serialize)]
struct Segment {
    number: u32,
    bytes: u32,
    frames: u64,
    records: u64,
    parts: u64,
    hint: &'static str,
}

/// A stretch of a file that does not hold.
#[derive(Debug, Serialize)]
struct Stretch<'a> {
    file: &'a str,
    from: u64,
    to: u64,
    what: &'a str,
    tasks: Vec<String>,
}

impl Args {
    /// Runs the command.
    pub fn run(&self) -> Result<Exit> {
        let shown = self.path.display();
        let report = if self.path.is_file() {
            if self.repair {
                return Err(Failed::new(Exit::Usage, "a backup is never repaired")
                    .next("use another backup, or leave --repair out"));
            }
            haulier_embedded::verify_backup(&self.path)?.1
        } else {
            self.directory()?
        };
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
        let count = text::count(report.findings().count() as u64, "finding");
        Err(Failed::new(Exit::Damage, format!("{shown} is damaged: {count}")).next(
            "keep a copy of it as it is, and restore a backup: haulier restore BACKUP --data DIR",
        ))
    }

    fn directory(&self) -> Result<Report> {
        let shown = self.path.display();
        if !self.path.is_dir() {
            return Err(no_store(&self.path, "is no directory and no backup"));
        }
        let open = |error: OpenError| match error {
            OpenError::Locked { .. } => Failed::new(Exit::Config, format!("{shown} is in use"))
                .next("check a backup of it: `haulier backup FILE`, then `haulier verify FILE`"),
            other => other.into(),
        };
        if self.repair {
            let done = haulier_embedded::repair(&self.path).map_err(open)?;
            if done.cut {
                output::say(format_args!("cut the unfinished writes of a crash"));
            }
            if done.hints > 0 {
                let hints = text::count(u64::from(done.hints), "hint");
                output::say(format_args!("wrote {hints} anew"));
            }
        }
        let report = haulier_embedded::verify(&self.path).map_err(open)?;
        if report.segments.is_empty() && !report.refused {
            return Err(no_store(&self.path, "holds no store"));
        }
        Ok(report)
    }
}

/// There is nothing to look at.
pub fn no_store(path: &Path, why: &str) -> Failed {
    Failed::new(Exit::Io, format!("{} {why}", path.display()))
        .next("name the directory that a server was given with --data")
}

/// Tasks by state, for JSON.
pub fn by_state(report: &Report) -> BTreeMap<&'static str, u64> {
    State::ALL.into_iter().map(|state| (state.as_str(), report.tasks.get(state))).collect()
}

fn found(report: &Report) -> Found<'_> {
    let segments = report.segments.iter().map(|segment| Segment {
        number: segment.number,
        bytes: segment.end,
        frames: segment.frames,
        records: segment.records,
        parts: segment.parts,
        hint: segment.hint.as_str(),
    });
    Found {
        sound: report.is_sound(),
        refused: report.refused,
        records: report.records.values().sum(),
        parts: report.parts(),
        generation: report.generation,
        unfinished_tail: report.unfinished_tail,
        closed: report.closed,
        tasks: by_state(report),
        records_by_kind: &report.records,
        segments: segments.collect(),
        damage: report.damage.iter().map(stretch).collect(),
        contradictions: &report.contradictions,
    }
}

fn stretch(damage: &Damage) -> Stretch<'_> {
    Stretch {
        file: &damage.file,
        from: damage.from,
        to: damage.to,
        what: &damage.what,
        tasks: damage.tasks.iter().map(ToString::to_string).collect(),
    }
}
