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
        return scale(text, 1_000).map(Duration::from_millis);
    }
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let (millis, length) = match tail.as_bytes() {
            [b'm', b's', ..] => (1, 2),
            [b's', ..] => (1_000, 1),
            [b'm', ..] => (60_000, 1),
            [b'h', ..] => (3_600_000, 1),
            [b'd', ..] => (86_400_000, 1),
            _ => return None,
        };
        total = total.checked_add(scale(number, millis)?)?;
        rest = &tail[length..];
    }
    Some(Duration::from_millis(total))
}

/// A decimal number of units in milliseconds, the finest that a store keeps. It is counted in whole
/// numbers: what was written must come back exactly, however long it is.
fn scale(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if number == "." || number.is_empty() || !digits(fraction) {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // The ninth place of a day is less than a tenth of a millisecond.
    let fraction = &fraction[..fraction.len().min(9)];
    let tenths = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let part: u64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let part = (part * unit + tenths / 2) / tenths;
    whole.checked_mul(unit)?.checked_add(part)
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
            ("0.1", 100),
            ("0.0005", 1),
            (".5s", 500),
            ("1.s", 1_000),
            ("18446744073709551615ms", u64::MAX),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "s",
            "5x",
            "-1s",
            "1s5",
            "1e9",
            "soon",
            "1..2",
            ".",
            "18446744073709551616ms",
            "9e9d",
        ] {
            assert_eq!(parse(text).unwrap_err().code, Code::Invalid, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_came_out_can_go_in_again(millis in proptest::prop_oneof![
            0u64..1_000_000_000_000, any::<u64>()
        ]) {
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
