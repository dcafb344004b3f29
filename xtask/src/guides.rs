//! Runs the guides: every block marked `sh` in the documents is typed, in order, into one shell a
//! document, against a server that this starts and stops. A guide that lies does not pass.
//!
//! Blocks that only show something are marked `text`, `json` or `toml`, and are left alone.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::postgres::server::Server as Database;
use crate::{metadata, tidy};

/// Seconds that a guide may take; one that hangs is wrong, too.
const PATIENCE: &str = "120";

/// Where the command line is documented.
const REFERENCE: &str = "docs/reference/cli.md";

/// The address that the documents name; the server that they are run against listens elsewhere.
const ADDRESS: &str = "http://127.0.0.1:7420";

/// The database that the documents name; where one is needed, it is another one.
const DATABASE: &str = "postgres://haulier:secret@db.example/app";

/// Runs every guide, and compares the reference with the commands that there are.
pub fn run() -> Result<(), String> {
    let target = metadata::read()?.target_directory;
    let programs = target.join("debug");
    let files = tidy::read_repository()?;
    let documents = files.iter().filter(|file| file.path.starts_with("docs/"));
    for guide in documents.clone() {
        let blocks = shell_blocks(&guide.text);
        if !blocks.is_empty() {
            println!("   {}: {} blocks", guide.path, blocks.len());
            let place = target.join("guides").join(guide.path.replace('/', "-"));
            follow(&blocks, &programs, &place).map_err(|why| format!("{}: {why}", guide.path))?;
        }
    }
    let reference = documents.clone().find(|file| file.path == REFERENCE);
    undocumented(&help(&programs)?, reference.map_or("", |file| &file.text))
}

/// Types the blocks of one guide, against a server of its own.
fn follow(blocks: &[String], programs: &Path, place: &Path) -> Result<(), String> {
    fresh(place)?;
    let mut server = Server::start(programs, place)?;
    let script = format!("set -euo pipefail\n{}", blocks.concat());
    let outcome = database(&script).and_then(|database| {
        let url = database.as_ref().map_or_else(String::new, |server| server.url("postgres"));
        let script = script.replace(DATABASE, &url).replace(ADDRESS, &server.url);
        type_in(&script, &server.url, programs, place)
    });
    server.stop();
    outcome
}

/// A database, if a script names one.
fn database(script: &str) -> Result<Option<Database>, String> {
    let start = || Database::start(&std::env::temp_dir());
    script.contains(DATABASE).then(start).transpose()
}

/// What the command line says of itself.
fn help(programs: &Path) -> Result<String, String> {
    let program = programs.join("haulier");
    let output = Command::new(&program)
        .arg("--help")
        .output()
        .map_err(|error| format!("{} could not be started: {error}", program.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Fails if a command that `--help` lists is not in the reference.
fn undocumented(help: &str, reference: &str) -> Result<(), String> {
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = commands
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "help");
    let is_missing = |name: &&str| !reference.contains(&format!("`haulier {name}"));
    let missing: Vec<&str> = names.filter(is_missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("{REFERENCE} does not name the commands {}", missing.join(", ")))
}

/// An empty directory for a guide to litter.
fn fresh(place: &Path) -> Result<(), String> {
    let fail = |error: std::io::Error| format!("{}: {error}", place.display());
    if place.exists() {
        fs::remove_dir_all(place).map_err(fail)?;
    }
    fs::create_dir_all(place).map_err(fail)
}

/// The blocks that a reader is asked to type.
fn shell_blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        match &mut open {
            Some(block) if line == "```" => {
                blocks.push(std::mem::take(block));
                open = None;
            }
            Some(block) => {
                block.push_str(line);
                block.push('\n');
            }
            None if line == "```sh" => open = Some(String::new()),
            None => {}
        }
    }
    blocks
}

/// Types a script into a shell that finds our programs first.
fn type_in(script: &str, url: &str, programs: &Path, place: &Path) -> Result<(), String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("timeout")
        .args([PATIENCE, "bash", "-c", script])
        .current_dir(place)
        .env("PATH", format!("{}:{path}", programs.display()))
        .env("HAULIER_URL", url)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("timeout could not be started: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("its shell ended with {}\n{}", output.status, String::from_utf8_lossy(&said)))
}

/// `haulier dev` on a port of its own.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(programs: &Path, place: &Path) -> Result<Self, String> {
        let program = programs.join("haulier");
        let mut child = Command::new(&program)
            .args(["dev", "--listen", "127.0.0.1:0"])
            .current_dir(place)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{} could not be started: {error}", program.display()))?;
        // The address is all that it prints on standard output, once it listens.
        let mut url = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut url).map_err(|error| error.to_string())?;
        }
        if !url.is_empty() {
            return Ok(Self { child, url: url.trim().to_owned() });
        }
        let ended = child.wait().map_err(|error| error.to_string())?;
        Err(format!("haulier dev said no address and ended with {ended}"))
    }

    fn stop(&mut self) {
        // A server that is gone already is what is wanted; the guide's own outcome tells the rest.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_marked_for_the_shell_is_typed() {
        let text = "```sh\none\ntwo\n```\n```json\n{}\n```\n```sh\nthree\n```\n";
        assert_eq!(shell_blocks(text), ["one\ntwo\n", "three\n"]);
    }

    #[test]
    fn a_command_that_the_reference_does_not_name_is_found() {
        let help = "Usage: x\n\nCommands:\n  dev    A server\n         of yours\n  help   This\n\nOptions:\n  -h\n";
        assert!(undocumented(help, "| `haulier dev` |").is_ok());
        assert!(undocumented(help, "| `haulier serve` |").is_err());
    }
}
