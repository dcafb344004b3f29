//! What tests can plant, count and make fail is listed in one place and stands in the code: a bug
//! that nobody plants is caught by nobody, and a name in no list is spelled wrongly.

use haulier_core::probe::{FAILPOINTS, FAILPOINTS_POSTGRES, Layer, PLANTS, RARE};

use super::{File, Finding};

/// Where the lists are.
const LISTED_IN: &str = "crates/haulier-core/src/probe.rs";
/// Where bugs of the contract are planted: whole stores, by name.
const WRONG_STORES: &str = "crates/haulier-conformance/tests/it/planted.rs";

/// Compares each list with the code.
pub fn check(files: &[File]) -> Vec<Finding> {
    let plants: Vec<&str> = PLANTS.iter().map(|plant| plant.name).collect();
    let mut findings = compare(files, "planted", &plants, is_wrong_store);
    findings.extend(compare(files, "sometimes", RARE, |_, _| false));
    let points = [FAILPOINTS, FAILPOINTS_POSTGRES].concat();
    findings.extend(compare(files, "failpoint", &points, |_, _| false));
    findings
}

/// Whether a bug is planted as a store of its own.
fn is_wrong_store(files: &[File], name: &str) -> bool {
    let of_contract = PLANTS.iter().any(|it| it.name == name && it.layer == Layer::Conformance);
    let quoted = format!("\"{name}\"");
    of_contract && files.iter().any(|it| it.path == WRONG_STORES && it.text.contains(&quoted))
}

fn compare(
    files: &[File],
    word: &str,
    listed: &[&str],
    elsewhere: impl Fn(&[File], &str) -> bool,
) -> Vec<Finding> {
    let code = |file: &&File| {
        file.has_extension("rs") && file.path != LISTED_IN && !file.path.starts_with("xtask/")
    };
    let used: Vec<(&File, &str)> = files
        .iter()
        .filter(code)
        .flat_map(|file| names(&file.text, word).map(move |name| (file, name)))
        .collect();
    let strays = used.iter().filter(|(_, name)| !listed.contains(name));
    let mut findings: Vec<Finding> = strays
        .map(|(file, name)| Finding::of(&file.path, format!("{word}({name:?}) stands in no list")))
        .collect();
    let missing = listed
        .iter()
        .filter(|name| !used.iter().any(|(_, used)| used == *name) && !elsewhere(files, name));
    findings.extend(missing.map(|name| {
        Finding::of(LISTED_IN, format!("{word}({name:?}) stands in no code: strike it, or use it"))
    }));
    findings
}

/// The names with which a function is called.
fn names<'a>(text: &'a str, word: &str) -> impl Iterator<Item = &'a str> {
    let call = format!("{word}(");
    text.match_indices(&call)
        .map(|(at, call)| at + call.len())
        .collect::<Vec<_>>()
        .into_iter()
        .filter_map(move |at| text[at..].trim_start().strip_prefix('"')?.split('"').next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    fn found(text: &str) -> usize {
        let files = [file("crates/a/src/a.rs", text), file("docs/a.md", "planted(\"docs\")")];
        compare(&files, "planted", &["one", "two"], |_, name| name == "two").len()
    }

    #[test]
    fn a_name_in_no_list_and_a_name_in_no_code_are_found() {
        assert_eq!(found("if planted(\"one\") {}"), 0);
        assert_eq!(found("if planted(\n    \"one\",\n) {}"), 0, "over several lines, too");
        assert_eq!(found("if planted(\"one\") || planted(\"three\") {}"), 1);
        assert_eq!(found("fn planted(name: &str) {}"), 1, "nobody plants `one`");
    }
}
