//! Values as other programs write them: `15169.0` and `"AS15169"` for a number, `1` for yes, `[::1]:443` for an
//! address. What means nothing is an error, and null is unknown.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// A JSON scalar; lists and objects are refused.
enum Scalar {
    Null,
    Flag(bool),
    Number(f64),
    Text(String),
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a text, true, false or null")
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Null)
    }

    fn visit_none<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar, D::Error> {
        Scalar::deserialize(deserializer)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Scalar, E> {
        Ok(Scalar::Flag(flag))
    }

    #[allow(clippy::cast_precision_loss, reason = "what is counted here is far below 2^53")]
    fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar::Number(number as f64))
    }

    #[allow(clippy::cast_precision_loss, reason = "what is counted here is far below 2^53")]
    fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
        Ok(Scalar::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Scalar, E> {
        Ok(Scalar::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(text.trim().to_owned()))
    }
}

/// Seconds, or anything else that has a sign and a fraction.
pub(crate) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    match Scalar::deserialize(deserializer)? {
        Scalar::Null => Ok(None),
        Scalar::Number(number) => Ok(Some(number)),
        Scalar::Text(text) if text.is_empty() => Ok(None),
        Scalar::Text(text) => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(number)),
            _ => Err(D::Error::invalid_value(Unexpected::Str(&text), &"a number")),
        },
        Scalar::Flag(flag) => Err(D::Error::invalid_type(Unexpected::Bool(flag), &"a number")),
    }
}

/// A whole number from 0; larger ones than fit are the largest.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be whole and not negative"
)]
pub(crate) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    match number(deserializer)? {
        None => Ok(None),
        Some(number) if number >= 0.0 && number.fract() == 0.0 => Ok(Some(number as u32)),
        Some(number) => Err(D::Error::invalid_value(Unexpected::Float(number), &"a whole number from 0")),
    }
}

/// The number of an autonomous system, `AS` before it or not.
pub(crate) fn asn<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    match Scalar::deserialize(deserializer)? {
        Scalar::Text(text) => {
            let bare = text.strip_prefix("AS").or_else(|| text.strip_prefix("as")).unwrap_or(&text).trim();
            match bare.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) if bare.is_empty() => Ok(None),
                Err(_) => Err(D::Error::invalid_value(Unexpected::Str(&text), &"the number of an AS")),
            }
        }
        Scalar::Null => Ok(None),
        Scalar::Number(number) => count(serde::de::value::F64Deserializer::new(number)),
        Scalar::Flag(flag) => Err(D::Error::invalid_type(Unexpected::Bool(flag), &"the number of an AS")),
    }
}

/// Yes, no or unknown.
pub(crate) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    match Scalar::deserialize(deserializer)? {
        Scalar::Null => Ok(None),
        Scalar::Flag(flag) => Ok(Some(flag)),
        Scalar::Number(number) => match number {
            0.0 => Ok(Some(false)),
            1.0 => Ok(Some(true)),
            _ => Err(D::Error::invalid_value(Unexpected::Float(number), &"true or false")),
        },
        Scalar::Text(text) => match text.to_ascii_lowercase().as_str() {
            "" => Ok(None),
            "true" | "yes" | "1" => Ok(Some(true)),
            "false" | "no" | "0" => Ok(Some(false)),
            _ => Err(D::Error::invalid_value(Unexpected::Str(&text), &"true or false")),
        },
    }
}

/// A text; numbers are written out.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Scalar::deserialize(deserializer)? {
        Scalar::Null => None,
        Scalar::Flag(flag) => Some(flag.to_string()),
        Scalar::Number(number) => Some(number.to_string()),
        Scalar::Text(text) => Some(text),
    })
}

/// One address; empty is unknown.
pub(crate) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
    match text(deserializer)? {
        None => Ok(None),
        Some(text) if text.is_empty() || text == "-" => Ok(None),
        Some(text) => parse_address(&text)
            .map(Some)
            .ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &"an IP address")),
    }
}

/// Addresses: a list of them, one alone, or null.
pub(crate) fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpAddr>, D::Error> {
    struct List;
    impl<'de> Visitor<'de> for List {
        type Value = Vec<IpAddr>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of IP addresses")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_none<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            deserializer.deserialize_any(self)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            let each = text.split([',', ' ']).filter(|text| !text.is_empty());
            each.map(|text| {
                parse_address(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &"an IP address"))
            })
            .collect()
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let mut addresses = Vec::new();
            while let Some(Address(address)) = items.next_element()? {
                addresses.extend(address);
            }
            Ok(addresses)
        }
    }
    deserializer.deserialize_any(List)
}

struct Address(Option<IpAddr>);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        address(deserializer).map(Self)
    }
}

/// `192.0.2.1`, `2001:db8::1`, either with a port or in brackets; of a network (`192.0.2.0/24`) its first address,
/// which is what truncated addresses leave. A zone (`fe80::1%eth0`) is taken off.
pub(crate) fn parse_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let bare = match bare.split_once('/') {
        Some((address, length)) => {
            length.parse::<u8>().ok().filter(|length| *length <= 128)?;
            address
        }
        None => bare,
    };
    let bare = bare.split_once('%').map_or(bare, |(address, _)| address);
    let address = bare.parse().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

/// Header fields: `{"accept": "…"}` with a text, a list of texts or null; `[["accept", "…"]]`;
/// `[{"name": "accept", "value": "…"}]`; `["Accept: …"]`. Null is unknown.
pub(crate) fn headers<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<(String, String)>>, D::Error> {
    struct Fields;
    impl<'de> Visitor<'de> for Fields {
        type Value = Option<Vec<(String, String)>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("header fields, or null where they are not known")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_none<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            deserializer.deserialize_any(self)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut fields = Vec::new();
            while let Some((name, FieldValue(value))) = map.next_entry::<String, FieldValue>()? {
                fields.extend(value.map(|value| (name.trim().to_ascii_lowercase(), value)));
            }
            Ok(Some(fields))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let mut fields = Vec::new();
            while let Some(Field(field)) = items.next_element()? {
                fields.extend(field);
            }
            Ok(Some(fields))
        }
    }
    deserializer.deserialize_any(Fields)
}

/// A field's body; several of one name are one list (RFC 9110 section 5.3). `None`: it was not sent.
struct FieldValue(Option<String>);

impl<'de> Deserialize<'de> for FieldValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            One(Scalar),
            Several(Vec<Scalar>),
        }
        let plain = |scalar| match scalar {
            Scalar::Null => None,
            Scalar::Flag(flag) => Some(flag.to_string()),
            Scalar::Number(number) => Some(number.to_string()),
            Scalar::Text(text) => Some(text),
        };
        Ok(Self(match Written::deserialize(deserializer)? {
            Written::One(scalar) => plain(scalar),
            Written::Several(scalars) => {
                let several: Vec<_> = scalars.into_iter().filter_map(plain).collect();
                (!several.is_empty()).then(|| several.join(", "))
            }
        }))
    }
}

/// One item of a list of fields.
struct Field(Option<(String, String)>);

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = Field;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a header field: [name, value], {\"name\", \"value\"} or \"name: value\"")
            }

            fn visit_str<E: Error>(self, line: &str) -> Result<Field, E> {
                let (name, value) =
                    line.split_once(':').ok_or_else(|| E::invalid_value(Unexpected::Str(line), &self))?;
                Ok(Field::new(name, Some(value.trim().to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Field, A::Error> {
                let name: String = items.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
                let FieldValue(value) =
                    items.next_element()?.ok_or_else(|| A::Error::invalid_length(1, &self))?;
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Field::new(&name, value))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Field, A::Error> {
                let (mut name, mut value) = (None, None);
                while let Some(key) = map.next_key::<String>()? {
                    match key.to_ascii_lowercase().as_str() {
                        "name" => name = Some(map.next_value::<String>()?),
                        "value" => FieldValue(value) = map.next_value()?,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                let name = name.ok_or_else(|| A::Error::missing_field("name"))?;
                Ok(Field::new(&name, value))
            }
        }
        deserializer.deserialize_any(One)
    }
}

impl Field {
    fn new(name: &str, value: Option<String>) -> Self {
        Self(value.map(|value| (name.trim().to_ascii_lowercase(), value)))
    }
}
