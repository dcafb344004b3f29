//! Rules for the documents: links lead somewhere, lists equal what the code says, and README begins
//! with the two commands that a stranger needs.

use std::collections::BTreeSet;

use haulier_core::{Code, invariant};

use super::edges::render;
use super::table::ROWS;
use super::{File, Finding, text_of};

/// What a stranger types first, in this order.
const FIRST_COMMANDS: [&str; 2] = ["cargo run --release -- quickstart", "cargo xtask test"];

/// Checks all documents.
pub fn check(files: &[File]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = files
        .iter()
        .filter(|file| file.has_extension("md"))
        .flat_map(|f| links(f, files))
        .collect();
    findings.extend(first_commands(text_of(files, "README.md")));
    findings.extend(architecture(text_of(files, "ARCHITECTURE.md")));
    findings.extend(codes(text_of(files, "docs/reference/http.md")));
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

/// The list of invariants and the diagram of crates are the code's own.
fn architecture(text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for invariant in invariant::ALL {
        let line = format!("- **{}** {}", invariant.id, invariant.says);
        if !text.lines().any(|have| have == line) {
            findings.push(Finding::of("ARCHITECTURE.md", format!("lacks the line `{line}`")));
        }
    }
    let known = |line: &&str| {
        invariant::ALL.iter().any(|known| line.starts_with(&format!("- **{}** ", known.id)))
    };
    let stale = text.lines().filter(|line| line.starts_with("- **I") || line.starts_with("- **L"));
    for line in stale.filter(|line| !known(line)) {
        findings.push(Finding::of("ARCHITECTURE.md", format!("invents an invariant: `{line}`")));
    }
    let diagram = render(ROWS);
    if !text.contains(&diagram) {
        let says = format!("its diagram of crates is not the table that tidy checks:\n{diagram}");
        findings.push(Finding::of("ARCHITECTURE.md", says));
    }
    findings
}

/// Every error code is documented.
fn codes(http: &str) -> Vec<Finding> {
    let missing = Code::ALL.iter().filter(|code| !http.contains(&format!("`{code}`")));
    let says = |code| Finding::of("docs/reference/http.md", format!("does not name `{code}`"));
    missing.map(says).collect()
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
    fn readme_begins_with_the_two_commands() {
        let right =
            "# A\n```sh\ncargo run --release -- quickstart  # see it\ncargo xtask test\n```\n";
        assert!(first_commands(right).is_none());
        assert!(first_commands("```sh\ncargo build\n```\n").is_some());
        assert!(first_commands("").is_some());
    }

    #[test]
    fn the_architecture_lists_every_invariant_and_no_other() {
        let lines = invariant::ALL.map(|known| format!("- **{}** {}\n", known.id, known.says));
        let text = format!("{}```\n{}```\n", lines.concat(), render(ROWS));
        assert!(architecture(&text).is_empty());
        assert_eq!(architecture(&text.replace("byte for byte", "nearly")).len(), 1);
        assert_eq!(architecture(&format!("{text}- **I99** all is well\n")).len(), 1);
        assert_eq!(
            architecture(&text.replace("memory       -> core", "memory       -> all")).len(),
            1
        );
    }

    #[test]
    fn an_error_code_that_is_not_documented_is_found() {
        let all = Code::ALL.map(|code| format!("`{code}` ")).concat();
        assert!(codes(&all).is_empty());
        assert_eq!(codes(&all.replace("`queue_full`", "")).len(), 1);
    }
}
