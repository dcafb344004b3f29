//! Why settings cannot be used. Each says which key, which value, from where, and what is allowed.

use std::io;
use std::path::PathBuf;

use super::Source;

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "cannot read configuration file {}: {source}; check the path, or leave out `-c`",
        path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("configuration file {} is not valid TOML: {why}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        why: String,
    },
    /// There is no such key.
    #[error("unknown key `{key}` in {source_name}; {hint}")]
    UnknownKey {
        /// The key as it was written.
        key: String,
        /// Where it stands.
        source_name: Source,
        /// The nearest known one, or all of them.
        hint: String,
    },
    /// The value is not allowed.
    #[error("`{key}` is {value:?} in {source_name}: {why}; allowed: {allowed}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value as it was written.
        value: String,
        /// Where it stands.
        source_name: Source,
        /// What is wrong with it.
        why: String,
        /// What it could be.
        allowed: &'static str,
    },
}
