//! Rules for Cargo.toml files: versions stand in the workspace's alone, every crate obeys its
//! lints, and nothing stands there that nobody uses.

use super::{File, Finding, text_of};

/// Checks every manifest.
pub fn check(files: &[File]) -> Vec<Finding> {
    // The fuzzers' workspace is not this one.
    let is_member =
        |file: &&File| file.path.ends_with("/Cargo.toml") && !file.path.starts_with("fuzz/");
    let members: Vec<&File> = files.iter().filter(is_member).collect();
    let mut findings: Vec<Finding> = members.iter().flat_map(|file| member(file)).collect();
    findings.extend(unused(text_of(files, "Cargo.toml"), &members));
    findings
}

fn member(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !file.text.contains("[lints]\nworkspace = true\n") {
        let says = "does not obey the workspace's lints: add `[lints]`, `workspace = true`";
        findings.push(Finding::of(&file.path, says));
    }
    for (line, name, value) in dependencies(&file.text) {
        if value.starts_with('"') || value.contains("version =") {
            let says = format!("{name} has a version of its own: name it in the workspace's");
            findings.push(Finding::at(&file.path, line, says));
        }
    }
    findings
}

/// What the workspace names and no crate does.
fn unused(workspace: &str, members: &[&File]) -> Vec<Finding> {
    let names =
        |file: &&File, name: &str| dependencies(&file.text).any(|(_, used, _)| used == name);
    dependencies(workspace)
        .filter(|(_, name, _)| !members.iter().any(|file| names(file, name)))
        .map(|(line, name, _)| Finding::at("Cargo.toml", line, format!("no crate uses {name}")))
        .collect()
}

/// The lines of all tables of dependencies: number, name, and what is said of it.
fn dependencies(text: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    let mut inside = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]");
        }
        let (key, value) = line.split_once(" = ").filter(|_| inside && !line.starts_with('#'))?;
        Some((at + 1, key.strip_suffix(".workspace").unwrap_or(key), value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBER: &str = "[lints]\nworkspace = true\n\n[dependencies]\nbytes.workspace = true\n";

    fn findings(member: &str, workspace: &str) -> usize {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        check(&[file("Cargo.toml", workspace), file("crates/a/Cargo.toml", member)]).len()
    }

    #[test]
    fn a_crate_takes_its_versions_and_lints_from_the_workspace() {
        assert_eq!(findings(MEMBER, ""), 0);
        assert_eq!(findings(&MEMBER.replace("[lints]", "[other]"), ""), 1);
        assert_eq!(findings(&format!("{MEMBER}uuid = \"1\"\n"), ""), 1);
        assert_eq!(findings(&format!("{MEMBER}uuid = {{ version = \"1\" }}\n"), ""), 1);
        assert_eq!(findings(&format!("{MEMBER}a = {{ workspace = true }}\n"), ""), 0);
    }

    #[test]
    fn what_the_workspace_names_somebody_uses() {
        assert_eq!(findings(MEMBER, "[workspace.dependencies]\nbytes = \"1\"\n"), 0);
        assert_eq!(findings(MEMBER, "[workspace.dependencies]\nuuid = \"1\"\n"), 1);
        assert_eq!(findings(MEMBER, "[workspace.lints.rust]\nuuid = \"1\"\n"), 0);
    }
}
