//! Payloads and other bytes in JSON: JSON is embedded exactly as it was written, the rest is
//! base64.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use haulier_core::{Error, Payload};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// Bytes as base64, with padding.
#[derive(Clone, PartialEq, Eq)]
pub struct Base64(pub Bytes);

impl fmt::Debug for Base64 {
    /// Never the bytes: payloads do not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Base64({} bytes)", self.0.len())
    }
}

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&base64::display::Base64Display::new(&self.0, &STANDARD))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Base64;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes as base64")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Base64, E> {
                let bytes = STANDARD
                    .decode(text)
                    .map_err(|error| E::custom(format!("not base64: {error}")))?;
                Ok(Base64(bytes.into()))
            }
        }
        deserializer.deserialize_str(Reader)
    }
}

impl PartialSchema for Base64 {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .content_encoding("base64")
            .description(Some("Bytes as base64, with padding."))
            .into()
    }
}

impl ToSchema for Base64 {
    fn name() -> Cow<'static, str> {
        "Base64".into()
    }
}

/// Bytes as the two fields that can carry them; at most one is there.
#[derive(Clone, Default)]
pub struct Body {
    /// JSON, embedded as it was written.
    pub json: Option<Box<RawValue>>,
    /// Anything else.
    pub base64: Option<Base64>,
}

impl Body {
    /// The fields for a payload: embedded only if it says that it is JSON, is JSON, and would come
    /// back byte for byte.
    pub fn of(payload: &Payload) -> Self {
        if payload.is_json() {
            Self::of_bytes(&payload.bytes)
        } else {
            Self::base64(&payload.bytes)
        }
    }

    /// The fields for bytes of unknown type.
    pub fn of_bytes(bytes: &Bytes) -> Self {
        let json = std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| RawValue::from_string(text.to_owned()).ok())
            // Space around a value is not part of it and would be lost.
            .filter(|raw| raw.get().len() == bytes.len());
        match json {
            Some(json) => Self { json: Some(json), base64: None },
            None => Self::base64(bytes),
        }
    }

    fn base64(bytes: &Bytes) -> Self {
        Self { json: None, base64: Some(Base64(bytes.clone())) }
    }

    /// The payload that the fields carry, `None` if neither is there. `field` names the first one.
    ///
    /// # Errors
    /// If both are there, or embedded JSON claims to be something else.
    pub fn into_payload(
        self,
        content_type: Option<&str>,
        field: &str,
    ) -> Result<Option<Payload>, Error> {
        let named = content_type.map(Arc::<str>::from);
        match (self.json, self.base64) {
            (Some(_), Some(_)) => {
                Err(Error::invalid(field, format!("give either {field} or {field}_base64")))
            }
            (Some(json), None) => {
                let payload =
                    Payload::new(json.get().to_owned(), named.unwrap_or(Payload::JSON.into()));
                if payload.is_json() {
                    return Ok(Some(payload));
                }
                Err(Error::invalid(
                    field,
                    format!("is embedded JSON: leave content_type out, or send {field}_base64"),
                ))
            }
            (None, Some(Base64(bytes))) => {
                Ok(Some(Payload::new(bytes, named.unwrap_or(Payload::BINARY.into()))))
            }
            (None, None) => Ok(None),
        }
    }
}

/// Reads embedded JSON that was given, be it `null`; only an absent field is `None`.
pub(super) fn given<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(payload: &Payload) -> (bool, Payload) {
        let body = Body::of(payload);
        let embedded = body.json.is_some();
        (embedded, body.into_payload(Some(&payload.content_type), "payload").unwrap().unwrap())
    }

    #[test]
    fn whatever_the_bytes_are_they_come_back_byte_for_byte() {
        for (bytes, content_type, embedded) in [
            (&b"{\"b\": 1,  \"a\":1.000000000000000000001}"[..], Payload::JSON, true),
            (b"null", Payload::JSON, true),
            (b" {} ", Payload::JSON, false),
            (b"", Payload::JSON, false),
            (b"not json", Payload::JSON, false),
            (b"\xff\xfe", Payload::JSON, false),
            (b"{}", "application/protobuf", false),
            (b"[1,1]", "application/json; charset=utf-8", false),
        ] {
            let payload = Payload::new(bytes.to_vec(), content_type);
            assert_eq!(round(&payload), (embedded, payload), "{bytes:?}");
        }
    }

    #[test]
    fn deep_nesting_is_carried_without_being_walked_recursively() {
        let deep = "[".repeat(200_000) + &"]".repeat(200_000);
        let payload = Payload::json(deep);
        assert_eq!(round(&payload), (true, payload));
    }

    #[test]
    fn two_payloads_or_json_under_another_name_are_refused() {
        let json = || Some(RawValue::from_string("{}".to_owned()).unwrap());
        let both = Body { json: json(), base64: Some(Base64(Bytes::new())) };
        assert!(both.into_payload(None, "payload").unwrap_err().message().contains("either"));
        let other = Body { json: json(), base64: None };
        assert!(other.into_payload(Some("text/plain"), "payload").is_err());
    }
}
