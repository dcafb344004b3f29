//! `#[derive(Task)]`: writes the implementation of `haulier::Task` that one would write by hand,
//! and tells at compile time what is wrong with a name, a number or a duration.
//!
//! Known to the crate `haulier` alone, whose paths it writes. It knows nothing of the crates
//! behind.

mod attribute;
mod value;

use attribute::Attribute;
use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, parse_macro_input};

/// Makes a payload type a task.
///
/// ```text
/// #[derive(Serialize, Deserialize, Task)]
/// #[task(kind = "email.send", queue = "mail", max_attempts = 8, timeout = "30s",
///        output = Receipt)]
/// struct SendEmail { to: String }
/// ```
///
/// | key | value | unless given |
/// |---|---|---|
/// | `kind` | a name | must be given |
/// | `queue` | a name | `default` |
/// | `priority` | 0 to 9 | 4 |
/// | `max_attempts` | 1 to 1000 | 20 |
/// | `timeout`, `expires_in`, `retain` | `"30s"` or seconds | 30 min, never, as the queue |
/// | `backoff(base, max, factor, jitter)` | durations, numbers | 1 s, 1 h, 2, 0.2 |
/// | `output` | what the handler returns | `()` |
#[proc_macro_derive(Task, attributes(task))]
pub fn derive_task(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let attribute = Attribute::read(input)?;
    let (name, kind, output) = (&input.ident, &attribute.kind, &attribute.output);
    let options = attribute.options();
    let (generics, arguments, clauses) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #generics ::haulier::Task for #name #arguments #clauses {
            const KIND: &'static str = #kind;
            const OPTIONS: ::haulier::TaskOptions = #options;
            type Output = #output;
        }
    })
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn error(input: &DeriveInput) -> String {
        expand(input).unwrap_err().to_string()
    }

    #[test]
    fn every_key_reaches_the_options_and_what_is_left_out_stays_at_its_default() {
        let written = expand(&parse_quote! {
            #[task(kind = "email.send", queue = "mail", priority = 7, max_attempts = 8,
                   timeout = "1m30s", retain = 60, output = Receipt,
                   backoff(base = "250ms", max = "1h", factor = 1.5, jitter = 0))]
            struct SendEmail { to: String }
        });
        let written = written.unwrap().to_string();
        for part in [
            "const KIND : & 'static str = \"email.send\"",
            "type Output = Receipt",
            "queue : :: core :: option :: Option :: Some (\"mail\")",
            "priority : :: core :: option :: Option :: Some (7u8)",
            "max_attempts : :: core :: option :: Option :: Some (8u32)",
            "from_millis (90000u64)",
            "from_millis (60000u64)",
            "factor_permille : 1500u32",
            "jitter_permille : 0u32",
        ] {
            assert!(written.contains(part), "{part} is missing from {written}");
        }
        assert!(!written.contains("expires_in"));
    }

    #[test]
    fn a_task_without_a_kind_is_told_how_to_name_one() {
        let missing = error(&parse_quote! { struct SendEmail; });
        assert!(missing.contains("#[task(kind = \"send_email\")]"), "{missing}");
    }

    #[test]
    fn whatever_is_wrong_with_a_value_is_told_with_what_is_allowed() {
        let cases: [(DeriveInput, &str); 8] = [
            (parse_quote! { #[task(kid = "a")] struct T; }, "known are kind, queue"),
            (parse_quote! { #[task(kind = "a b")] struct T; }, "letters, digits"),
            (parse_quote! { #[task(kind = "a", kind = "b")] struct T; }, "stands twice"),
            (parse_quote! { #[task(kind = "a", priority = 10)] struct T; }, "0 to 9"),
            (parse_quote! { #[task(kind = "a", max_attempts = 0)] struct T; }, "1 to 1000"),
            (parse_quote! { #[task(kind = "a", timeout = "soon")] struct T; }, "\"30s\""),
            (parse_quote! { #[task(kind = "a", timeout = "0s")] struct T; }, "above zero"),
            (parse_quote! { #[task(kind = "a", backoff(factor = 0.5))] struct T; }, "1 to 100"),
        ];
        for (input, hint) in cases {
            let error = error(&input);
            assert!(error.contains(hint), "{error} does not say {hint}");
        }
    }
}
