//! The spelling of durations, one for files, flags, JSON and attributes: `"30s"`, `"1h30m"`,
//! `"250ms"`, `"1.5s"`, or plain seconds.

use std::time::Duration;

use crate::error::{Code, Refusal};

/// Reads a duration: numbers with `ms`, `s`, `m`, `h` or `d`, or a plain number of seconds.
///
/// ```
/// use std::time::Duration;
/// use haulier_core::span;
/// assert_eq!(span::parse("1h30m"), Ok(Duration::from_secs(5_400)));
/// assert_eq!(span::parse("0.25"), Ok(Duration::from_millis(250)));
/// assert!(span::parse("soon").is_err());
/// ```
///
/// # Errors
/// [`Code::Invalid`] with examples.
pub fn parse(text: &str) -> Result<Duration, Refusal> {
    parse_parts(text.trim()).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        Refusal::new(
            Code::Invalid,
            format!("{shown:?} is not a duration; write \"30s\", \"1h30m\", \"250ms\" or seconds"),
        )
    })
}

fn parse_parts(text: &str) -> Option<Duration> {
    if text.is_empty() || text.len() > 64 {
        return None;
    }
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return scale(text, 1.0);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let (seconds, length) = match tail.as_bytes() {
            [b'm', b's', ..] => (0.001, 2),
            [b's', ..] => (1.0, 1),
            [b'm', ..] => (60.0, 1),
            [b'h', ..] => (3_600.0, 1),
            [b'd', ..] => (86_400.0, 1),
            _ => return None,
        };
        total = total.checked_add(scale(number, seconds)?)?;
        rest = &tail[length..];
    }
    Some(total)
}

fn scale(number: &str, unit: f64) -> Option<Duration> {
    let number: f64 = number.parse().ok()?;
    let exact = Duration::try_from_secs_f64(number * unit).ok()?;
    // Milliseconds are the finest that a store keeps: 0.1 must not become 99.999999 ms.
    let millis = (exact.as_nanos() + 500_000) / 1_000_000;
    Some(Duration::from_millis(u64::try_from(millis).ok()?))
}

/// Writes a duration so that [`parse`] reads it back: `1h30m`, `250ms`, `0s`.
pub fn format(duration: Duration) -> String {
    let mut millis = crate::clock::millis(duration);
    let mut text = String::new();
    for (unit, length) in
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)]
    {
        if millis >= length {
            text = format!("{text}{}{unit}", millis / length);
            millis %= length;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, millis) in [
            ("30s", 30_000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
            ("1.5s", 1_500),
            ("90", 90_000),
            ("0", 0),
            ("1d", 86_400_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "5x", "-1s", "1s5", "1e9", "soon", "1..2", "99999999999999999999d"] {
            assert_eq!(parse(text).unwrap_err().code, Code::Invalid, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_came_out_can_go_in_again(millis in 0u64..1_000_000_000_000) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }

        #[test]
        fn any_text_is_answered_without_a_panic(text in ".*") {
            if let Err(refusal) = parse(&text) {
                prop_assert_eq!(refusal.code, Code::Invalid);
            }
        }
    }
}
