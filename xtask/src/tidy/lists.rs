//! Lists that stand in a document and in the code: both must say the same.

use haulier_core::{Code, invariant};
use serde_json::Value;

use super::edges::render;
use super::table::ROWS;
use super::{File, Finding, text_of};

/// Where the promise stands, word for word.
const PROMISED_IN: [&str; 2] = ["README.md", "docs/reference/semantics.md"];

/// Compares every list.
pub fn check(files: &[File]) -> Vec<Finding> {
    let text = |path| text_of(files, path);
    let mut findings = architecture(text("ARCHITECTURE.md"));
    findings.extend(codes(text("docs/reference/http.md")));
    findings.extend(calls(text("docs/reference/http.md"), text("docs/reference/openapi.json")));
    let keys = text("crates/haulier-server/src/config/keys.rs");
    findings.extend(settings(text("docs/operations/configuration.md"), keys));
    let records = text("crates/haulier-embedded/src/record.rs");
    findings.extend(record_kinds(text("docs/internals/log.md"), records));
    findings.extend(promise(PROMISED_IN.map(|path| (path, text(path)))));
    findings
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

/// Every call of the HTTP interface is documented by its method and path.
fn calls(document: &str, openapi: &str) -> Vec<Finding> {
    let path = "docs/reference/http.md";
    let Ok(openapi) = serde_json::from_str::<Value>(openapi) else {
        return vec![Finding::of(path, "docs/reference/openapi.json is no JSON to compare with")];
    };
    let paths = openapi["paths"].as_object().into_iter().flatten();
    let calls = paths.flat_map(|(path, methods)| {
        let path = path.strip_prefix("/api/v1").unwrap_or(path);
        let methods = methods.as_object().into_iter().flatten();
        methods.map(move |(method, _)| format!("`{} {path}", method.to_uppercase()))
    });
    let is_named = |call: &String| {
        document.match_indices(call).any(|(at, _)| {
            // A longer path that begins the same is another call.
            document[at + call.len()..].starts_with(['`', '?'])
        })
    };
    let missing = calls.filter(|call| !is_named(call));
    missing.map(|call| Finding::of(path, format!("does not name {call}`"))).collect()
}

/// Every key of the server's configuration is documented in the words of the code.
fn settings(document: &str, keys: &str) -> Vec<Finding> {
    let path = "docs/operations/configuration.md";
    let rows: Vec<[String; 3]> = keys.split("    Key {").skip(1).filter_map(key_row).collect();
    if rows.is_empty() {
        return vec![Finding::of(path, "the table of keys was not found in the code")];
    }
    let is_documented = |[name, allowed, help]: &&[String; 3]| {
        let begin = format!("| `{name}` |");
        let line = document.lines().find(|line| line.starts_with(&begin)).unwrap_or_default();
        line.contains(allowed.as_str()) && line.contains(help.as_str())
    };
    let says = |[name, allowed, help]: &[String; 3]| {
        Finding::of(path, format!("lacks the row | `{name}` | … | {help} | {allowed} |"))
    };
    rows.iter().filter(|row| !is_documented(row)).map(says).collect()
}

/// Name, allowed values and help of a row of the table of keys, as they stand in the source.
fn key_row(source: &str) -> Option<[String; 3]> {
    let field = |name: &str| {
        let after = source.split_once(&format!("{name}: \""))?.1;
        Some(after.split_once('"')?.0.to_owned())
    };
    Some([field("name")?, field("allowed")?, field("help")?])
}

/// The numbers of the log's records are documented as they are: they stand for ever.
fn record_kinds(document: &str, source: &str) -> Vec<Finding> {
    let path = "docs/internals/log.md";
    let kind = |line: &str| {
        let (name, number) = line.trim().strip_prefix("pub const ")?.split_once(": u8 = ")?;
        let number: u8 = number.strip_suffix(';')?.parse().ok()?;
        Some(format!("| {number} | {} |", name.to_lowercase()))
    };
    let rows: Vec<String> = source.lines().filter_map(kind).collect();
    if rows.is_empty() {
        return vec![Finding::of(path, "the numbers of records were not found in the code")];
    }
    let missing = rows.iter().filter(|row| !document.contains(row.as_str()));
    missing.map(|row| Finding::of(path, format!("lacks the row {row}"))).collect()
}

/// The promise is the same wherever it stands: the first quotation of each document.
fn promise(documents: [(&str, &str); 2]) -> Option<Finding> {
    let quoted = |text: &str| {
        let lines = text.lines().skip_while(|line| !line.starts_with("> "));
        let words = lines.map_while(|line| line.strip_prefix("> ")).flat_map(str::split_whitespace);
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    let [(first, left), (second, right)] = documents;
    let same = quoted(left) == quoted(right) && !quoted(left).is_empty();
    (!same).then(|| Finding::of(first, format!("the promise is not the one of {second}")))
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_call_that_is_not_documented_is_found() {
        let openapi =
            r#"{"paths": {"/api/v1/tasks": {"get": {}, "post": {}}, "/livez": {"get": {}}}}"#;
        assert!(calls("`GET /tasks?limit=` `POST /tasks` `GET /livez`", openapi).is_empty());
        assert_eq!(calls("`GET /tasks/{id}` `POST /tasks` `GET /livez`", openapi).len(), 1);
        assert_eq!(calls("", "").len(), 1);
    }

    #[test]
    fn a_setting_that_is_not_documented_in_the_words_of_the_code_is_found() {
        let keys = "= &[\n    Key {\n name: \"listen\",\n allowed: \"an address\",\n help: \"Where.\",\n },\n";
        let row = "| `listen` | `127.0.0.1:7420` | Where. | an address |\n";
        assert!(settings(row, keys).is_empty());
        assert_eq!(settings(&row.replace("Where", "Why"), keys).len(), 1);
        assert_eq!(settings("", keys).len(), 1);
        assert_eq!(settings(row, "").len(), 1, "a table that moved is found, too");
    }

    #[test]
    fn a_kind_of_record_that_changed_its_number_is_found() {
        let source = "mod kind {\n    pub const TIME: u8 = 1;\n    pub const LINE: u8 = 2;\n}\n";
        let document = "| 1 | time | a\n| 2 | line | b\n";
        assert!(record_kinds(document, source).is_empty());
        assert_eq!(record_kinds(document, &source.replace("= 2", "= 3")).len(), 1);
        assert_eq!(record_kinds(document, "").len(), 1);
    }

    #[test]
    fn a_promise_that_differs_by_a_word_is_found() {
        let (long, short) = ("a\n> we keep\n> it\n\nb", "> we keep it\n");
        assert!(promise([("a", long), ("b", short)]).is_none());
        assert!(promise([("a", long), ("b", "> we keep most\n")]).is_some());
        assert!(promise([("a", ""), ("b", "")]).is_some());
    }
}
