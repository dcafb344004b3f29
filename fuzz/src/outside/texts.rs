//! Texts that people write: settings, durations, filters, names.

use std::hint::black_box;
use std::path::PathBuf;

use haulier_core::filter::Subject;
use haulier_core::{
    Code, Filter, Kind, Pairs, QueueName, State, TaskId, Timestamp, WorkerId, span,
};
use haulier_server::{Config, Sources, api};

/// A text as everything that people write.
pub fn text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    duration(text);
    filter(text);
    name(text);
}

/// A duration.
fn duration(text: &str) {
    let Ok(read) = span::parse(text) else { return };
    let shown = span::format(read);
    assert_eq!(span::parse(&shown), Ok(read), "{text:?} is shown as {shown:?}");
}

/// A filter, and what it matches.
fn filter(text: &str) {
    let Ok(read) = Filter::parse(text) else { return };
    let shown = read.to_string();
    assert_eq!(Filter::parse(&shown).as_ref(), Ok(&read), "{text:?} is shown as {shown:?}");
    let labels: Pairs = [("tenant", "acme")].into_iter().collect();
    let subject = Subject {
        queue: "mail",
        kind: "email.send",
        state: State::Dead,
        reason: None,
        enqueued_at: Timestamp(1_000),
        labels: &labels,
    };
    let now = Timestamp(10_000);
    if read.matches(&subject, now) {
        let wider = read.without_labels();
        assert!(wider.matches(&subject, now), "{text:?} matches more with its labels");
    }
}

/// A name, an id, an instant, a word.
fn name(text: &str) {
    if let Ok(name) = QueueName::new(text) {
        assert_eq!(name.as_str(), text);
        assert!(Kind::new(text).is_ok() && WorkerId::new(text).is_ok(), "one grammar for all");
    }
    if let Ok(id) = TaskId::parse(text) {
        assert_eq!(TaskId::parse(&id.to_string()), Ok(id));
    }
    black_box(Code::parse(text));
    black_box(State::parse(text));
    black_box(haulier_core::Durability::parse(text));
    let quoted = serde_json::to_string(text).unwrap_or_default();
    if let Ok(instant) = serde_json::from_str::<api::Instant>(&quoted) {
        let shown = serde_json::to_string(&instant).unwrap_or_default();
        let again = serde_json::from_str::<api::Instant>(&shown).map(|again| again.0);
        assert_eq!(again.ok(), Some(instant.0), "{text:?} is shown as {shown}");
    }
    black_box(serde_json::from_str::<api::Epoch>(&quoted)).ok();
    black_box(serde_json::from_str::<api::Base64>(&quoted)).ok();
}

/// A configuration: the bytes as a file, and each of their lines as one setting.
pub fn config(bytes: &[u8]) {
    let file = scratch();
    if std::fs::write(&file, bytes).is_ok() {
        let sources = Sources { file: Some(file), ..Sources::default() };
        black_box(Config::load(&sources)).ok();
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for line in text.lines().take(32) {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        let variable = (format!("HAULIER_{}", key.to_uppercase()), value.clone());
        let env = Sources { env: vec![variable], ..Sources::default() };
        black_box(Config::load(&env)).ok();
        let flags = Sources { flags: vec![(key, value)], ..Sources::default() };
        let Ok(loaded) = Config::load(&flags) else { continue };
        // What is in force can be said again, in the words in which it is shown.
        let said = loaded.settings.into_iter().map(|said| (said.key.to_owned(), said.value));
        let again = Config::load(&Sources { flags: said.collect(), ..Sources::default() });
        let again = again.map(|again| again.config.store.to_string());
        assert_eq!(again.ok(), Some(loaded.config.store.to_string()), "{line:?}");
    }
}

/// A file of this process.
fn scratch() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let directory = if memory.is_dir() { memory } else { std::env::temp_dir() };
    directory.join(format!("haulier-fuzz-{}.toml", std::process::id()))
}
