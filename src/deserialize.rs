//! Rows read by serde.

use std::fmt;

use postgres_types::{Kind as TypeKind, Type};
use serde::de::{
    self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
    value::StrDeserializer,
};

use crate::column::check_array;
use crate::{Column, Error, Kind, Row, text};

impl Row {
    /// Reads the row by serde (feature `serde`): into a struct or a map by the names of the columns, into a tuple or a
    /// sequence by their order, and a row of one column into anything that its value is.
    ///
    /// What serde has no word for comes as text, moments in ISO 8601; so numeric, uuid, dates and times read as `String` and
    /// as the types of `uuid` and `chrono` with their serde support. An array is a sequence, bytea is bytes. json
    /// and jsonb are read through with the feature `with-serde_json-1`, and are their text for a `String` and without it.
    ///
    /// [`FromRow`](trait@crate::FromRow) is smaller and faster, and reads every type of `FromSql`.
    ///
    /// # Errors
    /// [`Kind::Decode`] as [`try_get`](Row::try_get): the text names the column, its type and what was expected.
    ///
    /// # Examples
    /// ```
    /// #[derive(serde::Deserialize)]
    /// struct User<'a> {
    ///     id: i64,
    ///     name: &'a str,
    ///     email: Option<String>,
    /// }
    ///
    /// # async fn example(client: onetrip::Client) -> Result<(), onetrip::Error> {
    /// for row in client.query("select id, name, email from users", &[]).await? {
    ///     let user: User = row.deserialize()?;
    ///     println!("{} {} {:?}", user.id, user.name, user.email);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn deserialize<'a, T: de::Deserialize<'a>>(&'a self) -> Result<T, Error> {
        T::deserialize(Whole(self)).map_err(|Failed { message, at }| {
            let place = at.and_then(|at| Some((at, self.columns().get(at)?)));
            let place = place.map_or_else(String::new, |(at, column)| {
                format!("column {at} (\"{}\") of type {}: ", column.name(), column.type_name())
            });
            let rust = std::any::type_name::<T>();
            Error::new(Kind::Decode, format!("{place}{message}, as {rust}"))
        })
    }
}

/// What serde found wrong, and the column that it was about.
#[derive(Debug)]
struct Failed {
    message: String,
    at: Option<usize>,
}

impl Failed {
    fn at(self, at: usize) -> Failed {
        Failed { at: self.at.or(Some(at)), ..self }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Failed {}

impl de::Error for Failed {
    fn custom<T: fmt::Display>(message: T) -> Failed {
        Failed { message: message.to_string(), at: None }
    }
}

/// A whole row.
struct Whole<'a>(&'a Row);

impl<'a> Whole<'a> {
    fn columns(&self) -> Columns<'a> {
        Columns { row: self.0, next: 0 }
    }

    fn only(&self) -> Result<Value<'a>, Failed> {
        match self.0.len() {
            1 => Value::new(self.0, 0),
            columns => {
                Err(de::Error::custom(format!("the row has {columns} columns where one value is to be read")))
            }
        }
    }
}

macro_rules! only {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failed> {
            self.only()?.$method(visitor).map_err(|error| error.at(0))
        })*
    };
}

impl<'a> Deserializer<'a> for Whole<'a> {
    type Error = Failed;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_map(self.columns())
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_seq(self.columns())
    }

    fn deserialize_tuple<V: Visitor<'a>>(self, len: usize, visitor: V) -> Result<V::Value, Failed> {
        match self.0.len() {
            columns if columns == len => visitor.visit_seq(self.columns()),
            columns => Err(de::Error::custom(format!(
                "the row has {columns} columns where {len} values are to be read"
            ))),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Failed> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failed> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failed> {
        self.only()?.deserialize_enum(name, variants, visitor).map_err(|error| error.at(0))
    }

    only! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16
        deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64 deserialize_char deserialize_str
        deserialize_string deserialize_bytes deserialize_byte_buf deserialize_option
    }

    serde::forward_to_deserialize_any! { <W: Visitor<'a>> i128 u128 unit unit_struct map struct identifier ignored_any }

    fn is_human_readable(&self) -> bool {
        true
    }
}

/// The columns of a row, one after the other.
struct Columns<'a> {
    row: &'a Row,
    next: usize,
}

impl<'a> Columns<'a> {
    fn value<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<S::Value, Failed> {
        let at = self.next;
        self.next += 1;
        Value::new(self.row, at).and_then(|value| seed.deserialize(value)).map_err(|error| error.at(at))
    }
}

impl<'a> MapAccess<'a> for Columns<'a> {
    type Error = Failed;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Failed> {
        let Some(column) = self.row.columns().get(self.next) else { return Ok(None) };
        let name: StrDeserializer<'_, Failed> = column.name().into_deserializer();
        seed.deserialize(name).map(Some).map_err(|error| error.at(self.next))
    }

    fn next_value_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<S::Value, Failed> {
        self.value(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.row.len() - self.next)
    }
}

impl<'a> SeqAccess<'a> for Columns<'a> {
    type Error = Failed;

    fn next_element_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<Option<S::Value>, Failed> {
        if self.next == self.row.len() {
            return Ok(None);
        }
        self.value(seed).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.row.len() - self.next)
    }
}

/// One value: a column's or an element of its array.
struct Value<'a> {
    type_: Type,
    raw: Option<&'a [u8]>,
}

impl<'a> Value<'a> {
    fn new(row: &'a Row, at: usize) -> Result<Value<'a>, Failed> {
        let column: &Column = row
            .columns()
            .get(at)
            .ok_or_else(|| Failed { message: format!("there is no column {at}"), at: None })?;
        let raw = row.try_get_raw(at).map_err(|error| Failed { message: error.to_string(), at: Some(at) })?;
        let type_ = column.serde_type(raw).map_err(|why| Failed { message: why.to_owned(), at: Some(at) })?;
        Ok(Value { type_, raw })
    }
}

impl<'a> Value<'a> {
    /// The text of a json or a jsonb.
    fn json(&self) -> Option<&'a str> {
        let raw = self.raw?;
        let json = if self.type_ == Type::JSONB { raw.strip_prefix(&[1])? } else { raw };
        std::str::from_utf8(json).ok()
    }
}

impl<'a> Deserializer<'a> for Value<'a> {
    type Error = Failed;

    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failed> {
        match self.type_ {
            Type::JSON | Type::JSONB if self.raw.is_some() => match self.json() {
                Some(json) => visitor.visit_borrowed_str(json),
                None => Err(de::Error::custom("the value is corrupt")),
            },
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failed> {
        self.deserialize_str(visitor)
    }

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failed> {
        let corrupt = || -> Failed { de::Error::custom("the value is corrupt") };
        let Some(raw) = self.raw else { return visitor.visit_unit() };
        if let TypeKind::Array(element) = self.type_.kind() {
            let (lens, values) = array(raw).ok_or_else(corrupt)?;
            return visitor.visit_seq(Elements { type_: element, lens: &lens, values: &values });
        }
        let number = |raw: &[u8]| -> Option<i64> {
            Some(match raw.len() {
                2 => i16::from_be_bytes(*raw.first_chunk()?).into(),
                4 => i32::from_be_bytes(*raw.first_chunk()?).into(),
                8 => i64::from_be_bytes(*raw.first_chunk()?),
                _ => return None,
            })
        };
        match self.type_ {
            Type::BOOL => visitor.visit_bool(raw.first().ok_or_else(corrupt)? != &0),
            Type::INT2 | Type::INT4 | Type::INT8 => visitor.visit_i64(number(raw).ok_or_else(corrupt)?),
            Type::OID => visitor.visit_u32(u32::from_be_bytes(raw.try_into().map_err(|_| corrupt())?)),
            Type::FLOAT4 => visitor.visit_f32(f32::from_be_bytes(raw.try_into().map_err(|_| corrupt())?)),
            Type::FLOAT8 => visitor.visit_f64(f64::from_be_bytes(raw.try_into().map_err(|_| corrupt())?)),
            Type::BYTEA => visitor.visit_borrowed_bytes(raw),
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::XML | Type::UNKNOWN => {
                visitor.visit_borrowed_str(std::str::from_utf8(raw).map_err(|_| corrupt())?)
            }
            #[cfg(feature = "with-serde_json-1")]
            Type::JSON | Type::JSONB => {
                let json = self.json().ok_or_else(corrupt)?;
                serde_json::Deserializer::from_str(json).deserialize_any(visitor).map_err(de::Error::custom)
            }
            #[cfg(not(feature = "with-serde_json-1"))]
            Type::JSON | Type::JSONB => visitor.visit_borrowed_str(self.json().ok_or_else(corrupt)?),
            ref type_ => visitor.visit_string(text::text(type_, raw).ok_or_else(|| {
                de::Error::custom("this type has no text form here; cast the column to text in the SQL")
            })?),
        }
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failed> {
        if self.raw.is_none() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failed> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failed> {
        let label = self.raw.and_then(|raw| std::str::from_utf8(raw).ok());
        let label =
            label.ok_or_else(|| -> Failed { de::Error::custom("NULL or no text, expected a label") })?;
        visitor.visit_enum(IntoDeserializer::<Failed>::into_deserializer(label))
    }

    serde::forward_to_deserialize_any! {
        <W: Visitor<'a>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }

    fn is_human_readable(&self) -> bool {
        true
    }
}

/// An array, or one of the arrays within it.
struct Elements<'a, 'v> {
    type_: &'v Type,
    lens: &'v [usize],
    values: &'v [Option<&'a [u8]>],
}

impl<'a> SeqAccess<'a> for Elements<'a, '_> {
    type Error = Failed;

    fn next_element_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<Option<S::Value>, Failed> {
        let inner = self.lens.get(1..).unwrap_or_default();
        let size = inner.iter().product::<usize>().max(1);
        let Some((values, rest)) = self.values.split_at_checked(size) else { return Ok(None) };
        self.values = rest;
        match (inner, values) {
            ([], [raw]) => seed.deserialize(Value { type_: self.type_.clone(), raw: *raw }).map(Some),
            _ => seed.deserialize(Inner(Elements { type_: self.type_, lens: inner, values })).map(Some),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        self.lens.first().copied()
    }
}

/// An array within an array.
struct Inner<'a, 'v>(Elements<'a, 'v>);

impl<'a> Deserializer<'a> for Inner<'a, '_> {
    type Error = Failed;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_seq(self.0)
    }

    serde::forward_to_deserialize_any! {
        <W: Visitor<'a>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The values of an array.
type Values<'a> = Vec<Option<&'a [u8]>>;

/// The lengths of an array's dimensions and all its values; `None` where the bytes are no array.
fn array(raw: &[u8]) -> Option<(Vec<usize>, Values<'_>)> {
    check_array(raw)?;
    let word = |at: usize| Some(i32::from_be_bytes(*raw.get(at..)?.first_chunk()?));
    let dimensions = usize::try_from(word(0)?).ok()?;
    let lens = (0..dimensions).map(|dimension| usize::try_from(word(12 + 8 * dimension)?).ok());
    let lens: Vec<usize> = lens.collect::<Option<_>>()?;
    let mut rest = raw.get(12 + 8 * dimensions..)?;
    let mut values = Vec::new();
    while let Some((len, after)) = rest.split_first_chunk() {
        rest = after;
        values.push(match usize::try_from(i32::from_be_bytes(*len)) {
            Err(_) => None,
            Ok(len) => {
                let (value, after) = rest.split_at_checked(len)?;
                rest = after;
                Some(value)
            }
        });
    }
    let expected = if dimensions == 0 { 0 } else { lens.iter().product() };
    (values.len() == expected).then_some((lens, values))
}
