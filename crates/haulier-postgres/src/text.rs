//! Texts on their way to PostgreSQL and back. Users' texts may hold any character; PostgreSQL's may
//! hold every one but zero. So zero, and the mark that stands for it, are written as two
//! characters; all other texts are what they are, and are compared as they are.

use std::borrow::Cow;
use std::sync::Arc;

/// Begins a replaced character. It is assigned to nothing, and never will be.
const MARK: char = '\u{10ffff}';

/// The text as it stands in a table.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', MARK]) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        match char {
            '\0' => escaped.extend([MARK, '0']),
            MARK => escaped.extend([MARK, '1']),
            other => escaped.push(other),
        }
    }
    Cow::Owned(escaped)
}

/// The text that `escape` was given.
pub(crate) fn unescape(text: &str) -> Arc<str> {
    if !text.contains(MARK) {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match (char, char == MARK) {
            (_, true) => plain.push(if chars.next() == Some('0') { '\0' } else { MARK }),
            (other, false) => plain.push(other),
        }
    }
    plain.into()
}

/// Texts as the literal of an array, for where a statement takes an array of arrays: those of
/// PostgreSQL would all have to have the same length.
pub(crate) fn array<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let mut literal = String::from("{");
    for (at, text) in texts.enumerate() {
        literal.push_str(if at == 0 { "\"" } else { ",\"" });
        for char in escape(text).chars() {
            if matches!(char, '"' | '\\') {
                literal.push('\\');
            }
            literal.push(char);
        }
        literal.push('"');
    }
    literal.push('}');
    literal
}

/// Numbers as the literal of an array.
pub(crate) fn numbers(numbers: &[i64]) -> String {
    let texts: Vec<String> = numbers.iter().map(i64::to_string).collect();
    format!("{{{}}}", texts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back_as_it_was_and_none_holds_a_zero() {
        for text in ["", "plain", "a\0b", "\0", "\u{10ffff}0", "\0\u{10ffff}\0"] {
            let escaped = escape(text);
            assert!(!escaped.contains('\0'), "{escaped:?}");
            assert_eq!(&*unescape(&escaped), text);
        }
    }

    #[test]
    fn different_texts_stay_different() {
        assert_ne!(escape("\0"), escape("\u{10ffff}0"));
    }

    #[test]
    fn arrays_are_written_as_postgresql_reads_them() {
        assert_eq!(array([].into_iter()), "{}");
        assert_eq!(array(["a", "", "b\"c\\d"].into_iter()), r#"{"a","","b\"c\\d"}"#);
        assert_eq!(numbers(&[1, -2]), "{1,-2}");
    }
}
