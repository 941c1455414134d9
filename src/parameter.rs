//! Rust values as parameters, in one round trip: which type each is declared as, and which are left to PostgreSQL.

mod candidates;

use bytes::BytesMut;
use candidates::Way;
pub(crate) use candidates::{EXTENSIONS, candidates, extension};
use onetrip_wire::frontend;
use postgres_types::{Format, IsNull, Oid, ToSql, Type, WrongType};

use crate::Error;
use crate::catalogue::Known;

/// A parameter, as tokio-postgres takes it.
pub(crate) type Value<'a> = &'a (dyn ToSql + Sync);

/// The length of NULL, which has no value behind it.
const NULL_LEN: [u8; 4] = (-1i32).to_be_bytes();

/// Why a value cannot be encoded.
type Refused = Box<dyn std::error::Error + Sync + Send>;

/// Appends one statement whose parameter types are found by [`Encoded::push`]; `known` are types that are not built in.
pub(crate) fn statement<'a>(
    out: &mut Vec<u8>,
    sql: &str,
    parameters: impl IntoIterator<Item = &'a dyn ToSql>,
    known: &[Known],
) -> Result<(), Error> {
    let mut encoded = Encoded::default();
    for value in parameters {
        encoded.push(value, known)?;
    }
    encoded.write(out, sql)
}

/// Appends one statement whose parameter types the caller names.
pub(crate) fn typed_statement(
    out: &mut Vec<u8>,
    sql: &str,
    parameters: &[(Value<'_>, Type)],
) -> Result<(), Error> {
    let mut encoded = Encoded::default();
    for (index, (value, type_)) in parameters.iter().enumerate() {
        let null = encoded.attempt(*value, type_).map_err(|error| {
            Error::usage(format!("parameter ${} cannot be sent as {type_}: {error}", index + 1)).source(error)
        })?;
        // `unknown` is how PostgreSQL calls what it still has to infer.
        let oid = if *type_ == Type::UNKNOWN { 0 } else { type_.oid() };
        encoded.declare(oid, format(value.encode_format(type_)), null);
    }
    encoded.write(out, sql)
}

/// The parameters of one statement in PostgreSQL's formats.
#[derive(Default)]
struct Encoded {
    items: frontend::Encoded,
    // Each with its length before it.
    values: BytesMut,
    // The end of those that are declared; behind it one may be written that was refused.
    end: usize,
}

impl Encoded {
    fn push(&mut self, value: &dyn ToSql, known: &[Known]) -> Result<(), Error> {
        let number = self.items.len() + 1;
        match self.find(value, known) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::usage(format!(
                "parameter ${number} is of a Rust type that no built-in type takes, for example a derived enum or \
                 composite: let the client know its type once with Client::look_up_types or with_types, name it in the \
                 call with query_typed, or send it as text (a &str fits every type)"
            ))),
            Err(error) => {
                Err(Error::usage(format!("parameter ${number} cannot be encoded: {error}")).source(error))
            }
        }
    }

    /// Encodes the value as the first type that it accepts; whether there is one.
    fn find(&mut self, value: &dyn ToSql, known: &[Known]) -> Result<bool, Refused> {
        for (oid, type_) in candidates().chain(EXTENSIONS.iter().map(|name| (0, extension(name)))) {
            if self.offer(value, &type_, oid)? {
                return Ok(true);
            }
        }
        for known in known {
            if self.offer(value, &known.type_, known.oid)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Encodes the value as this type, if it accepts it.
    fn offer(&mut self, value: &dyn ToSql, type_: &Type, oid: Oid) -> Result<bool, Refused> {
        let null = match self.attempt(value, type_) {
            Ok(null) => null,
            Err(error) if error.is::<WrongType>() => return Ok(false),
            Err(error) => return Err(error),
        };
        let (oid, format) = match Way::of(oid) {
            Way::Declared => (oid, format(value.encode_format(type_))),
            Way::Text => (0, frontend::Format::Text),
            Way::TextArray => {
                self.array_to_literal().ok_or("its array is not one of text")?;
                (0, frontend::Format::Text)
            }
        };
        self.declare(oid, format, null);
        Ok(true)
    }

    fn attempt(&mut self, value: &dyn ToSql, type_: &Type) -> Result<IsNull, Refused> {
        self.values.truncate(self.end);
        // The length of NULL; of a value it is known when that is written.
        self.values.extend_from_slice(&NULL_LEN);
        value.to_sql_checked(type_, &mut self.values)
    }

    fn declare(&mut self, type_oid: u32, format: frontend::Format, null: IsNull) {
        let start = self.end + NULL_LEN.len();
        match null {
            IsNull::Yes => self.values.truncate(start),
            IsNull::No => {
                // What does not fit is over the limit of a statement, too, and refused there.
                let len = u32::try_from(self.values.len() - start).unwrap_or(u32::MAX);
                if let Some(place) = self.values.get_mut(self.end..).and_then(<[u8]>::first_chunk_mut) {
                    *place = len.to_be_bytes();
                }
            }
        }
        self.end = self.values.len();
        self.items.push(type_oid, format);
    }

    /// Turns the array in its binary form that was written last into an array literal. A NULL writes nothing.
    fn array_to_literal(&mut self) -> Option<()> {
        let start = self.end + NULL_LEN.len();
        let binary = self.values.get(start..)?;
        if binary.is_empty() {
            return Some(());
        }
        let dimensions = i32::from_be_bytes(*binary.first_chunk()?);
        // Per dimension the header has a length and a lower bound of 4 bytes each.
        let mut rest = binary.get(12 + 8 * usize::try_from(dimensions).ok()?..)?;
        let mut before = b'{';
        let mut literal = Vec::new();
        while let Some((len, after)) = rest.split_first_chunk() {
            literal.push(std::mem::replace(&mut before, b','));
            rest = after;
            match usize::try_from(i32::from_be_bytes(*len)) {
                Err(_) => literal.extend_from_slice(b"NULL"),
                Ok(len) => {
                    let (element, after) = rest.split_at_checked(len)?;
                    rest = after;
                    literal.push(b'"');
                    for &byte in element {
                        if matches!(byte, b'"' | b'\\') {
                            literal.push(b'\\');
                        }
                        literal.push(byte);
                    }
                    literal.push(b'"');
                }
            }
        }
        if before == b'{' {
            literal.push(before);
        }
        literal.push(b'}');
        self.values.truncate(start);
        self.values.extend_from_slice(&literal);
        Some(())
    }

    fn write(&self, out: &mut Vec<u8>, sql: &str) -> Result<(), Error> {
        self.items
            .write(out, sql, &self.values)
            .map_err(|error| Error::usage(format!("the statement cannot be sent: {}", error.detail())))
    }
}

fn format(format: Format) -> frontend::Format {
    match format {
        Format::Text => frontend::Format::Text,
        Format::Binary => frontend::Format::Binary,
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]
mod tests {
    use postgres_types::Kind;

    use super::*;

    fn encode(value: Value<'_>) -> (u32, frontend::Format, Option<Vec<u8>>) {
        let mut encoded = Encoded::default();
        encoded.push(value, &[]).unwrap();
        let mut frames = Vec::new();
        encoded.write(&mut frames, "").unwrap();
        // In Parse behind its header, two empty strings and a count; in Bind the same with a count more.
        let type_oid = u32::from_be_bytes(*frames[9..].first_chunk().unwrap());
        let format = match frames[22..24] {
            [0, 0] => frontend::Format::Text,
            _ => frontend::Format::Binary,
        };
        (type_oid, format, values(&encoded).remove(0))
    }

    fn values(encoded: &Encoded) -> Vec<Option<Vec<u8>>> {
        let mut values = Vec::new();
        let mut rest = &encoded.values[..encoded.end];
        while let Some((len, behind)) = rest.split_first_chunk() {
            let value = usize::try_from(i32::from_be_bytes(*len)).ok().map(|len| behind[..len].to_vec());
            rest = &behind[value.as_ref().map_or(0, Vec::len)..];
            values.push(value);
        }
        values
    }

    #[test]
    fn each_rust_type_is_declared_as_the_type_it_is_or_left_to_postgresql() {
        use chrono::{DateTime, NaiveDate, Utc};
        let day = NaiveDate::from_ymd_opt(2024, 2, 29).unwrap();
        let moment: DateTime<Utc> = DateTime::UNIX_EPOCH;
        let rows: &[(Value<'_>, u32, frontend::Format)] = &[
            (&true, 16, frontend::Format::Binary),
            (&1i8, 18, frontend::Format::Binary),
            (&1i16, 21, frontend::Format::Binary),
            (&1i32, 23, frontend::Format::Binary),
            (&1i64, 20, frontend::Format::Binary),
            (&1u32, 26, frontend::Format::Binary),
            (&1f32, 700, frontend::Format::Binary),
            (&1f64, 701, frontend::Format::Binary),
            (&"text", 0, frontend::Format::Text),
            (&String::new(), 0, frontend::Format::Text),
            (&Some("text"), 0, frontend::Format::Text),
            (&&b"bytes"[..], 17, frontend::Format::Binary),
            (&vec![1u8], 17, frontend::Format::Binary),
            (&std::time::SystemTime::UNIX_EPOCH, 1184, frontend::Format::Binary),
            (&moment, 1184, frontend::Format::Binary),
            (&moment.naive_utc(), 1114, frontend::Format::Binary),
            (&day, 1082, frontend::Format::Binary),
            (&uuid::Uuid::nil(), 2950, frontend::Format::Binary),
            (&serde_json::json!({"a": 1}), 0, frontend::Format::Text),
            (&std::net::IpAddr::from([127, 0, 0, 1]), 869, frontend::Format::Binary),
            (&vec![1i32], 1007, frontend::Format::Binary),
            (&vec![Some(1i64), None], 1016, frontend::Format::Binary),
            (&vec!["a"], 0, frontend::Format::Text),
            (&vec![uuid::Uuid::nil()], 2951, frontend::Format::Binary),
            (&vec![vec![1u8]], 1001, frontend::Format::Binary),
            (&vec![serde_json::json!(1)], 0, frontend::Format::Text),
            (&None::<i32>, 23, frontend::Format::Binary),
            (&None::<String>, 0, frontend::Format::Text),
            (&None::<Vec<String>>, 0, frontend::Format::Text),
            (&std::collections::HashMap::<String, Option<String>>::new(), 0, frontend::Format::Binary),
        ];
        for (value, oid, format) in rows {
            let (found_oid, found_format, _) = encode(*value);
            assert_eq!((found_oid, found_format), (*oid, *format), "{value:?}");
        }
    }

    #[test]
    fn a_null_is_null_and_an_empty_value_is_not() {
        assert_eq!(encode(&None::<i32>).2, None);
        assert_eq!(encode(&None::<&str>).2, None);
        assert_eq!(encode(&None::<Vec<&str>>).2, None);
        assert_eq!(encode(&"").2, Some(vec![]));
        assert_eq!(encode(&Vec::<u8>::new()).2, Some(vec![]));
    }

    #[test]
    fn an_array_of_text_becomes_an_array_literal() {
        for (array, literal) in [
            (vec![], "{}"),
            (vec![Some("a"), Some("b c")], r#"{"a","b c"}"#),
            (vec![None, Some("NULL"), Some("")], r#"{NULL,"NULL",""}"#),
            (vec![Some(r#"say "hi" \ back"#)], r#"{"say \"hi\" \\ back"}"#),
            (vec![Some("\\"), Some("ü🚀,{}")], r#"{"\\","ü🚀,{}"}"#),
        ] {
            assert_eq!(String::from_utf8(encode(&array).2.unwrap()).unwrap(), literal);
        }
    }

    #[test]
    fn values_lie_one_after_the_other_whatever_was_tried_before() {
        let mut encoded = Encoded::default();
        let parameters: [Value<'_>; 4] = [&7i64, &"seven", &vec!["x"], &None::<i32>];
        for value in parameters {
            encoded.push(value, &[]).unwrap();
        }
        assert_eq!(
            values(&encoded),
            [Some(vec![0, 0, 0, 0, 0, 0, 0, 7]), Some(b"seven".to_vec()), Some(br#"{"x"}"#.to_vec()), None]
        );
    }

    #[test]
    fn a_derived_enum_needs_its_type_named() {
        #[derive(Debug, postgres_types::ToSql)]
        #[postgres(name = "mood")]
        enum Mood {
            #[postgres(name = "sad")]
            Sad,
        }
        let error = statement(&mut Vec::new(), "select $1", [&Mood::Sad as &dyn ToSql], &[]).unwrap_err();
        assert!(
            error.to_string().contains("parameter $1") && error.to_string().contains("query_typed"),
            "{error}"
        );
        let mood = Type::new("mood".into(), 0, Kind::Enum(vec!["sad".into()]), "public".into());
        statement(&mut Vec::new(), "select $1", [&Mood::Sad as &dyn ToSql], &[Known::new(mood.clone())])
            .unwrap();
        typed_statement(&mut Vec::new(), "select $1", &[(&Mood::Sad, mood)]).unwrap();
        let error = typed_statement(&mut Vec::new(), "select $1", &[(&Mood::Sad, Type::INT4)]).unwrap_err();
        assert!(error.to_string().contains("parameter $1 cannot be sent as int4"), "{error}");
    }

    #[test]
    fn what_postgresql_cannot_take_is_refused_before_it_is_sent() {
        let error = statement(&mut Vec::new(), "select '\0'", [], &[]).unwrap_err();
        assert_eq!(error.kind(), crate::Kind::Usage);
        let many: Vec<&dyn ToSql> = vec![&1i32; 65_536];
        let error = statement(&mut Vec::new(), "select 1", many, &[]).unwrap_err();
        assert!(error.to_string().contains("65536 parameters"), "{error}");
    }
}
