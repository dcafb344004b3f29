//! Rules for the documents: links lead somewhere, places in the code that they name are there, and
//! README begins with the two commands that a stranger needs.

use std::collections::BTreeSet;

use super::{File, Finding, text_of};

/// What a stranger types first, in this order.
const FIRST_COMMANDS: [&str; 2] = ["cargo run --release -- quickstart", "cargo xtask test"];

/// Checks all documents.
pub fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.has_extension("md")) {
        findings.extend(links(file, files));
        findings.extend(places(file, files));
    }
    findings.extend(first_commands(text_of(files, "README.md")));
    findings
}

fn first_commands(readme: &str) -> Option<Finding> {
    let mut commands = code_lines(readme);
    FIRST_COMMANDS.iter().find(|command| commands.next() != Some(**command)).map(|command| {
        Finding::of("README.md", format!("`{command}` must stand first in its code blocks"))
    })
}

/// The lines of all fenced blocks, without comments behind them.
fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.lines()
        .filter(move |line| {
            let fence = line.starts_with("```");
            inside ^= fence;
            inside && !fence
        })
        .map(|line| line.split(" #").next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty())
}

/// Relative links of a document that lead nowhere.
fn links(file: &File, files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, target) in link_targets(&file.text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        let full = if path.is_empty() { file.path.clone() } else { resolve(&file.path, path) };
        let directory = format!("{}/", full.trim_end_matches('/'));
        let is_directory = files.iter().any(|other| other.path.starts_with(&directory));
        match files.iter().find(|other| other.path == full) {
            Some(other) if !anchor.is_empty() && !anchors(&other.text).contains(anchor) => {
                let says = format!("`{target}`: {full} has no heading #{anchor}");
                findings.push(Finding::at(&file.path, line, says));
            }
            Some(_) => {}
            None if is_directory => {}
            None => {
                let says = format!("`{target}` leads nowhere");
                findings.push(Finding::at(&file.path, line, says));
            }
        }
    }
    findings
}

/// Every `](target)` outside code, with its line.
fn link_targets(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (at, line) in text.lines().enumerate() {
        fenced ^= line.trim_start().starts_with("```");
        let prose = if fenced { "" } else { line };
        let targets = prose.split("](").skip(1).filter_map(|part| part.split(')').next());
        found.extend(targets.map(|target| (at + 1, target)));
    }
    found
}

/// Places in the code that a document names, as in `crates/a/src/b.rs::function`, and that are not
/// there.
fn places(file: &File, files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, line) in file.text.lines().enumerate() {
        for token in line.split('`').skip(1).step_by(2).filter(|token| is_place(token)) {
            let (path, item) = token.split_once("::").unwrap_or((token, ""));
            let directory = format!("{}/", path.trim_end_matches('/'));
            let found = match files.iter().find(|other| other.path == path) {
                Some(other) => item.is_empty() || defines(&other.text, item),
                None => files.iter().any(|other| other.path.starts_with(&directory)),
            };
            if !found {
                findings.push(Finding::at(&file.path, at + 1, format!("`{token}` is not there")));
            }
        }
    }
    findings
}

/// Whether a piece of inline code names a place in the repository.
fn is_place(token: &str) -> bool {
    let roots = ["crates/", "docs/", "xtask/", ".ci/", ".github/"];
    roots.iter().any(|root| token.starts_with(root)) && !token.contains(['*', ' ', '…'])
}

/// Whether a source file defines an item of that name.
fn defines(source: &str, item: &str) -> bool {
    ["fn ", "struct ", "enum ", "trait ", "const ", "macro_rules! "].iter().any(|word| {
        source.match_indices(&format!("{word}{item}")).any(|(at, found)| {
            let after = source[at + found.len()..].chars().next().unwrap_or(' ');
            !after.is_alphanumeric() && after != '_'
        })
    })
}

/// A path seen from a document, as one from the root.
fn resolve(from: &str, path: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let heading = |line: &str| {
        let title = line.strip_prefix('#')?.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        Some(kept.map(|c| if c == ' ' { '-' } else { c }).collect())
    };
    text.lines().filter_map(heading).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let target = file("docs/start.md", "# Start here!\n");
        let count = |text: &str| {
            let document = file("docs/adr/0001.md", text);
            links(&document, &[target.clone(), document.clone()]).len()
        };
        assert_eq!(count("[a](../start.md) [b](../start.md#start-here) [c](https://x.org)"), 0);
        assert_eq!(count("[a](../../docs/adr/)"), 0, "a directory is a place");
        assert_eq!(count("[a](start.md)"), 1);
        assert_eq!(count("[a](../start.md#nowhere)"), 1);
        assert_eq!(count("```\n[a](start.md)\n```"), 0, "code is no link");
    }

    #[test]
    fn a_place_that_is_not_there_is_found() {
        let code = file("crates/a/src/b.rs", "pub fn claim_all() {}\n");
        let count = |text: &str| places(&file("A.md", text), std::slice::from_ref(&code)).len();
        assert_eq!(
            count("`crates/a/src/b.rs` and `crates/a/` and `crates/a/src/b.rs::claim_all`"),
            0
        );
        assert_eq!(count("`crates/a/src/c.rs`"), 1);
        assert_eq!(count("`crates/a/src/b.rs::claim`"), 1);
        assert_eq!(count("crates/none is prose, `a/b` is elsewhere"), 0);
    }

    #[test]
    fn readme_begins_with_the_two_commands() {
        let right =
            "# A\n```sh\ncargo run --release -- quickstart  # see it\ncargo xtask test\n```\n";
        assert!(first_commands(right).is_none());
        assert!(first_commands("```sh\ncargo build\n```\n").is_some());
        assert!(first_commands("").is_some());
    }
}
