//! The values of the attribute. The rules are those of `haulier_core`, which this crate must not
//! know: what slips through here is still refused there.

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::{Lit, LitStr};

const NAME_BYTES_MAX: usize = 128;
/// Ten years.
const MILLIS_MAX: u64 = 3_653 * 86_400_000;

/// A duration in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub u64);

impl Span {
    pub fn write(self) -> TokenStream {
        let millis = self.0;
        quote!(::core::time::Duration::from_millis(#millis))
    }
}

/// The name of a kind or queue.
pub fn name(meta: &ParseNestedMeta<'_>) -> syn::Result<LitStr> {
    let text: LitStr = meta.value()?.parse()?;
    let name = text.value();
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    let fits = name.len() <= NAME_BYTES_MAX
        && name.bytes().next().is_some_and(plain)
        && name.bytes().all(|byte| plain(byte) || matches!(byte, b'.' | b'_' | b'-'));
    if fits {
        return Ok(text);
    }
    Err(syn::Error::new(
        text.span(),
        format!(
            "this is no name; use up to {NAME_BYTES_MAX} letters, digits, `.`, `_`, `-`, beginning \
             with a letter or digit"
        ),
    ))
}

/// A whole number within bounds.
pub fn integer<N>(meta: &ParseNestedMeta<'_>, min: u64, max: u64) -> syn::Result<N>
where
    N: TryFrom<u64>,
{
    let literal: Lit = meta.value()?.parse()?;
    let number = match &literal {
        Lit::Int(number) => number.base10_parse::<u64>().ok(),
        _ => None,
    };
    number
        .filter(|number| (min..=max).contains(number))
        .and_then(|number| N::try_from(number).ok())
        .ok_or_else(|| syn::Error::new(literal.span(), format!("this goes from {min} to {max}")))
}

/// A number within bounds, as thousandths.
pub fn permille(meta: &ParseNestedMeta<'_>, min: u32, max: u32) -> syn::Result<u32> {
    let literal: Lit = meta.value()?.parse()?;
    number(&literal)
        .and_then(|text| thousandths(&text))
        .and_then(|permille| u32::try_from(permille).ok())
        .filter(|permille| (min * 1_000..=max * 1_000).contains(permille))
        .ok_or_else(|| {
            let allowed = format!("this goes from {min} to {max}, in steps of 0.001");
            syn::Error::new(literal.span(), allowed)
        })
}

/// A duration: `"30s"`, `"1h30m"`, `"250ms"` or a number of seconds.
pub fn span(meta: &ParseNestedMeta<'_>) -> syn::Result<Span> {
    let literal: Lit = meta.value()?.parse()?;
    let millis = match &literal {
        Lit::Str(text) => span_millis(&text.value()),
        other => number(other).and_then(|text| thousandths(&text)),
    };
    millis.filter(|millis| *millis <= MILLIS_MAX).map(Span).ok_or_else(|| {
        syn::Error::new(
            literal.span(),
            "this is no duration; write \"30s\", \"1h30m\" or seconds, at most ten years",
        )
    })
}

/// A duration that is not nothing.
pub fn positive_span(meta: &ParseNestedMeta<'_>) -> syn::Result<Span> {
    let span = span(meta)?;
    if span.0 == 0 { Err(meta.error("this must be above zero")) } else { Ok(span) }
}

fn number(literal: &Lit) -> Option<String> {
    match literal {
        Lit::Int(number) if number.suffix().is_empty() => Some(number.base10_digits().to_owned()),
        Lit::Float(number) if number.suffix().is_empty() => Some(number.base10_digits().to_owned()),
        _ => None,
    }
}

/// `1.5` as 1500, exactly; `None` beyond three decimals or if it is no plain number.
fn thousandths(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let decimals: u64 = format!("{decimals:0<3}").parse().ok()?;
    whole.checked_mul(1_000)?.checked_add(decimals)
}

fn span_millis(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    if !rest.bytes().any(|byte| byte.is_ascii_alphabetic()) {
        return thousandths(rest);
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let (unit, length) = match tail.as_bytes() {
            [b'm', b's', ..] => (1, 2),
            [b's', ..] => (1_000, 1),
            [b'm', ..] => (60_000, 1),
            [b'h', ..] => (3_600_000, 1),
            [b'd', ..] => (86_400_000, 1),
            _ => return None,
        };
        total = total.checked_add(thousandths(number)?.checked_mul(unit)? / 1_000)?;
        rest = &tail[length..];
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_everywhere_in_haulier() {
        for (text, millis) in [
            ("30s", 30_000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
            ("1.5s", 1_500),
            ("0.25", 250),
            ("7", 7_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(span_millis(text), Some(millis), "{text}");
        }
        for text in ["", "soon", "5 s", "1y", "-1s", "s"] {
            assert_eq!(span_millis(text), None, "{text}");
        }
    }
}
