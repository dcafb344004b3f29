//! A field that breaks the rules, with its path from the message's root: it becomes
//! [`Error::invalid`]. The path is put together on the way out, so that a valid message pays
//! nothing.

use std::fmt::Display;

use haulier_core::{Error, Refusal, Result};

/// What is wrong with which field.
#[derive(Debug)]
pub(crate) struct Wrong {
    field: String,
    detail: String,
}

impl Wrong {
    pub(crate) fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), detail: detail.into() }
    }

    /// The same, seen from one message farther out.
    pub(crate) fn within(self, outer: impl Display) -> Self {
        Self { field: format!("{outer}.{}", self.field), ..self }
    }
}

impl From<Wrong> for Error {
    fn from(wrong: Wrong) -> Self {
        Self::invalid(wrong.field, wrong.detail)
    }
}

/// Names the field of a rule that a noun of the core refused.
pub(crate) fn at(field: &'static str) -> impl Fn(Refusal) -> Wrong {
    move |refusal| Wrong::new(field, refusal.message)
}

/// A message that has to be there.
pub(crate) fn required<T>(value: Option<T>, field: &'static str) -> Result<T, Wrong> {
    value.ok_or_else(|| Wrong::new(field, "is missing"))
}

/// Decodes the items of a repeated field, naming the index of the first that is wrong.
pub(crate) fn all<M, T>(
    items: Vec<M>,
    field: &str,
    mut decode: impl FnMut(M) -> Result<T, Wrong>,
) -> Result<Vec<T>, Wrong> {
    let mut decoded = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        decoded.push(decode(item).map_err(|wrong| wrong.within(format_args!("{field}[{index}]")))?);
    }
    Ok(decoded)
}

/// Decodes the items of a repeated field of a request or an answer.
///
/// # Errors
/// What `decode` found wrong first.
pub fn each<M, T>(items: Vec<M>, decode: impl FnMut(M) -> Result<T>) -> Result<Vec<T>> {
    items.into_iter().map(decode).collect()
}

/// Checks that a server gave every item its answer.
///
/// # Errors
/// [`haulier_core::Code::Internal`] if it did not: what became of the items is unknown.
pub fn every_answer<T>(asked: usize, answers: Vec<T>) -> Result<Vec<T>> {
    if answers.len() == asked {
        return Ok(answers);
    }
    Err(Error::internal(format!("the server answered {} of {asked} items", answers.len())))
}
