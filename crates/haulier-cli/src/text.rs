//! Text from users on its way to a terminal. Names follow a grammar, but errors, labels, notes,
//! results and payloads are anybody's: a control sequence in them must not move a cursor, and a
//! bidi control must not turn a line around.

use std::borrow::Cow;

/// Whether a terminal would act on this character instead of showing it.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            // Marks, embeddings, overrides and isolates of bidirectional text; line and paragraph
            // ends.
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

fn escape(text: &str, keep: &[char], mut write: impl FnMut(&mut String, char)) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hostile(c) && !keep.contains(&c) {
            write(&mut escaped, c);
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Text for one line: everything hostile is written as in Rust, `\n` or `\u{1b}`.
pub fn line(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hostile) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(escape(text, &[], |escaped, c| escaped.extend(c.escape_default())))
}

/// Text that may have several lines: line feeds and tabs stay.
pub fn block(text: &str) -> Cow<'_, str> {
    Cow::Owned(escape(text, &['\n', '\t'], |escaped, c| escaped.extend(c.escape_default())))
}

/// JSON for a terminal: the same document, with hostile characters as `\u001b`. In valid JSON they
/// can stand in strings only, line feeds and tabs apart.
pub fn json(text: &str) -> String {
    escape(text, &['\n', '\r', '\t'], |escaped, c| {
        let mut units = [0; 2];
        for unit in c.encode_utf16(&mut units) {
            escaped.extend(format!("\\u{unit:04x}").chars());
        }
    })
}

/// At most `max` characters of one line, with a mark where it was cut.
pub fn short(text: &str, max: usize) -> String {
    let shown = line(text);
    if shown.chars().count() <= max {
        return shown.into_owned();
    }
    shown.chars().take(max.saturating_sub(1)).chain(['…']).collect()
}

/// What is wrong with a text that should be JSON, and where.
pub fn wrong_json(error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    let told = error.to_string();
    let what = told.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&told);
    match line {
        0 => what.to_owned(),
        1 => format!("{what}, at character {column}"),
        _ => format!("{what}, in its line {line} at character {column}"),
    }
}

/// So many of something: `1 task`, `20,000 tasks`.
pub fn count(count: u64, what: &str) -> String {
    format!("{} {what}{}", number(count), if count == 1 { "" } else { "s" })
}

/// A whole number with thousands set apart: `20,000`.
pub fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number of bytes in the unit that people think in: `1.2 MiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let mut amount = bytes as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    format!("{amount:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_json_is_told_with_its_place_as_people_count_it() {
        let wrong =
            |text| wrong_json(&serde_json::from_str::<serde_json::Value>(text).unwrap_err());
        assert_eq!(wrong("{"), "EOF while parsing an object, at character 1");
        assert_eq!(wrong("[1,\n x]"), "expected value, in its line 2 at character 2");
    }

    #[test]
    fn what_would_move_a_cursor_or_turn_a_line_around_is_shown_instead() {
        assert_eq!(line("plain ünïcode 任务"), "plain ünïcode 任务");
        assert_eq!(line("a\u{1b}[2Jb\u{9b}c\u{202e}d\ne"), "a\\u{1b}[2Jb\\u{9b}c\\u{202e}d\\ne");
        assert_eq!(block("a\n\tb\r\u{7f}"), "a\n\tb\\r\\u{7f}");
    }

    #[test]
    fn escaped_json_is_the_same_document() {
        let hostile = serde_json::to_string("x\u{9b}31m\u{202e}y\u{7f}").unwrap();
        let escaped = json(&hostile);
        assert_eq!(escaped, "\"x\\u009b31m\\u202ey\\u007f\"");
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), "x\u{9b}31m\u{202e}y\u{7f}");
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 1_023, 1_536, 5 << 30].map(bytes), ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]);
        assert_eq!(short("abcdef", 4), "abc…");
        assert_eq!(short("abcd", 4), "abcd");
    }
}
