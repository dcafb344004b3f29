//! How the core's nouns stand in a history: as the words that they have on every wire.

use std::fmt::Display;
use std::str::FromStr;

use haulier_core::{Ended, Held, State};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// For `#[serde(with = "words::text")]`: whatever reads back what it displays.
pub mod text {
    use super::{Deserialize, Deserializer, Display, FromStr, Serializer};

    pub fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub fn deserialize<'a, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'a>,
    {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A word of a closed list.
macro_rules! word {
    ($name:ident, $type:ty, $all:expr) => {
        #[doc = concat!("A [`", stringify!($type), "`] as its word.")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name(pub $type);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.0.as_str())
            }
        }

        impl<'a> Deserialize<'a> for $name {
            fn deserialize<D: Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
                let word = String::deserialize(from)?;
                let found = $all.into_iter().find(|value| value.as_str() == word);
                found.map(Self).ok_or_else(|| D::Error::custom(format!("{word:?} is no word here")))
            }
        }
    };
}

word!(StateWord, State, State::ALL);
word!(EndedWord, Ended, Ended::ALL);
word!(HeldWord, Held, [Held::Yes, Held::Cancel, Held::Stale]);
