//! Headers and labels: a JSON object of texts, in the order in which it was written.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// Names with values. Whether they are distinct and short enough is checked by the core.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pairs(pub haulier_core::Pairs);

impl Serialize for Pairs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Pairs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object whose values are texts")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs: Vec<(String, String)> = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs.into_iter().collect()))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl PartialSchema for Pairs {
    fn schema() -> RefOr<Schema> {
        let text: RefOr<Schema> = ObjectBuilder::new().schema_type(Type::String).into();
        ObjectBuilder::new()
            .additional_properties(Some(AdditionalProperties::RefOr(text)))
            .description(Some("Names with texts as values."))
            .examples([serde_json::json!({ "tenant": "acme" })])
            .into()
    }
}

impl ToSchema for Pairs {
    fn name() -> Cow<'static, str> {
        "Pairs".into()
    }
}
