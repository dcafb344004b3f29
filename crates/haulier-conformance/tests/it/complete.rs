//! Every case is listed, says what it proves, and together they leave no promise of a store out.

use std::collections::BTreeSet;
use std::path::Path;

use haulier_conformance::CASES;
use haulier_conformance::prelude::Must;
use haulier_core::invariant;

/// Every case in the sources: its file, its name and its comment.
fn written() -> Vec<(String, String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cases");
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(folder).must() {
        let path = entry.must().path();
        let file = path.file_stem().must().to_str().must().to_owned();
        let mut comment = String::new();
        for line in std::fs::read_to_string(&path).must().lines() {
            if let Some(text) = line.strip_prefix("///") {
                comment.push_str(text);
            } else if let Some(rest) = line.strip_prefix("pub async fn ") {
                let name = rest.split(['(', '<']).next().must();
                cases.push((file.clone(), name.to_owned(), std::mem::take(&mut comment)));
            } else {
                comment.clear();
            }
        }
    }
    cases
}

#[test]
fn every_case_is_listed_once_and_says_what_it_proves() {
    let written = written();
    let names: BTreeSet<(&str, &str)> =
        written.iter().map(|(file, name, _)| (file.as_str(), name.as_str())).collect();
    let listed: BTreeSet<(&str, &str)> = CASES.iter().copied().collect();
    assert_eq!(names, listed);
    assert_eq!(listed.len(), CASES.len(), "a case is listed twice");
    for (file, name, comment) in &written {
        assert!(!comment.is_empty(), "{file}::{name} has no comment");
        assert!(name.contains('_'), "{file}::{name} is no sentence");
    }
}

#[test]
fn every_promise_of_a_store_is_named_by_a_case() {
    let comments: Vec<String> = written().into_iter().map(|(_, _, comment)| comment).collect();
    let words: BTreeSet<&str> =
        comments.iter().flat_map(|text| text.split(|c: char| !c.is_alphanumeric())).collect();
    // Damage is told by opening, restart time, bounds and slowness by measuring: not by answers.
    let elsewhere = ["I16", "L4", "L5", "L6"];
    let missing: Vec<&str> = invariant::ALL
        .iter()
        .map(|invariant| invariant.id)
        .filter(|id| !elsewhere.contains(id) && !words.contains(id))
        .collect();
    assert!(missing.is_empty(), "no case names {missing:?}");
}
