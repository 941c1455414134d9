//! JSON values into parameters in PostgreSQL's text format.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Why a value is none that PostgreSQL could take.
pub(super) const NOT_TEXT: &str = "a string holds an escape that stands for no character";

/// How deep an array may be nested; PostgreSQL takes six dimensions.
const DEPTH_LIMIT: usize = 32;

/// The text of a parameter, `None` for NULL: a string as it is, a number by its digits as written, an object by its JSON
/// text as written, an array as an array literal.
pub(super) fn text(raw: &RawValue) -> Result<Option<Cow<'_, str>>, &'static str> {
    let json = raw.get();
    match json.as_bytes().first() {
        Some(b'n') => Ok(None),
        Some(b'"') => string(raw).map(Some),
        Some(b'[') => {
            let mut literal = String::with_capacity(json.len() + 8);
            array(raw, &mut literal, DEPTH_LIMIT)?;
            Ok(Some(Cow::Owned(literal)))
        }
        _ => Ok(Some(Cow::Borrowed(json))),
    }
}

/// A JSON string.
pub(super) fn string(raw: &RawValue) -> Result<Cow<'_, str>, &'static str> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    let Text(text) = serde_json::from_str(raw.get()).map_err(|_| NOT_TEXT)?;
    Ok(text)
}

fn array(raw: &RawValue, literal: &mut String, depth: usize) -> Result<(), &'static str> {
    let depth = depth.checked_sub(1).ok_or("an array is nested too deeply")?;
    let elements: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| "an array cannot be read")?;
    literal.push('{');
    for (index, element) in elements.into_iter().enumerate() {
        if index > 0 {
            literal.push(',');
        }
        match element.get().as_bytes().first() {
            Some(b'n') => literal.push_str("NULL"),
            Some(b'[') => array(element, literal, depth)?,
            Some(b'"') => quoted(&string(element)?, literal),
            Some(b'{') => quoted(element.get(), literal),
            _ => literal.push_str(element.get()),
        }
    }
    literal.push('}');
    Ok(())
}

/// An element in double quotes. PostgreSQL manual, "Array Input and Output Syntax".
fn quoted(text: &str, literal: &mut String) {
    literal.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            literal.push('\\');
        }
        literal.push(character);
    }
    literal.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_what_postgresql_reads() {
        for (json, expected) in [
            ("null", None),
            ("true", Some("true")),
            ("1.50", Some("1.50")),
            ("18446744073709551616", Some("18446744073709551616")),
            (r#""a\"b\n""#, Some("a\"b\n")),
            (r#"{"b":1,"a":[2]}"#, Some(r#"{"b":1,"a":[2]}"#)),
            ("[]", Some("{}")),
            ("[1,null,3.0]", Some("{1,NULL,3.0}")),
            (
                r#"["NULL","",null,"a\\b\"c","x,y","line\nbreak"]"#,
                Some("{\"NULL\",\"\",NULL,\"a\\\\b\\\"c\",\"x,y\",\"line\nbreak\"}"),
            ),
            ("[[1,2],[3,4]]", Some("{{1,2},{3,4}}")),
            (r#"[{"k":"v\n"}]"#, Some(r#"{"{\"k\":\"v\\n\"}"}"#)),
        ] {
            let raw: &RawValue = serde_json::from_str(json).unwrap();
            assert_eq!(text(raw).unwrap().as_deref(), expected, "{json}");
        }
        let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
        assert!(text(serde_json::from_str(&deep).unwrap()).is_err());
        assert!(text(serde_json::from_str(r#""\ud800""#).unwrap()).is_err());
    }
}
