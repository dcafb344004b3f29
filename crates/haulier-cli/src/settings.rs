//! A server's settings on the command line. The flags are made from the server's own table of keys,
//! so that a new setting is a flag without anybody writing it here.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, FromArgMatches};
use haulier_server::Config;
use haulier_server::config::{ConfigError, KEYS, Loaded, Sources};

use crate::exit::{Exit, Failed, Result};

/// Flags and file; the environment is read when they are put together.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    flags: Vec<(String, String)>,
    file: Option<PathBuf>,
}

impl Settings {
    /// Sets a key as a flag would, unless there is such a flag.
    pub fn default_to(&mut self, key: &str, value: impl Into<String>) {
        if !self.flags.iter().any(|(name, _)| name == key) {
            self.flags.push((key.to_owned(), value.into()));
        }
    }

    /// Puts flags, environment, file and defaults together.
    pub fn load(&self) -> Result<Loaded> {
        let env = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let sources =
            Sources { flags: self.flags.clone(), env: env.collect(), file: self.file.clone() };
        Config::load(&sources).map_err(|error| refused(&error))
    }
}

fn refused(error: &ConfigError) -> Failed {
    Failed::new(Exit::Config, error.to_string())
        .next("see every key with its meaning: haulier config init")
}

impl clap::Args for Settings {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config")
            .short('c')
            .long("config")
            .env("HAULIER_CONFIG")
            .hide_env(true)
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("Configuration file, TOML; write one with `haulier config init`");
        KEYS.iter().fold(command.arg(file), |command, key| {
            let help =
                format!("{} [default: {}]", key.help.trim_end_matches('.'), key.default_value());
            command.arg(
                Arg::new(key.name)
                    .long(key.name.replace('_', "-"))
                    .value_name("VALUE")
                    .help(help)
                    .long_help(format!(
                        "{}\n\nAllowed: {}\n\n[default: {}]",
                        key.help,
                        key.allowed,
                        key.default_value()
                    )),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut settings = Self::default();
        settings.update_from_arg_matches(matches)?;
        Ok(settings)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.file = matches.get_one::<PathBuf>("config").cloned();
        for key in KEYS {
            if let Some(value) = matches.get_one::<String>(key.name) {
                self.flags.push((key.name.to_owned(), value.clone()));
            }
        }
        Ok(())
    }
}
