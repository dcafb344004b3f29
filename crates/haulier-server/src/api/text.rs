//! How single values are spelled: names, ids, durations, instants, epochs.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use haulier_core::{Kind, QueueName, TaskId, Timestamp, WorkerId, span};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::openapi::{RefOr, schema::SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

/// A value that is written as text and checked when it is read: a name or an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text<T>(pub T);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(de::Error::custom)
    }
}

/// How a kind of text is described in the interface's description.
pub trait Described {
    /// Name of its schema.
    const NAME: &'static str;
    /// What it is.
    const ABOUT: &'static str;
    /// Which texts are such values.
    const PATTERN: &'static str;
    /// One of them.
    const EXAMPLE: &'static str;
}

const NAME_PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$";

impl Described for QueueName {
    const NAME: &'static str = "QueueName";
    const ABOUT: &'static str = "Name of a queue; it exists as soon as it is named.";
    const PATTERN: &'static str = NAME_PATTERN;
    const EXAMPLE: &'static str = "mail";
}

impl Described for Kind {
    const NAME: &'static str = "Kind";
    const ABOUT: &'static str = "What a task asks for.";
    const PATTERN: &'static str = NAME_PATTERN;
    const EXAMPLE: &'static str = "email.send";
}

impl Described for WorkerId {
    const NAME: &'static str = "WorkerId";
    const ABOUT: &'static str = "One run of a worker process; new at every start.";
    const PATTERN: &'static str = NAME_PATTERN;
    const EXAMPLE: &'static str = "host-4711-9f3a2c1d";
}

impl Described for TaskId {
    const NAME: &'static str = "TaskId";
    const ABOUT: &'static str = "Name of a task for ever: a UUID, version 7, made by the client.";
    const PATTERN: &'static str =
        "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$";
    const EXAMPLE: &'static str = "01997b9c-1f2e-7c3d-8a4b-5c6d7e8f9a0b";
}

impl<T: Described> PartialSchema for Text<T> {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(T::ABOUT))
            .pattern(Some(T::PATTERN))
            .examples([T::EXAMPLE])
            .into()
    }
}

impl<T: Described> ToSchema for Text<T> {
    fn name() -> Cow<'static, str> {
        T::NAME.into()
    }
}

/// A task's id.
pub type IdText = Text<TaskId>;
/// A queue's name.
pub type QueueText = Text<QueueName>;
/// A kind.
pub type KindText = Text<Kind>;
/// A worker's name.
pub type WorkerText = Text<WorkerId>;

/// A length of time: read from `"30s"`, `"1h30m"`, `"250ms"` or seconds, written as seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.subsec_nanos() == 0 {
            return serializer.serialize_u64(self.0.as_secs());
        }
        serializer.serialize_f64(self.0.as_secs_f64())
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Span;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"30s\", \"1h30m\" or a number of seconds")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                span::parse(text).map(Span).map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Span, E> {
                Ok(Span(Duration::from_secs(seconds)))
            }
            fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Span, E> {
                self.visit_str(&seconds.to_string())
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl PartialSchema for Span {
    fn schema() -> RefOr<Schema> {
        let seconds = ObjectBuilder::new().schema_type(Type::Number).minimum(Some(0));
        let text = ObjectBuilder::new().schema_type(Type::String).examples(["30s", "1h30m"]);
        OneOfBuilder::new()
            .item(seconds)
            .item(text)
            .description(Some(
                "A length of time: seconds, or text such as \"30s\". Comes out as seconds.",
            ))
            .into()
    }
}

impl ToSchema for Span {}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

/// A moment of the calendar, in RFC 3339, with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instant(pub Timestamp);

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The calendar ends in the year 9999; what lies beyond is shown as its end.
        let moment = i64::try_from(self.0.0)
            .ok()
            .and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok())
            .unwrap_or(jiff::Timestamp::MAX);
        write!(f, "{moment:.3}")
    }
}

impl FromStr for Instant {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let moment: jiff::Timestamp = text.parse().map_err(|_| {
            let shown: String = text.chars().take(40).collect();
            format!("{shown:?} is not an instant; write RFC 3339, as in 2026-11-24T06:00:00Z")
        })?;
        let millis = u64::try_from(moment.as_millisecond())
            .map_err(|_| "an instant before 1970 is not allowed".to_owned())?;
        Ok(Self(Timestamp(millis)))
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl PartialSchema for Instant {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(utoipa::openapi::KnownFormat::DateTime)))
            .description(Some("A moment, RFC 3339, UTC."))
            .examples(["2026-11-24T06:00:00.000Z"])
            .into()
    }
}

impl ToSchema for Instant {}

/// The fence of a delivery: an unsigned 64-bit number as digits in a string, since many languages
/// would round a bare number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch(pub haulier_core::Epoch);

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| text.parse().ok()).flatten();
        let wrong = || de::Error::custom("an epoch is the digits of an unsigned 64-bit number");
        number.map(|number| Self(haulier_core::Epoch(number))).ok_or_else(wrong)
    }
}

impl PartialSchema for Epoch {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("The fence of a delivery: an unsigned 64-bit number, as digits."))
            .pattern(Some("^[0-9]{1,20}$"))
            .examples(["4294967297"])
            .into()
    }
}

impl ToSchema for Epoch {}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: de::DeserializeOwned>(json: &str) -> Result<T, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_duration_goes_in_as_text_or_seconds_and_comes_out_as_seconds() {
        for (json, out) in [
            ("\"1h30m\"", "5400"),
            ("30", "30"),
            ("0.25", "0.25"),
            ("\"250ms\"", "0.25"),
            ("0", "0"),
        ] {
            let span: Span = read(json).unwrap();
            assert_eq!(serde_json::to_string(&span).unwrap(), out, "{json}");
        }
        for wrong in ["-1", "\"soon\"", "null", "1e300", "true", "[]"] {
            assert!(read::<Span>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_instant_reads_back_and_needs_a_zone() {
        let instant: Instant = read("\"2026-11-24T08:00:00.5+02:00\"").unwrap();
        assert_eq!(instant.to_string(), "2026-11-24T06:00:00.500Z");
        for wrong in ["\"2026-11-24\"", "\"2026-11-24T06:00:00\"", "0", "\"1969-12-31T23:59:59Z\""]
        {
            assert!(read::<Instant>(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Instant(Timestamp(u64::MAX)).to_string(), "9999-12-30T22:00:00.999Z");
    }

    #[test]
    fn an_epoch_is_digits_in_a_string_up_to_the_last_bit() {
        let epoch: Epoch = read("\"18446744073709551615\"").unwrap();
        assert_eq!(serde_json::to_string(&epoch).unwrap(), "\"18446744073709551615\"");
        for wrong in ["1", "\"\"", "\"+1\"", "\"18446744073709551616\"", "\"1e3\""] {
            assert!(read::<Epoch>(wrong).is_err(), "{wrong}");
        }
    }
}
