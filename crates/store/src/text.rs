//! How our words look in JSON: the text they display as. `envelope` knows nothing of serde.

use std::fmt::Display;
use std::str::FromStr;

use envelope::Choice;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `#[serde(with = "text")]`: the displayed text, there and back.
pub(crate) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

pub(crate) use serialize as display;

#[allow(clippy::ref_option, reason = "the shape serde calls")]
pub(crate) fn optional<T: Display, S: Serializer>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => to.collect_str(value),
        None => to.serialize_none(),
    }
}

pub(crate) fn all<T: Display, S: Serializer>(values: &[T], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(values.iter().map(ToString::to_string))
}

/// `{"opens":true,"links":false}`.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "the shape serde calls")]
pub(crate) fn choice<S: Serializer>(choice: &Choice, to: S) -> Result<S::Ok, S::Error> {
    let mut fields = to.serialize_struct("Choice", 2)?;
    fields.serialize_field("opens", &choice.opens)?;
    fields.serialize_field("links", &choice.links)?;
    fields.end()
}

/// `#[serde(with = "text::maybe")]`: the displayed text or null, there and back.
pub(crate) mod maybe {
    use super::{Deserialize, Deserializer, Display, FromStr};

    pub(crate) use super::optional as serialize;

    pub(crate) fn deserialize<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text: Option<String> = Option::deserialize(from)?;
        text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
    }
}

/// A text that holds a JSON object shows as that object, any other as a string.
pub(crate) mod json {
    use serde_json::Value;

    use super::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(text: &str, to: S) -> Result<S::Ok, S::Error> {
        match serde_json::from_str(text) {
            Ok(object @ Value::Object(_)) => object.serialize(to),
            _ => to.serialize_str(text),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
        Ok(match Value::deserialize(from)? {
            Value::String(text) => text,
            other => other.to_string(),
        })
    }
}
