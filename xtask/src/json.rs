//! JSON that keeps the order of its members, to be shown to a person.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A JSON value as it was written.
#[derive(Debug, PartialEq)]
pub enum Json {
    /// An object's members in order.
    Object(Vec<(String, Json)>),
    /// An array's elements.
    Array(Vec<Json>),
    /// Anything else, as text.
    Scalar(String),
}

impl fmt::Display for Json {
    /// On one line, with a little air.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |parts: Vec<String>| parts.join(", ");
        match self {
            Self::Scalar(text) => formatter.write_str(text),
            Self::Array(elements) => {
                write!(formatter, "[{}]", joined(elements.iter().map(Self::to_string).collect()))
            }
            Self::Object(members) => {
                let members = members.iter().map(|(name, value)| format!("{name}: {value}"));
                write!(formatter, "{{ {} }}", joined(members.collect()))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Scalar(serde_json::Value::from(value).to_string()))
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Scalar("null".into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = access.next_element()? {
            elements.push(element);
        }
        Ok(Json::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = access.next_entry()? {
            members.push(member);
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order() {
        let json: Json =
            serde_json::from_str(r#"{"z": [1, -2.5, null], "a": {"b": "é\"", "c": true}}"#).unwrap();
        assert_eq!(json.to_string(), r#"{ z: [1, -2.5, null], a: { b: "é\"", c: true } }"#);
    }
}
