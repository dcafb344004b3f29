//! The attribute `#[task(..)]`: reading it, and writing the options that it stands for.

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::{DeriveInput, LitStr, Type, parse_quote};

use crate::value::{self, Span};

const KNOWN: &str =
    "kind, queue, priority, max_attempts, timeout, expires_in, retain, backoff, output";

/// What the attribute says.
pub struct Attribute {
    /// The kind's name.
    pub kind: LitStr,
    /// What the handler returns.
    pub output: Type,
    options: Options,
}

#[derive(Default)]
struct Options {
    kind: Option<LitStr>,
    output: Option<Type>,
    queue: Option<LitStr>,
    priority: Option<u8>,
    max_attempts: Option<u32>,
    timeout: Option<Span>,
    expires_in: Option<Span>,
    retain: Option<Span>,
    backoff: Option<Backoff>,
}

/// A pause between attempts; Haulier's defaults until said otherwise.
struct Backoff {
    base: Span,
    max: Span,
    factor: u32,
    jitter: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Span(1_000), max: Span(3_600_000), factor: 2_000, jitter: 200 }
    }
}

impl Attribute {
    pub fn read(input: &DeriveInput) -> syn::Result<Self> {
        let mut options = Options::default();
        for attribute in input.attrs.iter().filter(|attr| attr.path().is_ident("task")) {
            attribute.parse_nested_meta(|meta| options.set(&meta))?;
        }
        let Some(kind) = options.kind.take() else {
            let proposal = snake_case(&input.ident.to_string());
            return Err(syn::Error::new_spanned(
                &input.ident,
                format!("a task names its kind; add #[task(kind = \"{proposal}\")]"),
            ));
        };
        let output = options.output.take().unwrap_or_else(|| parse_quote!(()));
        Ok(Self { kind, output, options })
    }

    /// The expression for `haulier::TaskOptions`.
    pub fn options(&self) -> TokenStream {
        let Options { queue, priority, max_attempts, timeout, expires_in, retain, backoff, .. } =
            &self.options;
        let backoff = backoff.as_ref().map(Backoff::write);
        let fields = [
            queue.as_ref().map(|queue| field("queue", &quote!(#queue))),
            priority.map(|number| field("priority", &quote!(#number))),
            max_attempts.map(|number| field("max_attempts", &quote!(#number))),
            timeout.map(|span| field("timeout", &span.write())),
            expires_in.map(|span| field("expires_in", &span.write())),
            retain.map(|span| field("retain", &span.write())),
            backoff.map(|backoff| field("backoff", &backoff)),
        ];
        let fields: Vec<TokenStream> = fields.into_iter().flatten().collect();
        if fields.is_empty() {
            return quote!(::haulier::TaskOptions::NONE);
        }
        quote!(::haulier::TaskOptions { #(#fields,)* ..::haulier::TaskOptions::NONE })
    }
}

fn field(name: &str, value: &TokenStream) -> TokenStream {
    let name = quote::format_ident!("{name}");
    quote!(#name: ::core::option::Option::Some(#value))
}

impl Options {
    fn set(&mut self, meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
        let Some(key) = meta.path.get_ident().map(ToString::to_string) else {
            return Err(meta.error(format!("this is no key; known are {KNOWN}")));
        };
        match key.as_str() {
            "kind" => once(&mut self.kind, meta, value::name),
            "queue" => once(&mut self.queue, meta, value::name),
            "priority" => once(&mut self.priority, meta, |meta| value::integer(meta, 0, 9)),
            "max_attempts" => {
                once(&mut self.max_attempts, meta, |meta| value::integer(meta, 1, 1_000))
            }
            "timeout" => once(&mut self.timeout, meta, value::positive_span),
            "expires_in" => once(&mut self.expires_in, meta, value::positive_span),
            "retain" => once(&mut self.retain, meta, value::span),
            "backoff" => once(&mut self.backoff, meta, Backoff::read),
            "output" => once(&mut self.output, meta, |meta| meta.value()?.parse()),
            _ => Err(meta.error(format!("`{key}` is no key; known are {KNOWN}"))),
        }
    }
}

fn once<T>(
    slot: &mut Option<T>,
    meta: &ParseNestedMeta<'_>,
    read: impl FnOnce(&ParseNestedMeta<'_>) -> syn::Result<T>,
) -> syn::Result<()> {
    if slot.is_some() {
        return Err(meta.error("this key stands twice; keep one"));
    }
    *slot = Some(read(meta)?);
    Ok(())
}

impl Backoff {
    fn read(meta: &ParseNestedMeta<'_>) -> syn::Result<Self> {
        let mut backoff = Self::default();
        meta.parse_nested_meta(|meta| {
            match meta.path.get_ident().map(ToString::to_string).as_deref() {
                Some("base") => backoff.base = value::span(&meta)?,
                Some("max") => backoff.max = value::span(&meta)?,
                Some("factor") => backoff.factor = value::permille(&meta, 1, 100)?,
                Some("jitter") => backoff.jitter = value::permille(&meta, 0, 1)?,
                _ => return Err(meta.error("known in backoff are base, max, factor, jitter")),
            }
            Ok(())
        })?;
        Ok(backoff)
    }

    fn write(&self) -> TokenStream {
        let Self { base, max, factor, jitter } = self;
        let (base, max) = (base.write(), max.write());
        quote!(::haulier::Backoff {
            base: #base,
            max: #max,
            factor_permille: #factor,
            jitter_permille: #jitter,
        })
    }
}

/// `SendEmail` as `send_email`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for (at, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && at > 0 {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
