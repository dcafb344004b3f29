//! `cargo xtask tidy`: the house rules that neither compiler nor clippy checks.
//!
//! Each rule is a pure function from text or metadata to findings, with a test that makes it fail:
//! a rule that cannot fail is worth nothing. Only this file reads the disk.

mod documents;
mod edges;
mod lists;
mod manifests;
mod probes;
mod scrub;
mod source;
mod supply;
mod table;

use std::fmt;
use std::fs;
use std::path::Path;

use crate::{metadata, root};

/// A rule that was broken: where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// A file, or a crate.
    pub place: String,
    /// The line, if there is one.
    pub line: Option<usize>,
    /// What is wrong and what would be right.
    pub says: String,
}

impl Finding {
    fn at(place: &str, line: usize, says: impl Into<String>) -> Self {
        Self { place: place.to_owned(), line: Some(line), says: says.into() }
    }

    fn of(place: &str, says: impl Into<String>) -> Self {
        Self { place: place.to_owned(), line: None, says: says.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.place, self.says),
            None => write!(f, "{}: {}", self.place, self.says),
        }
    }
}

/// A file of the repository, by its path from the root.
#[derive(Debug, Clone)]
pub struct File {
    /// Path with forward slashes.
    pub path: String,
    /// What it holds.
    pub text: String,
}

impl File {
    fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|have| have == extension)
    }
}

/// Applies every rule and prints what it finds.
pub fn run() -> Result<(), String> {
    let files = read_repository()?;
    let metadata = metadata::read()?;
    let mut findings: Vec<Finding> = files.iter().flat_map(source::check).collect();
    findings.extend(manifests::check(&files));
    findings.extend(edges::check(&metadata.packages, table::ROWS));
    findings.extend(supply::check(&metadata.packages));
    for budget in table::BUDGETS {
        let tree = metadata::cargo(&supply::tree_arguments(budget.root))?;
        findings.extend(supply::check_budget(budget, &tree));
    }
    findings.extend(documents::check(&files));
    findings.extend(lists::check(&files));
    findings.extend(probes::check(&files));
    findings.extend(supply::check_deny(text_of(&files, "deny.toml")));
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!("tidy: {} files, {} packages", files.len(), metadata.packages.len());
            Ok(())
        }
        count => Err(format!("tidy found {count} things to mend; they are listed above")),
    }
}

/// What a file holds; nothing if it is missing, which every rule about it then finds.
fn text_of<'a>(files: &'a [File], path: &str) -> &'a str {
    files.iter().find(|file| file.path == path).map_or("", |file| file.text.as_str())
}

/// Every text file that people write, sorted by path.
pub fn read_repository() -> Result<Vec<File>, String> {
    let mut files = Vec::new();
    walk(&root(), "", &mut files)?;
    files.sort_by(|a: &File, b: &File| a.path.cmp(&b.path));
    Ok(files)
}

fn walk(directory: &Path, prefix: &str, files: &mut Vec<File>) -> Result<(), String> {
    let fail = |error: std::io::Error| format!("{}: {error}", directory.display());
    for entry in fs::read_dir(directory).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().map_err(fail)?;
        if kind.is_dir() && !is_skipped(&name) {
            walk(&entry.path(), &format!("{path}/"), files)?;
        } else if kind.is_file() {
            // What is not text (an archive of golden data, an image) follows no rule of ours.
            if let Ok(text) = String::from_utf8(fs::read(entry.path()).map_err(fail)?) {
                files.push(File { path, text });
            }
        }
    }
    Ok(())
}

/// Directories that hold no work of ours.
fn is_skipped(name: &str) -> bool {
    matches!(name, "target" | "node_modules" | "dist" | ".git" | ".tmp")
}
