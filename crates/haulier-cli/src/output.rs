//! Where words go: data on standard output, chatter on standard error, colour on terminals only. A
//! reader that goes away is no error and never a panic.

use std::fmt::Arguments;
use std::io::{ErrorKind, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use clap::ValueEnum;
use clap::builder::styling::{AnsiColor, Reset, Style};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::exit::{Exit, Failed, Result};
use crate::text;

/// Red, for what is wrong.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Yellow, for what deserves a look.
pub const CAUTION: Style = AnsiColor::Yellow.on_default();
/// Green, for what is well.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// The end of any of them.
pub const PLAIN: Reset = Reset;

/// How data is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// More columns.
    Wide,
    /// One document, as the HTTP API gives it.
    Json,
    /// One document a line.
    Ndjson,
    /// Ids or names only, one a line.
    Name,
}

/// The flag that chooses it.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Output {
    /// How to write data
    #[arg(short = 'o', long = "output", value_enum, default_value_t, value_name = "FORMAT")]
    pub format: Format,
}

/// One row of a listing.
pub trait Row: Serialize {
    /// Heads of the columns.
    fn heads(wide: bool) -> Vec<&'static str>;
    /// Its cells, in the same order; they are escaped when they are written.
    fn cells(&self, wide: bool) -> Vec<String>;
    /// What `-o name` writes.
    fn name(&self) -> String;
}

/// Writes rows in the chosen format; `document` is the API's own shape of the whole, for `-o json`.
pub fn rows<R: Row>(format: Format, rows: &[R], document: &impl Serialize) -> Result<()> {
    match format {
        Format::Json => json(document),
        Format::Ndjson => rows.iter().try_for_each(json_line),
        Format::Name => rows.iter().try_for_each(|row| line(format_args!("{}", row.name()))),
        Format::Table | Format::Wide => {
            let wide = format == Format::Wide;
            table(&R::heads(wide), rows.iter().map(|row| row.cells(wide)))
        }
    }
}

/// Writes columns without borders, headed in capitals.
pub fn table(heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(heads.iter().map(|head| head.to_uppercase()));
    for cells in rows {
        table.add_row(cells.iter().map(|cell| text::line(cell).into_owned()));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().try_for_each(|row| line(format_args!("{}", row.trim_end())))
}

/// Writes one document over several lines.
pub fn json(document: &impl Serialize) -> Result<()> {
    write_json(serde_json::to_string_pretty(document))
}

/// Writes one document on one line.
pub fn json_line(document: &impl Serialize) -> Result<()> {
    write_json(serde_json::to_string(document))
}

fn write_json(written: serde_json::Result<String>) -> Result<()> {
    let written = written
        .map_err(|error| Failed::new(Exit::Bug, format!("cannot be written as JSON: {error}")))?;
    // A program gets every byte as it is; a terminal would act on some of them.
    if std::io::stdout().is_terminal() {
        return line(format_args!("{}", text::json(&written)));
    }
    line(format_args!("{written}"))
}

/// Writes one line of data.
pub fn line(data: Arguments<'_>) -> Result<()> {
    written(writeln!(anstream::stdout(), "{data}"))
}

/// Writes bytes of data as they are, or, on a terminal, what of them can be shown.
pub fn bytes(data: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    if stdout.is_terminal() {
        let shown = String::from_utf8_lossy(data);
        return written(writeln!(stdout, "{}", text::block(&shown)));
    }
    written(stdout.write_all(data).and_then(|()| stdout.flush()))
}

/// Writes text that this program made itself, as it is.
pub fn raw(data: &[u8]) -> Result<()> {
    written(std::io::stdout().lock().write_all(data))
}

fn written(result: std::io::Result<()>) -> Result<()> {
    result.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failed::reader_gone(),
        _ => Failed::io("standard output", &error),
    })
}

/// Writes a line of chatter.
pub fn say(chatter: Arguments<'_>) {
    chat(format_args!("{chatter}\n"));
}

/// Writes chatter and stays on the line.
pub fn prompt(chatter: Arguments<'_>) {
    chat(chatter);
}

fn chat(chatter: Arguments<'_>) {
    let mut stderr = AutoStream::new(std::io::stderr(), ColorChoice::Auto);
    if write!(stderr, "{chatter}").and_then(|()| stderr.flush()).is_err() {
        // Standard error is closed: there is nowhere left to say so, and the work goes on.
    }
}
