//! The walls between our crates: which manifest may name whom.

use super::Finding;
use super::table::{Row, TEST_TOOLS};
use crate::metadata::Package;

/// Compares every manifest of ours with its row.
pub fn check(packages: &[Package], rows: &[Row]) -> Vec<Finding> {
    let ours: Vec<&Package> = packages.iter().filter(|package| package.is_ours()).collect();
    let names: Vec<&str> = ours.iter().map(|package| short(&package.name)).collect();
    let mut findings = Vec::new();
    for package in &ours {
        match rows.iter().find(|row| row.name == short(&package.name)) {
            Some(row) => {
                findings.extend(check_one(package, row, &names));
                findings.extend(unused(package, row));
            }
            None => findings.push(Finding::of(
                &package.name,
                "has no row in xtask/src/tidy/table.rs: say what wall it holds up",
            )),
        }
    }
    findings
}

fn check_one(package: &Package, row: &Row, ours: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for dependency in &package.dependencies {
        let name = short(&dependency.name);
        let is_ours = ours.contains(&name);
        let allowed = if is_ours {
            // A crate that names itself only chooses its features for tests.
            name == "core" || name == row.name || row.ours.contains(&name)
        } else {
            row.theirs.contains(&name)
        };
        let for_tests = dependency.dev && (row.tests.contains(&name) || TEST_TOOLS.contains(&name));
        if !allowed && !for_tests {
            let list = match (is_ours, dependency.dev) {
                (true, true) => "tests",
                (true, false) => "ours",
                (false, true) => "theirs, or TEST_TOOLS",
                (false, false) => "theirs",
            };
            let says = format!(
                "may not name {}; if it must, say why beside `{list}` in xtask/src/tidy/table.rs",
                dependency.name
            );
            findings.push(Finding::of(&package.name, says));
        }
    }
    findings
}

/// Names that a row allows and its manifest does not use: a wall with a hole in it.
fn unused(package: &Package, row: &Row) -> Vec<Finding> {
    let used = |name: &&str| package.dependencies.iter().any(|used| short(&used.name) == *name);
    let allowed =
        row.theirs.iter().chain(row.tests).chain(row.ours.iter().filter(|o| **o != "core"));
    let says = |name: &&str| {
        let says = format!("does not name {name}: strike it from xtask/src/tidy/table.rs");
        Finding::of(&package.name, says)
    };
    allowed.filter(|name| !used(name)).map(says).collect()
}

/// The table as ARCHITECTURE.md shows it, one line a crate.
pub fn render(rows: &[Row]) -> String {
    let line = |row: &Row| {
        let ours = if row.ours.is_empty() { "nothing of ours".into() } else { row.ours.join(", ") };
        let tests = match row.tests {
            [] => String::new(),
            tests => format!("    (its tests also {})", tests.join(", ")),
        };
        format!("{:<12} -> {ours}{tests}\n", row.name)
    };
    rows.iter().map(line).collect()
}

/// A crate's name without our prefix.
fn short(name: &str) -> &str {
    name.strip_prefix("haulier-").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Dependency;

    const ROWS: &[Row] = &[
        Row { name: "core", ours: &[], theirs: &["bytes"], tests: &[] },
        Row { name: "memory", ours: &["core"], theirs: &["uuid"], tests: &["remote"] },
        Row { name: "remote", ours: &["core"], theirs: &["tonic"], tests: &[] },
    ];

    fn package(name: &str, dependencies: &[(&str, bool)]) -> Package {
        let dependencies = dependencies
            .iter()
            .map(|(name, dev)| Dependency { name: (*name).to_owned(), dev: *dev })
            .collect();
        Package { name: name.to_owned(), dependencies, ..Package::default() }
    }

    /// Findings about a memory store that names this besides what its row expects.
    fn findings(more: &[(&str, bool)]) -> usize {
        let memory = [more, &[("uuid", false), ("haulier-remote", true)]].concat();
        let packages = [
            package("haulier-core", &[("bytes", false)]),
            package("haulier-remote", &[("tonic", false)]),
            package("haulier-memory", &memory),
        ];
        check(&packages, ROWS).len()
    }

    #[test]
    fn a_backend_may_name_core_but_no_other_backend() {
        assert_eq!(findings(&[("haulier-core", false)]), 0);
        assert_eq!(findings(&[("haulier-remote", false)]), 1);
    }

    #[test]
    fn a_crate_may_name_only_the_strangers_of_its_row() {
        assert_eq!(findings(&[("tonic", false)]), 1);
        assert_eq!(findings(&[("bytes", false)]), 1, "another crate's row does not help");
    }

    #[test]
    fn tests_may_name_more_but_not_everything() {
        assert_eq!(findings(&[("haulier-remote", true), ("proptest", true)]), 0);
        assert_eq!(findings(&[("proptest", false)]), 1);
        assert_eq!(findings(&[("tonic", true)]), 1);
    }

    #[test]
    fn a_row_that_allows_more_than_is_used_is_found() {
        let packages = [package("haulier-memory", &[("uuid", false)])];
        let says = check(&packages, ROWS);
        assert_eq!(says.len(), 1);
        assert!(says[0].says.contains("remote"));
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        assert_eq!(check(&[package("haulier-new", &[])], ROWS).len(), 1);
    }

    #[test]
    fn the_table_reads_as_a_diagram() {
        assert_eq!(
            render(&ROWS[..2]),
            "core         -> nothing of ours\nmemory       -> core    (its tests also remote)\n"
        );
    }
}
