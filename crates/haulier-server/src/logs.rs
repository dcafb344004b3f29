//! The shape of log lines: for people on a terminal, one JSON object a line elsewhere.
//!
//! Lines go to standard error. Keys are `ts level msg target` and the fields of the event (`task`,
//! `kind`, `queue`, `attempt`, `epoch`, `worker`, `code`). Payloads, tokens and header values are
//! never logged; text that came from users is escaped, so that it can neither end a line nor steer
//! a terminal.

use std::fmt;
use std::io::IsTerminal as _;
use std::sync::Arc;

use haulier_core::{Clock, SystemClock};
use serde::Serializer as _;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent};
use tracing_subscriber::registry::LookupSpan;

use crate::api::Instant;
use crate::config::LogFormat;

/// Sends the process's log lines to standard error. Once a process.
///
/// # Errors
/// If the level means nothing, or if logging was set up before.
pub fn init(format: LogFormat, level: &str) -> Result<(), String> {
    let terminal = std::io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Pretty => false,
        LogFormat::Json => true,
    };
    let lines = Lines { json, colour: terminal && !json, clock: Arc::new(SystemClock::new()) };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter(level)?)
        .with_writer(std::io::stderr)
        .event_format(lines)
        .finish();
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|_| "logging was set up before in this process".to_owned())
}

/// Whether a level, or a list of directives, means something.
///
/// # Errors
/// What is wrong with it.
pub fn check_level(level: &str) -> Result<(), String> {
    filter(level).map(|_| ())
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
    // A bare level is meant for Haulier. What it stands on would log frames, and headers with them.
    if let Ok(ours) = level.trim().parse::<LevelFilter>() {
        let theirs = ours.min(LevelFilter::INFO);
        return Ok(EnvFilter::new(format!("{theirs},haulier={ours}")));
    }
    // Any other bare word is a target to the parser: `inof` would silence everything.
    if let Some(word) = level.split(',').find(|part| !part.contains('=') && !is_level(part.trim()))
    {
        return Err(format!("{:?} is no level", word.trim()));
    }
    EnvFilter::builder().parse(level).map_err(|error| error.to_string())
}

/// Writes events as lines.
struct Lines {
    json: bool,
    colour: bool,
    clock: Arc<dyn Clock>,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> tracing_subscriber::fmt::FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let meta = event.metadata();
        let ts = Instant(self.clock.wall()).to_string();
        if self.json {
            return writeln!(writer, "{}", fields.to_json(&ts, meta).map_err(|_| fmt::Error)?);
        }
        let level = meta.level();
        let (on, off) = if self.colour { (colour(*level), "\u{1b}[0m") } else { ("", "") };
        write!(writer, "{ts} {on}{level:>5}{off} {}", fields.message)?;
        for (name, value) in &fields.others {
            match value {
                serde_json::Value::String(text) => write!(writer, " {name}={text}")?,
                other => write!(writer, " {name}={other}")?,
            }
        }
        writeln!(writer)
    }
}

fn colour(level: tracing::Level) -> &'static str {
    match level {
        tracing::Level::ERROR => "\u{1b}[31m",
        tracing::Level::WARN => "\u{1b}[33m",
        tracing::Level::INFO => "\u{1b}[32m",
        _ => "\u{1b}[2m",
    }
}

/// An event's fields, escaped.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, serde_json::Value)>,
}

impl Fields {
    /// The line, its keys in the order of the documents.
    fn to_json(&self, ts: &str, meta: &tracing::Metadata<'_>) -> serde_json::Result<String> {
        let level = meta.level().as_str().to_ascii_lowercase();
        let fixed = [
            ("ts", ts.into()),
            ("level", level.into()),
            ("msg", self.message.as_str().into()),
            ("target", meta.target().into()),
        ];
        let mut line = Vec::new();
        serde_json::Serializer::new(&mut line)
            .collect_map(fixed.iter().chain(&self.others).map(|(name, value)| (name, value)))?;
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    fn add(&mut self, field: &Field, value: serde_json::Value) {
        self.others.push((field.name(), value));
    }

    fn add_text(&mut self, field: &Field, text: &str) {
        let text = escape(text);
        if field.name() == "message" {
            self.message = text;
        } else {
            self.add(field, text.into());
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add_text(field, &format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add_text(field, value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }
}

/// Makes what steers terminals visible: C0, C1 and bidirectional controls.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || turns_text(c) {
            escaped.extend(c.escape_unicode());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Whether a character changes the direction of the text around it.
fn turns_text(c: char) -> bool {
    let marks = '\u{200e}'..='\u{200f}';
    let embeddings = '\u{202a}'..='\u{202e}';
    let isolates = '\u{2066}'..='\u{2069}';
    [marks, embeddings, isolates].iter().any(|range| range.contains(&c))
}

#[cfg(test)]
mod tests {
    use std::io;

    use haulier_core::ManualClock;
    use parking_lot::Mutex;

    use super::*;

    /// Where lines go in a test.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(json: bool) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let lines = Lines { json, colour: false, clock: Arc::new(ManualClock::new()) };
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter("debug").unwrap())
            .with_writer(move || writer.clone())
            .event_format(lines)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(task = "0197", attempt = 2, kind = "a\nb", "done: {}", "\u{1b}[2J");
            tracing::debug!(target: "h2::codec", "a frame");
        });
        let bytes = kept.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_json_line_has_its_keys_in_order_and_a_bare_level_is_for_haulier_alone() {
        let line = concat!(
            r#"{"ts":"2026-01-01T00:00:00.000Z","level":"info","msg":"done: \\u{1b}[2J","#,
            r#""target":"haulier_server::logs::tests","task":"0197","attempt":2,"#,
            r#""kind":"a\\u{a}b"}"#,
            "\n"
        );
        assert_eq!(logged(true), line);
    }

    #[test]
    fn a_line_for_people_is_one_line() {
        let line =
            "2026-01-01T00:00:00.000Z  INFO done: \\u{1b}[2J task=0197 attempt=2 kind=a\\u{a}b\n";
        assert_eq!(logged(false), line);
    }

    #[test]
    fn text_of_users_can_neither_end_a_line_nor_steer_a_terminal() {
        let escaped = escape("a\nb\u{1b}[2J\u{9b}1m\u{202e}c");
        assert_eq!(escaped, "a\\u{a}b\\u{1b}[2J\\u{9b}1m\\u{202e}c");
    }

    #[test]
    fn a_misspelt_level_is_refused_instead_of_silencing_the_log() {
        for fine in ["info", "warn,haulier_server=debug", "haulier_server=trace"] {
            check_level(fine).unwrap();
        }
        for wrong in ["inof", "info,deubg", "haulier=loud"] {
            check_level(wrong).unwrap_err();
        }
    }
}
