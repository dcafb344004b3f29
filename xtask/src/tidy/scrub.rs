//! Splits Rust source into what the compiler reads and what people read, so that a rule about code
//! never trips over a word in a text, and the other way round. A lexer of a hundred lines, not a
//! parser: it knows comments, strings, characters and lifetimes, and keeps every line's number.

/// The two halves of a source file; line N of each belongs to line N of the file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Code with emptied strings and without comments.
    pub code: String,
    /// Comments alone, with their slashes.
    pub comments: String,
}

/// Splits a file.
pub fn scrub(source: &str) -> Scrubbed {
    let mut lexer = Lexer { rest: source, out: Scrubbed::default(), before: ' ' };
    while !lexer.rest.is_empty() {
        lexer.token();
    }
    lexer.out
}

struct Lexer<'a> {
    rest: &'a str,
    out: Scrubbed,
    /// The character before `rest`: `r` begins a raw string only where it begins a word.
    before: char,
}

impl Lexer<'_> {
    /// Takes one token, or one character of code.
    fn token(&mut self) {
        if self.rest.starts_with("//") {
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            self.comment(end);
        } else if self.rest.starts_with("/*") {
            self.comment(block_comment_len(self.rest));
        } else if let Some(length) = self.raw_string_len() {
            self.literal(length);
        } else if self.rest.starts_with('"') {
            self.literal(quoted_len(self.rest, '"'));
        } else if self.rest.starts_with('\'') && is_character(self.rest) {
            self.literal(quoted_len(self.rest, '\''));
        } else {
            self.code();
        }
    }

    fn code(&mut self) {
        let Some(next) = self.rest.chars().next() else { return };
        self.out.code.push(next);
        if next == '\n' {
            self.out.comments.push(next);
        }
        self.advance(next.len_utf8());
    }

    fn comment(&mut self, length: usize) {
        let text = &self.rest[..length];
        self.out.comments.push_str(text);
        self.out.code.extend(text.chars().filter(|c| *c == '\n'));
        self.advance(length);
    }

    /// An emptied literal: its quotes and its line breaks.
    fn literal(&mut self, length: usize) {
        self.out.code.push_str("\"\"");
        for _ in self.rest[..length].matches('\n') {
            self.out.code.push('\n');
            self.out.comments.push('\n');
        }
        self.advance(length);
    }

    fn advance(&mut self, length: usize) {
        self.before = self.rest[..length].chars().next_back().unwrap_or(self.before);
        self.rest = &self.rest[length..];
    }

    /// The length of the raw string that begins here, if one does.
    fn raw_string_len(&self) -> Option<usize> {
        if self.before.is_alphanumeric() || self.before == '_' {
            return None;
        }
        let marks = ["r", "br", "cr"];
        let mark = marks.into_iter().find(|mark| self.rest.starts_with(mark))?;
        let after = &self.rest[mark.len()..];
        let hashes = after.len() - after.trim_start_matches('#').len();
        let body = after[hashes..].strip_prefix('"')?;
        let close = format!("\"{}", "#".repeat(hashes));
        let end = body.find(&close).map_or(body.len(), |at| at + close.len());
        Some(mark.len() + hashes + 1 + end)
    }
}

/// Whether a quote begins a character and not a lifetime.
fn is_character(rest: &str) -> bool {
    let mut chars = rest.chars().skip(1);
    chars.next() == Some('\\') || chars.next() == Some('\'')
}

/// The length of a quoted literal with its quotes; escapes hide the quote.
fn quoted_len(rest: &str, quote: char) -> usize {
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, next)) = chars.next() {
        if next == '\\' {
            chars.next();
        } else if next == quote {
            return at + 1;
        }
    }
    rest.len()
}

/// The length of a block comment; they nest.
fn block_comment_len(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_emptied_and_comments_stand_apart() {
        let split = scrub("let a = \"// no \\\" comment\"; // why\nlet b = 1;\n");
        assert_eq!(split.code, "let a = \"\"; \nlet b = 1;\n");
        assert_eq!(split.comments, "// why\n\n");
    }

    #[test]
    fn raw_strings_end_at_their_own_mark() {
        assert_eq!(scrub("f(r#\"a \"b\" // c\"#, br\"\\\")").code, "f(\"\", \"\")");
        assert_eq!(scrub("let r#type = var\"x\";").code, "let r#type = var\"\";");
    }

    #[test]
    fn a_lifetime_is_no_character() {
        assert_eq!(
            scrub("fn f<'a>(x: &'a str) -> char { '\"' }").code,
            "fn f<'a>(x: &'a str) -> char { \"\" }"
        );
        assert_eq!(scrub("['\\'', 'é', b'/']").code, "[\"\", \"\", b\"\"]");
    }

    #[test]
    fn block_comments_nest_and_lines_keep_their_numbers() {
        let split = scrub("/* a /* b\n */ c */ let x = \"1\n2\";\nend");
        assert_eq!(split.code.lines().nth(3), Some("end"));
        assert_eq!(split.comments, "/* a /* b\n */ c */\n\n");
    }

    #[test]
    fn what_never_ends_does_not_panic() {
        for text in ["\"", "'\\", "/* é", "r##\"x\"#", "b\"\\"] {
            scrub(text);
        }
    }
}
