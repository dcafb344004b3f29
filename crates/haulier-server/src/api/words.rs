//! Words that the core names: written as the core writes them, read only if the core knows them.

use std::borrow::Cow;

use haulier_core::{
    Cause, DeadReason, Directive, Durability, Ended, Held, OnConflict, State, Until,
};
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// One of a fixed set of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word<T>(pub T);

/// A fixed set of words.
pub trait Vocabulary: Sized + Copy + PartialEq + 'static {
    /// Name of its schema.
    const NAME: &'static str;
    /// Every value with its word.
    fn words() -> Vec<(Self, &'static str)>;
}

macro_rules! vocabulary {
    ($type:ident, $name:literal: $all:expr, $word:expr) => {
        impl Vocabulary for $type {
            const NAME: &'static str = $name;
            fn words() -> Vec<(Self, &'static str)> {
                $all.into_iter().map(|value: $type| (value, $word(value))).collect()
            }
        }
    };
}

vocabulary!(State, "State": State::ALL, |state: State| state.as_str());
vocabulary!(DeadReason, "DeadReason": DeadReason::ALL, |reason: DeadReason| reason.as_str());
vocabulary!(Ended, "Ended": Ended::ALL, |ended: Ended| ended.as_str());
vocabulary!(Cause, "Cause": [Cause::Error, Cause::Timeout, Cause::Panic, Cause::Decode],
    |cause: Cause| cause.as_str());
vocabulary!(Directive, "Directive": [Directive::Run, Directive::Quiet, Directive::Stop],
    |directive: Directive| directive.as_str());
vocabulary!(Held, "Held": [Held::Yes, Held::Cancel, Held::Stale], |held: Held| held.as_str());
vocabulary!(Durability, "DurabilityClass":
    [Durability::D0, Durability::D1, Durability::D2, Durability::D3],
    |class: Durability| class.as_str());
vocabulary!(Until, "Until": [Until::Start, Until::Finish], |until| match until {
    Until::Start => "start",
    Until::Finish => "finish",
});
vocabulary!(OnConflict, "OnConflict":
    [OnConflict::Return, OnConflict::Reject, OnConflict::Replace], |rule| match rule {
    OnConflict::Return => "return",
    OnConflict::Reject => "reject",
    OnConflict::Replace => "replace",
});

/// A task's state.
pub type StateWord = Word<State>;
/// Why a task is dead.
pub type ReasonWord = Word<DeadReason>;
/// How a delivery ended.
pub type EndedWord = Word<Ended>;
/// What sort of failure.
pub type CauseWord = Word<Cause>;
/// What operators want of a worker.
pub type DirectiveWord = Word<Directive>;
/// Whether a lease is still the worker's.
pub type HeldWord = Word<Held>;
/// A durability class.
pub type ClassWord = Word<Durability>;
/// What a unique key is held until.
pub type UntilWord = Word<Until>;
/// What happens to a second task with a unique key.
pub type ConflictWord = Word<OnConflict>;

impl<T: Vocabulary> Word<T> {
    /// The word.
    pub fn as_str(self) -> &'static str {
        let words = T::words();
        words.into_iter().find(|(value, _)| *value == self.0).map_or("", |(_, word)| word)
    }

    /// The value of a word; tells the known ones if it is not among them.
    ///
    /// # Errors
    /// What is known.
    pub fn parse(word: &str) -> Result<Self, String> {
        let words = T::words();
        words.iter().find(|(_, known)| *known == word).map(|(value, _)| Self(*value)).ok_or_else(
            || {
                let shown: String = word.chars().take(40).collect();
                let known: Vec<&str> = words.iter().map(|(_, known)| *known).collect();
                format!("{shown:?} is unknown; known are {}", known.join(", "))
            },
        )
    }
}

impl<T: Vocabulary> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de, T: Vocabulary> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Self::parse(&word).map_err(de::Error::custom)
    }
}

impl<T: Vocabulary> PartialSchema for Word<T> {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(T::words().into_iter().map(|(_, word)| word)))
            .into()
    }
}

impl<T: Vocabulary> ToSchema for Word<T> {
    fn name() -> Cow<'static, str> {
        T::NAME.into()
    }
}
