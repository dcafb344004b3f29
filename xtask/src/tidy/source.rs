//! Rules for one source file: sizes, module documents, and words that may not stand in code.

use super::scrub::scrub;
use super::{File, Finding};

/// Lines of a file at most.
const FILE_LINES_MAX: usize = 600;
/// Lines of code of a function at most; comments and empty lines are free.
const FUNCTION_LINES_MAX: usize = 70;
/// Columns of a line at most. A text that rustfmt cannot break is not counted.
const COLUMNS_MAX: usize = 100;

/// What may not stand in code, and what to do instead. Clippy knows some of them, but not in
/// macros.
const BANNED_CODE: [(&str, &str); 5] = [
    ("#[allow(", "say `#[expect(…, reason = \"…\")]`: it complains when it is no longer needed"),
    ("#![allow(", "say `#![expect(…, reason = \"…\")]`: it complains when it is no longer needed"),
    ("#[ignore", "a test that does not run proves nothing: mend it or remove it"),
    ("todo!(", "finish it, or leave it out"),
    ("unimplemented!(", "finish it, or leave it out"),
];

/// What may not stand in a comment.
const BANNED_COMMENTS: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// Checks a file; one that is no Rust source, or that a program wrote, has nothing to fear.
pub fn check(file: &File) -> Vec<Finding> {
    if !file.has_extension("rs") || file.path.contains("/gen/") {
        return Vec::new();
    }
    let split = scrub(&file.text);
    let code: Vec<&str> = split.code.lines().collect();
    let comments: Vec<&str> = split.comments.lines().collect();
    let mut findings = Vec::new();
    let lines = file.text.lines().count();
    if lines > FILE_LINES_MAX {
        let says = format!("{lines} lines; at most {FILE_LINES_MAX}: split it by noun");
        findings.push(Finding::of(&file.path, says));
    }
    if !file.text.starts_with("//!") {
        let says = "begins without `//!`: say its purpose, its invariant, what it must not know";
        findings.push(Finding::at(&file.path, 1, says));
    }
    findings.extend(columns(&file.path, &code, &comments));
    findings.extend(functions(&file.path, &code));
    findings.extend(words(&file.path, &code, &comments));
    findings
}

fn columns(path: &str, code: &[&str], comments: &[&str]) -> Vec<Finding> {
    let length = |lines: &[&str], at: usize| {
        lines.get(at).map_or(0, |line: &&str| line.trim_end().chars().count())
    };
    (0..code.len().max(comments.len()))
        .map(|at| (at, length(code, at) + length(comments, at)))
        .filter(|(_, columns)| *columns > COLUMNS_MAX)
        .map(|(at, columns)| {
            Finding::at(path, at + 1, format!("{columns} columns; at most {COLUMNS_MAX}"))
        })
        .collect()
}

fn functions(path: &str, code: &[&str]) -> Vec<Finding> {
    let long = |at: usize| {
        let name = function_name(code[at])?;
        let length = function_len(&code[at..]);
        (length > FUNCTION_LINES_MAX).then(|| {
            let says = format!(
                "`{name}` has {length} lines of code; at most {FUNCTION_LINES_MAX}: split it by step"
            );
            Finding::at(path, at + 1, says)
        })
    };
    (0..code.len()).filter_map(long).collect()
}

/// The name of the function that a line begins.
fn function_name(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let is_modifier = |word: &str| {
        word.starts_with("pub") || matches!(word, "const" | "async" | "unsafe" | "extern" | "\"\"")
    };
    let word = words.find(|word| !is_modifier(word))?;
    let name = words.next().filter(|_| word == "fn")?;
    name.split(['(', '<']).next()
}

/// Lines of code from a function's first line to the brace that closes it. The source is formatted,
/// so the brace stands where the function began.
fn function_len(code: &[&str]) -> usize {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let first = code[0].trim_end();
    if first.ends_with([';', '}']) {
        return 1;
    }
    let depth = indent(first);
    let is_end = |line: &&str| {
        let text = line.trim();
        indent(line) == depth
            && (text.starts_with('}') || (text.starts_with([')', 'w']) && text.ends_with(';')))
    };
    let end = code.iter().skip(1).position(is_end).map_or(code.len(), |at| at + 2);
    code[..end].iter().filter(|line| !line.trim().is_empty()).count()
}

fn words(path: &str, code: &[&str], comments: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, line) in comments.iter().enumerate() {
        for word in BANNED_COMMENTS.iter().filter(|word| line.contains(**word)) {
            let says = format!("`{word}`: do it now, or file an issue");
            findings.push(Finding::at(path, at + 1, says));
        }
    }
    let tests = test_lines(path, code);
    for (at, line) in code.iter().enumerate() {
        for (word, says) in BANNED_CODE.iter().filter(|(word, _)| line.contains(word)) {
            findings.push(Finding::at(path, at + 1, format!("`{word}…`: {says}")));
        }
        if !tests[at] && line.contains(".unwrap()") {
            let says = "`unwrap` outside a test: answer with an error, or prove it by the types";
            findings.push(Finding::at(path, at + 1, says));
        }
    }
    findings
}

/// Which lines belong to tests: whole files of tests, and modules behind `#[cfg(test)]`.
fn test_lines(path: &str, code: &[&str]) -> Vec<bool> {
    if path.contains("/tests/") || path.ends_with("/tests.rs") {
        return vec![true; code.len()];
    }
    let mut tests = vec![false; code.len()];
    let mut at = 0;
    while at < code.len() {
        let begins = code[at].trim() == "#[cfg(test)]"
            && code.get(at + 1).is_some_and(|line| line.trim_end().ends_with('{'));
        if !begins {
            at += 1;
            continue;
        }
        let depth = code[at].len() - code[at].trim_start().len();
        let closes = |line: &&str| line.trim() == "}" && line.find('}') == Some(depth);
        let end = code.iter().skip(at).position(closes).map_or(code.len(), |end| at + end);
        tests[at..end].fill(true);
        at = end;
    }
    tests
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        check(&File { path: path.to_owned(), text: text.to_owned() })
            .into_iter()
            .map(|finding| finding.to_string())
            .collect()
    }

    fn finds(text: &str, what: &str) -> bool {
        findings("crates/a/src/a.rs", &format!("//! A.\n{text}"))
            .iter()
            .any(|finding| finding.contains(what))
    }

    fn function(lines: usize) -> String {
        format!("fn long() {{\n{}}}\n", "    step();\n".repeat(lines - 2))
    }

    #[test]
    fn a_file_may_be_as_long_as_the_limit_and_no_longer() {
        let text = |lines: usize| "//! A.\n".repeat(lines);
        assert!(findings("a.rs", &text(FILE_LINES_MAX)).is_empty());
        assert_eq!(findings("a.rs", &text(FILE_LINES_MAX + 1)).len(), 1);
    }

    #[test]
    fn a_function_may_be_as_long_as_the_limit_and_no_longer() {
        assert!(!finds(&function(FUNCTION_LINES_MAX), "`long`"));
        assert!(finds(&function(FUNCTION_LINES_MAX + 1), "a.rs:2: `long` has 71 lines"));
    }

    #[test]
    fn a_function_ends_where_it_began_whatever_stands_in_its_texts() {
        let text =
            format!("fn a() {{\n    let x = \"\n}}\n\";\n}}\n{}", "const C: u8 = 0;\n".repeat(80));
        assert!(!finds(&text, "lines of code"));
        let declared = format!("fn a(\n    x: u8,\n) -> u8;\n{}", "const C: u8 = 0;\n".repeat(80));
        assert!(!finds(&declared, "lines of code"));
    }

    #[test]
    fn a_long_line_is_found_unless_a_text_makes_it_long() {
        let line = |columns: usize| format!("// {}\n", "x".repeat(columns - 3));
        assert!(!finds(&line(COLUMNS_MAX), "columns"));
        assert!(finds(&line(COLUMNS_MAX + 1), "a.rs:2: 101 columns"));
        assert!(!finds(&format!("const A: &str = \"{}\";\n", "x".repeat(200)), "columns"));
    }

    #[test]
    fn a_module_without_a_document_is_found() {
        assert_eq!(findings("crates/a/src/a.rs", "fn a() {}\n").len(), 1);
        assert!(findings("crates/a/src/gen/a.rs", "fn a() {}\n").is_empty());
        assert!(findings("docs/a.md", "no code").is_empty());
    }

    #[test]
    fn a_banned_word_is_found_in_code_but_not_in_a_text() {
        for code in ["#[allow(dead_code)]", "#![allow(dead_code)]", "#[ignore]", "todo!()"] {
            assert!(finds(&format!("{code}\n"), "a.rs:2"), "{code}");
            assert!(!finds(&format!("const A: &str = \"{code}\";\n"), "a.rs:2"), "{code}");
        }
        assert!(finds("// TODO: later\n", "TODO"));
        assert!(!finds("const A: &str = \"TODO\";\n", "TODO"));
    }

    #[test]
    fn unwrap_is_for_tests() {
        assert!(finds("fn a() {\n    b().unwrap();\n}\n", "a.rs:3: `unwrap`"));
        let test = "#[cfg(test)]\nmod tests {\n    fn a() {\n        b().unwrap();\n    }\n}\n";
        assert!(!finds(test, "unwrap"));
        assert!(finds(&format!("{test}fn a() {{\n    b().unwrap();\n}}\n"), "unwrap"));
        assert!(
            findings("crates/a/tests/it/a.rs", "//! A.\nfn a() {\n    b().unwrap();\n}\n")
                .is_empty()
        );
    }
}
