//! The table of keys. To add a setting, add a field to [`Config`] and a row here; flag, variable,
//! file, `config show` and the template follow from it.

use haulier_core::{Durability, limits, span};

use super::{Config, LogFormat, StoreUrl};

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name, the same in every source.
    pub name: &'static str,
    /// What is allowed, for error messages and documents.
    pub allowed: &'static str,
    /// What it is for.
    pub help: &'static str,
    /// Reads a value into its field; says what is wrong with it.
    pub(super) set: fn(&mut Config, &str) -> Result<(), String>,
    /// Writes the field's value so that `set` reads it back.
    pub(super) get: fn(&Config) -> String,
}

/// Every setting, in the order of the documents.
pub const KEYS: &[Key] = &[
    Key {
        name: "listen",
        allowed: "an IP address with a port, as in 127.0.0.1:7420 (port 0 takes any free one)",
        help: "Where to listen. Loopback only, until TLS and authentication are there.",
        set: |config, text| {
            let address = text.parse().map_err(|_| "not an address with a port".to_owned())?;
            config.listen = address;
            Ok(())
        },
        get: |config| config.listen.to_string(),
    },
    Key {
        name: "store",
        allowed: "file:DIRECTORY, postgres://USER@HOST/DATABASE, redis[+sentinel|+cluster]://HOST or memory:",
        help: "Where tasks are kept.",
        set: |config, text| {
            let has_scheme = text.split_once(':').is_some_and(|(scheme, _)| !scheme.is_empty());
            if !has_scheme {
                return Err("it has no scheme".to_owned());
            }
            config.store = StoreUrl::new(text);
            Ok(())
        },
        get: |config| config.store.as_str().to_owned(),
    },
    Key {
        name: "min_durability",
        allowed: "D0, D1, D2 or D3",
        help: "The weakest durability class of a store on which the server still starts.",
        set: |config, text| {
            let class = Durability::parse(text).ok_or("no durability class")?;
            config.min_durability = class;
            Ok(())
        },
        get: |config| config.min_durability.to_string(),
    },
    Key {
        name: "migrate",
        allowed: "true or false",
        help: "Whether a database is given Haulier's tables, or newer ones, at the start.",
        set: |config, text| {
            config.migrate = text.parse().map_err(|_| "neither true nor false".to_owned())?;
            Ok(())
        },
        get: |config| config.migrate.to_string(),
    },
    Key {
        name: "allow_plaintext_store",
        allowed: "true or false",
        help: "Whether a database on another machine may be talked to without encryption.",
        set: |config, text| {
            let allowed = text.parse().map_err(|_| "neither true nor false".to_owned())?;
            config.allow_plaintext_store = allowed;
            Ok(())
        },
        get: |config| config.allow_plaintext_store.to_string(),
    },
    Key {
        name: "payload_bytes_max",
        allowed: "1 to 16777216",
        help: "Largest payload or result accepted, in bytes.",
        set: |config, text| {
            let bytes: usize = text.parse().map_err(|_| "not a whole number".to_owned())?;
            if !(1..=limits::PAYLOAD_BYTES_MAX).contains(&bytes) {
                return Err("out of range".to_owned());
            }
            config.payload_bytes_max = bytes;
            Ok(())
        },
        get: |config| config.payload_bytes_max.to_string(),
    },
    Key {
        name: "drain_timeout",
        allowed: "a duration up to 1h, as in 25s",
        help: "How long running calls and streams may take to end after the order to stop.",
        set: |config, text| {
            let timeout = span::parse(text).map_err(|refusal| refusal.message)?;
            if timeout > std::time::Duration::from_hours(1) {
                return Err("too long".to_owned());
            }
            config.drain_timeout = timeout;
            Ok(())
        },
        get: |config| span::format(config.drain_timeout),
    },
    Key {
        name: "log_format",
        allowed: "auto, pretty or json",
        help: "The shape of log lines. auto: pretty on a terminal, json elsewhere.",
        set: |config, text| {
            let known = LogFormat::ALL.into_iter().find(|(_, name)| *name == text);
            config.log_format = known.ok_or("no log format")?.0;
            Ok(())
        },
        get: |config| {
            let name = LogFormat::ALL.into_iter().find(|(format, _)| *format == config.log_format);
            name.map_or("auto", |(_, name)| name).to_owned()
        },
    },
    Key {
        name: "log_level",
        allowed: "error, warn, info, debug, trace or directives as in info,haulier_server=debug",
        help: "What is logged.",
        set: |config, text| {
            crate::logs::check_level(text)?;
            text.clone_into(&mut config.log_level);
            Ok(())
        },
        get: |config| config.log_level.clone(),
    },
];

impl Key {
    /// The key of that name.
    pub fn find(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// Its name as a variable: `HAULIER_LISTEN`.
    pub fn variable(&self) -> String {
        format!("HAULIER_{}", self.name.to_ascii_uppercase())
    }

    /// Its name as a flag: `--drain-timeout`.
    pub fn flag(&self) -> String {
        format!("--{}", self.name.replace('_', "-"))
    }

    /// Its value when nothing else was said.
    pub fn default_value(&self) -> String {
        (self.get)(&Config::default())
    }
}

/// Says what an unknown key could have meant: the nearest known one, or all of them.
pub(super) fn hint(unknown: &str, spell: fn(&Key) -> String) -> String {
    let nearest = KEYS
        .iter()
        .map(|key| (distance(&unknown.to_ascii_lowercase(), &spell(key).to_ascii_lowercase()), key))
        .min_by_key(|(distance, _)| *distance);
    match nearest {
        Some((distance, key)) if distance <= 2.max(unknown.len() / 3) => {
            format!("did you mean `{}`?", spell(key))
        }
        _ => {
            let all: Vec<String> = KEYS.iter().map(spell).collect();
            format!("known are {}", all.join(", "))
        }
    }
}

/// Insertions, deletions and replacements that make one word of the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, left) in from.chars().take(200).enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, right) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(left != *right);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

/// A configuration file with every key at its default, commented out.
pub fn template() -> String {
    KEYS.iter().fold("# Configuration of a Haulier server.\n".to_owned(), |file, key| {
        let value = toml::Value::String(key.default_value());
        let Key { name, allowed, help, .. } = key;
        format!("{file}\n# {help}\n# Allowed: {allowed}.\n# {name} = {value}\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_reads_back_as_itself() {
        let mut config = Config::default();
        for key in KEYS {
            (key.set)(&mut config, &key.default_value()).unwrap();
        }
        assert_eq!(config, Config::default());
    }

    #[test]
    fn a_slip_of_the_finger_finds_its_key_and_nonsense_finds_the_list() {
        assert_eq!(hint("lisen", |key| key.name.to_owned()), "did you mean `listen`?");
        assert_eq!(hint("HAULIER_STROE", Key::variable), "did you mean `HAULIER_STORE`?");
        assert!(hint("zzzzzzzzzz", |key| key.name.to_owned()).contains("log_level"));
    }

    #[test]
    fn the_template_is_a_valid_file_of_defaults_once_uncommented() {
        let file: String = template()
            .lines()
            .filter_map(|line| line.strip_prefix("# ").filter(|line| line.contains(" = \"")))
            .fold(String::new(), |file, line| file + line + "\n");
        let table: toml::Table = file.parse().unwrap();
        assert_eq!(table.len(), KEYS.len());
    }
}
