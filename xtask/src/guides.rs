//! Runs the guides: every block marked `sh` in the documents is typed, in order, into one shell a
//! document, against a server that this starts and stops. A guide that lies does not pass.
//!
//! Blocks that only show something are marked `text`, `json` or `toml`, and are left alone.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::{metadata, root};

/// The documents that are run, from the root.
const GUIDES: [&str; 4] = [
    "docs/start.md",
    "docs/guides/http.md",
    "docs/guides/any-language-worker.md",
    "docs/operations/durability-and-recovery.md",
];

/// The address that the documents name; the server that they are run against listens elsewhere.
const ADDRESS: &str = "http://127.0.0.1:7420";

/// Runs every guide.
pub fn run() -> Result<(), String> {
    let target = metadata::read()?.target_directory;
    let programs = target.join("debug");
    for guide in GUIDES {
        let text = fs::read_to_string(root().join(guide)).map_err(|e| format!("{guide}: {e}"))?;
        let blocks = shell_blocks(&text);
        println!("   {guide}: {} blocks", blocks.len());
        let place = target.join("guides").join(guide.replace('/', "-"));
        fresh(&place)?;
        let mut server = Server::start(&programs, &place)?;
        let script = format!("set -euo pipefail\n{}", blocks.concat());
        let outcome =
            type_in(&script.replace(ADDRESS, &server.url), &server.url, &programs, &place);
        server.stop();
        outcome.map_err(|why| format!("{guide}: {why}"))?;
    }
    Ok(())
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
    let output = Command::new("bash")
        .args(["-c", script])
        .current_dir(place)
        .env("PATH", format!("{}:{path}", programs.display()))
        .env("HAULIER_URL", url)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("bash could not be started: {error}"))?;
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
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{} could not be started: {error}", program.display()))?;
        let mut lines =
            child.stderr.take().map(BufReader::new).into_iter().flat_map(BufRead::lines);
        let url = lines.by_ref().map_while(Result::ok).find_map(|line| find_url(&line));
        // The rest is read and dropped, or the server would one day wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        if let Some(url) = url {
            return Ok(Self { child, url });
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

/// The first address in a line that the server prints.
fn find_url(line: &str) -> Option<String> {
    let at = line.find("http://127.0.0.1:")?;
    let address = &line[at..];
    let ends = |c: char| !(c.is_alphanumeric() || ":/.".contains(c));
    let end = address.find(ends).unwrap_or(address.len());
    Some(address[..end].trim_end_matches('/').to_owned())
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
    fn the_address_is_found_wherever_it_stands() {
        let found = |line| find_url(line).unwrap_or_default();
        assert_eq!(found("API  http://127.0.0.1:4711/ (curl)"), "http://127.0.0.1:4711");
        assert_eq!(found("\"http://127.0.0.1:80\""), "http://127.0.0.1:80");
        assert_eq!(found("no address"), "");
    }
}
