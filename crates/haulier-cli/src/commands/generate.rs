//! What is made from the command line itself: completions, manual pages, the version. Nothing here
//! is written by hand, so nothing can fall behind.

use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::{Exit, Failed, Result};
use crate::output;

/// Prints a completion script.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  haulier completions bash > haulier.bash
  haulier completions zsh > _haulier")]
pub struct Completions {
    /// The shell to complete in
    shell: Shell,
}

/// Prints or writes manual pages.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  haulier man > haulier.1
  haulier man man-pages")]
pub struct Man {
    /// Write every page into this directory, which is made if need be
    dir: Option<PathBuf>,
}

/// Prints the version.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  haulier version")]
pub struct Version {}

impl Completions {
    /// Runs the command.
    pub fn run(&self) -> Result<Exit> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "haulier", &mut script);
        output::raw(&script)?;
        Ok(Exit::Done)
    }
}

impl Man {
    /// Runs the command.
    pub fn run(&self) -> Result<Exit> {
        let mut root = Cli::command();
        // Subcommands know their full names only afterwards.
        root.build();
        match &self.dir {
            None => output::raw(&page(root)?)?,
            Some(dir) => {
                std::fs::create_dir_all(dir).map_err(|error| cannot_write(dir, &error))?;
                write_pages(&root, "haulier", dir)?;
            }
        }
        Ok(Exit::Done)
    }
}

fn page(command: clap::Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .map_err(|error| Failed::io("manual page", &error))?;
    Ok(page)
}

fn write_pages(command: &clap::Command, name: &str, dir: &Path) -> Result<()> {
    let path = dir.join(format!("{name}.1"));
    let named = command.clone().name(name.to_owned());
    std::fs::write(&path, page(named)?).map_err(|error| cannot_write(&path, &error))?;
    output::line(format_args!("{}", path.display()))?;
    command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
        .try_for_each(|sub| write_pages(sub, &format!("{name}-{}", sub.get_name()), dir))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failed {
    Failed::io(format_args!("cannot write {}", path.display()), error)
        .next("choose a directory that you may write to")
}

impl Version {
    /// Runs the command.
    pub fn run() -> Result<Exit> {
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        output::line(format_args!("haulier {} ({arch}-{os})", env!("CARGO_PKG_VERSION")))?;
        Ok(Exit::Done)
    }
}
