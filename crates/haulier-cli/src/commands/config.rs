//! `haulier config`: a server's settings, where each comes from, and a file to begin with.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use haulier_server::config;
use serde::Serialize;

use crate::exit::{Exit, Failed, Result};
use crate::output::{self, Output, Row};
use crate::settings::Settings;

/// What to do with the configuration.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Print a file with every setting at its default, or write it
    #[command(after_help = "\
Examples:
  haulier config init
  haulier config init haulier.toml")]
    Init(Init),
    /// Check flags, environment and file, and start nothing
    #[command(after_help = "\
Examples:
  haulier config check --listen 127.0.0.1:7421
  haulier config init haulier.toml && haulier config check -c haulier.toml")]
    Check(Check),
    /// Show each setting in force, and who said so
    #[command(after_help = "\
Examples:
  haulier config show
  haulier config show --drain-timeout 10s -o json")]
    Show(Show),
}

/// A file to begin with.
#[derive(Debug, clap::Args)]
pub struct Init {
    /// Write it here; a file that is there already is left alone
    file: Option<PathBuf>,
}

/// Settings to check.
#[derive(Debug, clap::Args)]
pub struct Check {
    #[command(flatten)]
    settings: Settings,
}

/// Settings to show.
#[derive(Debug, clap::Args)]
pub struct Show {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    output: Output,
}

impl Verb {
    /// Runs the command.
    pub fn run(self) -> Result<Exit> {
        match self {
            Self::Init(init) => init.run(),
            Self::Check(check) => {
                check.settings.load()?;
                output::line(format_args!("ok"))?;
                Ok(Exit::Done)
            }
            Self::Show(show) => show.run(),
        }
    }
}

impl Init {
    fn run(self) -> Result<Exit> {
        let template = config::template();
        let Some(path) = self.file else {
            output::raw(template.as_bytes())?;
            return Ok(Exit::Done);
        };
        let shown = path.display();
        let written = File::create_new(&path).and_then(|mut file| {
            file.write_all(template.as_bytes())?;
            file.sync_all()
        });
        match written {
            Ok(()) => {
                output::say(format_args!("wrote {shown}; start with it: haulier serve -c {shown}"));
                Ok(Exit::Done)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(Failed::new(Exit::No, format!("{shown} is there already and was left alone"))
                    .next("name another file, or move that one away"))
            }
            Err(error) => Err(Failed::io(format_args!("cannot write {shown}"), &error)
                .next("name a file in a directory that you may write to")),
        }
    }
}

/// One setting in force.
#[derive(Debug, Serialize)]
struct Setting {
    key: &'static str,
    value: String,
    source: String,
}

impl Show {
    fn run(self) -> Result<Exit> {
        let loaded = self.settings.load()?;
        let row = |setting: config::Setting| Setting {
            key: setting.key,
            value: setting.value,
            source: setting.source.to_string(),
        };
        let rows: Vec<Setting> = loaded.settings.into_iter().map(row).collect();
        output::rows(self.output.format, &rows, &rows)?;
        Ok(Exit::Done)
    }
}

impl Row for Setting {
    fn heads(_: bool) -> Vec<&'static str> {
        vec!["key", "value", "source"]
    }

    fn cells(&self, _: bool) -> Vec<String> {
        vec![self.key.to_owned(), self.value.clone(), self.source.clone()]
    }

    fn name(&self) -> String {
        self.key.to_owned()
    }
}
