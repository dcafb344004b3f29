//! Rules for other people's crates: licences, sources, bans, floors, budgets. The same rules stand
//! in deny.toml for those who have cargo-deny; here they need nothing but cargo, so CI never skips
//! them.

use std::collections::BTreeSet;

use super::Finding;
use super::table::{BANNED, Budget, FLOORS, LICENSES, LOCK_PACKAGES_MAX};
use crate::metadata::Package;

/// The one place that packages may come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Checks every package of the lock file.
pub fn check(packages: &[Package]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = packages.iter().filter_map(check_one).collect();
    if packages.len() > LOCK_PACKAGES_MAX {
        let says = format!("{} packages; at most {LOCK_PACKAGES_MAX}", packages.len());
        findings.push(Finding::of("Cargo.lock", says));
    }
    findings
}

/// deny.toml says the same as the tables, in the order of the tables.
pub fn check_deny(deny: &str) -> Vec<Finding> {
    let licenses = LICENSES.iter().map(|name| format!("  \"{name}\",\n"));
    let banned = BANNED.iter().map(|(name, why)| ban(name, why));
    let floors =
        FLOORS.iter().map(|(name, least, advisory)| ban(&format!("{name}@<{least}"), advisory));
    let lists = [
        ("allow", licenses.collect::<String>()),
        ("deny", banned.chain(floors).collect::<String>()),
    ];
    let says = |(key, list): &(&str, String)| {
        let says = format!("`{key}` is not the table of xtask/src/tidy/table.rs:\n{list}");
        Finding::of("deny.toml", says)
    };
    let differs = |(key, list): &(&str, String)| !deny.contains(&format!("{key} = [\n{list}]\n"));
    lists.iter().filter(|list| differs(list)).map(says).collect()
}

fn ban(name: &str, why: &str) -> String {
    format!("  {{ crate = \"{name}\", reason = \"{why}\" }},\n")
}

/// The first rule that a package breaks.
fn check_one(package: &Package) -> Option<Finding> {
    let says = |text: String| Some(Finding::of(&package.name, text));
    if let Some((_, why)) = BANNED.iter().find(|(name, _)| *name == package.name) {
        return says(format!("is banned: {why}"));
    }
    let floor = FLOORS.iter().find(|(name, _, _)| *name == package.name);
    if let Some((_, least, advisory)) = floor
        && numbers(&package.version) < numbers(least)
    {
        return says(format!("{} is older than {least}: {advisory}", package.version));
    }
    if package.source.as_deref().is_some_and(|source| source != REGISTRY) {
        return says("comes from elsewhere than crates.io".to_owned());
    }
    if !is_allowed(&package.license) {
        return says(format!("licence {:?} is not among those allowed", package.license));
    }
    None
}

/// The parts of a version that order it; pre-releases never reach the lock file.
fn numbers(version: &str) -> Vec<u64> {
    version.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect()
}

/// Whether an SPDX expression can be met with allowed licences alone: `OR` binds weaker than `AND`,
/// an exception (`WITH`) only gives more rights. Older manifests write `/` for `OR`.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = tokens.as_slice();
    any_of(&mut rest) && rest.is_empty()
}

fn any_of(rest: &mut &[&str]) -> bool {
    let mut allowed = all_of(rest);
    while take(rest, "OR") {
        allowed |= all_of(rest);
    }
    allowed
}

fn all_of(rest: &mut &[&str]) -> bool {
    let mut allowed = one(rest);
    while take(rest, "AND") {
        allowed &= one(rest);
    }
    allowed
}

fn one(rest: &mut &[&str]) -> bool {
    if take(rest, "(") {
        let allowed = any_of(rest);
        return take(rest, ")") && allowed;
    }
    let Some((name, tail)) = rest.split_first() else { return false };
    *rest = tail;
    if take(rest, "WITH") {
        *rest = rest.get(1..).unwrap_or_default();
    }
    LICENSES.contains(name)
}

fn take(rest: &mut &[&str], word: &str) -> bool {
    let found = rest.first() == Some(&word);
    if found {
        *rest = &rest[1..];
    }
    found
}

/// How to ask cargo for everything that stands behind a crate.
pub fn tree_arguments(root: &str) -> [&str; 10] {
    [
        "tree",
        "-p",
        root,
        "-e",
        "normal,build",
        "--prefix",
        "none",
        "--locked",
        "--target",
        "x86_64-unknown-linux-gnu",
    ]
}

/// Compares a crate's tree, one package a line, with its budget.
pub fn check_budget(budget: &Budget, tree: &str) -> Option<Finding> {
    let package = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        Some((words.next()?, words.next()?))
    };
    let packages: BTreeSet<_> =
        tree.lines().filter_map(package).filter(|(name, _)| !name.starts_with("haulier")).collect();
    (packages.len() > budget.crates_max).then(|| {
        let says = format!(
            "{} crates stand behind it; at most {}: drop one, or raise the budget in \
             xtask/src/tidy/table.rs and say what it bought in docs/adr",
            packages.len(),
            budget.crates_max
        );
        Finding::of(budget.root, says)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, license: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            license: license.to_owned(),
            source: Some(REGISTRY.to_owned()),
            ..Package::default()
        }
    }

    #[test]
    fn a_licence_is_allowed_if_one_choice_is() {
        for fine in [
            "MIT",
            "MIT OR GPL-3.0",
            "Unlicense/MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0",
        ] {
            assert!(is_allowed(fine), "{fine}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR", "MIT)", "MIT MIT", "LGPL-2.1"] {
            assert!(!is_allowed(bad), "{bad}");
        }
    }

    #[test]
    fn a_banned_an_outdated_and_a_foreign_package_are_found() {
        assert!(check_one(&package("serde", "1.0.0", "MIT")).is_none());
        assert!(check_one(&package("openssl", "1.0.0", "MIT")).is_some());
        assert!(check_one(&package("h2", "0.4.15", "MIT")).is_some());
        assert!(check_one(&package("h2", "0.4.16", "MIT")).is_none());
        assert!(check_one(&package("h2", "0.10.0", "MIT")).is_none(), "numbers, not letters");
        let mut foreign = package("serde", "1.0.0", "MIT");
        foreign.source = Some("git+https://example.org/serde".to_owned());
        assert!(check_one(&foreign).is_some());
    }

    #[test]
    fn a_budget_counts_each_stranger_once_and_none_of_ours() {
        let tree = "haulier v0.1.0 (/x)\nbytes v1.0.0\nbytes v1.0.0 (*)\nbytes v2.0.0\n";
        let budget = |crates_max| Budget { root: "haulier", crates_max };
        assert!(check_budget(&budget(2), tree).is_none());
        assert!(check_budget(&budget(1), tree).is_some());
    }

    #[test]
    fn deny_toml_and_the_tables_say_the_same() {
        let text = include_str!("../../../deny.toml");
        assert!(check_deny(text).is_empty());
        assert_eq!(check_deny(&text.replace("  \"ISC\",\n", "")).len(), 1);
        assert_eq!(check_deny(&text.replace("h2@<0.4.16", "h2@<0.4.15")).len(), 1);
    }

    #[test]
    fn the_lock_file_has_a_budget_too() {
        let packages = vec![package("a", "1.0.0", "MIT"); LOCK_PACKAGES_MAX + 1];
        assert_eq!(check(&packages).len(), 1);
        assert!(check(&packages[1..]).is_empty());
    }
}
