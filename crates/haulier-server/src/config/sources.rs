//! Where settings come from, and which source won.

use std::fmt;
use std::path::{Path, PathBuf};

use haulier_core::probe;

use super::keys::{KEYS, Key, hint};
use super::{Config, ConfigError};

/// Variables that begin like ours and are not the server's: those of clients and of the command
/// line, those that `haulier work --exec` sets for a task's program, and those of the test suites.
const OTHERS: &[&str] = &[
    "URL",
    "TOKEN",
    "CA",
    "CERT",
    "KEY",
    "LOG",
    "CONFIG",
    "TASK_ID",
    "KIND",
    "QUEUE",
    "ATTEMPT",
    "EPOCH",
    "SEED",
    "HISTORIES",
];

/// Kubernetes sets these for a service that is called `haulier`.
const SERVICE_PREFIXES: &[&str] = &["SERVICE_", "PORT"];

/// Everything that was said about the settings.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Key and value of each flag that was given; keys as in the file.
    pub flags: Vec<(String, String)>,
    /// The environment; what does not begin with `HAULIER_` is not looked at.
    pub env: Vec<(String, String)>,
    /// The configuration file, if there is one.
    pub file: Option<PathBuf>,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody said anything.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
    /// A flag on the command line.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A configuration, and for each key the value in force and who said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// The same as text, in the order of [`KEYS`]; passwords are hidden.
    pub settings: Vec<Setting>,
}

/// One setting in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its key.
    pub key: &'static str,
    /// Its value, as it could stand in the file; passwords are hidden.
    pub value: String,
    /// Who said so.
    pub source: Source,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// The first key or value that is wrong.
    pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
        let mut config = Self::default();
        let mut said: Vec<Source> = vec![Source::Default; KEYS.len()];
        // Later ones win.
        let all = from_file(sources.file.as_deref())?
            .into_iter()
            .chain(from_env(&sources.env)?)
            .chain(from_flags(&sources.flags)?);
        for (at, value, source) in all {
            let key = &KEYS[at];
            (key.set)(&mut config, &value).map_err(|why| ConfigError::Value {
                key: key.name,
                value,
                source_name: source.clone(),
                why,
                allowed: key.allowed,
            })?;
            said[at] = source;
        }
        let settings = KEYS
            .iter()
            .zip(said)
            .map(|(key, source)| Setting { key: key.name, value: shown(key, &config), source })
            .collect();
        Ok(Loaded { config, settings })
    }
}

fn shown(key: &Key, config: &Config) -> String {
    if key.name == "store" { config.store.to_string() } else { (key.get)(config) }
}

/// Place of a key in [`KEYS`], its value, and where it stands.
type Said = (usize, String, Source);

fn place(name: &str) -> Option<usize> {
    KEYS.iter().position(|key| key.name == name)
}

fn from_file(path: Option<&Path>) -> Result<Vec<Said>, ConfigError> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        // The parser's own picture of the place takes several lines.
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let (line, column) = (before.matches('\n').count() + 1, before.rsplit('\n').next());
        let column = column.unwrap_or_default().chars().count() + 1;
        let why = format!("{} (line {line}, column {column})", error.message());
        ConfigError::Syntax { path: path.to_owned(), why }
    })?;
    let source = Source::File(path.to_owned());
    table
        .into_iter()
        .map(|(name, value)| {
            let at = place(&name).ok_or_else(|| ConfigError::UnknownKey {
                hint: hint(&name, |key| key.name.to_owned()),
                key: name,
                source_name: source.clone(),
            })?;
            // Numbers may stand without quotes; everything else must be text.
            let value = match value {
                toml::Value::String(text) => text,
                other => other.to_string(),
            };
            Ok((at, value, source.clone()))
        })
        .collect()
}

fn from_env(env: &[(String, String)]) -> Result<Vec<Said>, ConfigError> {
    let mut said = Vec::new();
    for (variable, value) in env {
        let Some(rest) = variable.strip_prefix("HAULIER_") else { continue };
        let service = SERVICE_PREFIXES.iter().any(|prefix| rest.starts_with(prefix));
        let probes = probe::VARIABLES.contains(&variable.as_str());
        if service || probes || OTHERS.contains(&rest) {
            continue;
        }
        let at = KEYS.iter().position(|key| key.variable() == *variable).ok_or_else(|| {
            ConfigError::UnknownKey {
                key: variable.clone(),
                source_name: Source::Variable(variable.clone()),
                hint: hint(variable, Key::variable),
            }
        })?;
        said.push((at, value.clone(), Source::Variable(variable.clone())));
    }
    Ok(said)
}

fn from_flags(flags: &[(String, String)]) -> Result<Vec<Said>, ConfigError> {
    flags
        .iter()
        .map(|(name, value)| {
            let source = Source::Flag(format!("--{}", name.replace('_', "-")));
            match place(name) {
                Some(at) => Ok((at, value.clone(), source)),
                None => Err(ConfigError::UnknownKey {
                    key: name.clone(),
                    source_name: source,
                    hint: hint(name, |key| key.name.to_owned()),
                }),
            }
        })
        .collect()
}
