//! Tagged values: sent as parameters by `ToSql`, and read from rows by `FromSql`.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, Timelike, Utc};
use onetrip::types::{FromSqlOwned, ToSql};
use onetrip::{Numeric, Row};
use serde_json::{Value, json};
use uuid::Uuid;

type Parameter = Box<dyn ToSql + Sync>;

/// The parameters of a statement.
pub(crate) fn parameters(values: &[Value], id: &str) -> Result<Vec<Parameter>, String> {
    values.iter().map(|value| parameter(value, id)).collect()
}

/// The value of a column, as the payload of the tag that was expected there; `null` for NULL.
pub(crate) fn read(row: &Row, column: usize, expected: &Value) -> Result<Value, String> {
    // For NULL any type would do; text is accepted by most, and the raw bytes need none.
    let Some((tag, _)) = tagged(expected)? else {
        let raw = row.try_get_raw(column).map_err(|error| error.to_string())?;
        return Ok(raw.map_or(Value::Null, |_| json!("a value that is not NULL")));
    };
    let found = match tag.strip_suffix("[]") {
        Some(element) => read_array(row, column, element)?,
        None => read_scalar(row, column, tag)?,
    };
    Ok(found.map_or(Value::Null, |payload| json!({ tag: payload })))
}

/// One type of Rust for a tag, both ways.
trait Scalar: Sized {
    fn from_payload(payload: &Value) -> Option<Self>;
    fn to_payload(&self) -> Value;
}

macro_rules! scalars {
    ($($type:ty: |$payload:ident| $from:expr, |$value:ident| $to:expr;)*) => {
        $(impl Scalar for $type {
            fn from_payload($payload: &Value) -> Option<$type> { $from }
            fn to_payload(&self) -> Value { let $value = self; $to }
        })*
    };
}

scalars! {
    bool: |payload| payload.as_bool(), |value| json!(value);
    i16: |payload| i16::try_from(payload.as_i64()?).ok(), |value| json!(value);
    i32: |payload| i32::try_from(payload.as_i64()?).ok(), |value| json!(value);
    u32: |payload| u32::try_from(payload.as_u64()?).ok(), |value| json!(value);
    i64: |payload| payload.as_str()?.parse().ok(), |value| json!(value.to_string());
    f32: |payload| float(payload).map(narrow), |value| float_payload(f64::from(*value));
    f64: |payload| float(payload), |value| float_payload(*value);
    Numeric: |payload| payload.as_str()?.parse().ok(), |value| json!(value.as_str());
    String: |payload| Some(payload.as_str()?.to_owned()), |value| json!(value);
    Vec<u8>: |payload| from_hexadecimal(payload.as_str()?), |value| json!(hexadecimal(value));
    Uuid: |payload| payload.as_str()?.parse().ok(), |value| json!(value.to_string());
    NaiveDate: |payload| payload.as_str()?.parse().ok(), |value| json!(value.to_string());
    NaiveTime: |payload| payload.as_str()?.parse().ok(), |value| json!(time(value));
    NaiveDateTime: |payload| payload.as_str()?.parse().ok(),
        |value| json!(value.format("%Y-%m-%dT%H:%M:%S%.3f").to_string());
    DateTime<Utc>: |payload| payload.as_str()?.parse().ok(),
        |value| json!(value.to_rfc3339_opts(SecondsFormat::Millis, true));
    Value: |payload| Some(payload.clone()), |value| value.clone();
}

macro_rules! by_tag {
    ($tag:expr, $scalar:ident => $then:expr) => {
        match $tag {
            "bool" => {
                type $scalar = bool;
                $then
            }
            "int2" => {
                type $scalar = i16;
                $then
            }
            "int4" => {
                type $scalar = i32;
                $then
            }
            "oid" => {
                type $scalar = u32;
                $then
            }
            "int8" => {
                type $scalar = i64;
                $then
            }
            "float4" => {
                type $scalar = f32;
                $then
            }
            "float8" => {
                type $scalar = f64;
                $then
            }
            "numeric" => {
                type $scalar = Numeric;
                $then
            }
            "text" => {
                type $scalar = String;
                $then
            }
            "bytea" => {
                type $scalar = Vec<u8>;
                $then
            }
            "uuid" => {
                type $scalar = Uuid;
                $then
            }
            "date" => {
                type $scalar = NaiveDate;
                $then
            }
            "time" => {
                type $scalar = NaiveTime;
                $then
            }
            "timestamp" => {
                type $scalar = NaiveDateTime;
                $then
            }
            "timestamptz" => {
                type $scalar = DateTime<Utc>;
                $then
            }
            "json" => {
                type $scalar = Value;
                $then
            }
            unknown => Err(format!("there is no tag {unknown}")),
        }
    };
}

fn parameter(value: &Value, id: &str) -> Result<Parameter, String> {
    let value = match value {
        // The runner's names occur in texts, too.
        Value::Object(_) => {
            serde_json::from_str(&value.to_string().replace("{id}", id)).map_err(|e| e.to_string())?
        }
        _ => value.clone(),
    };
    let Some((tag, payload)) = tagged(&value)? else { return Ok(Box::new(None::<String>)) };
    let wrong = || format!("{payload} is no payload of {tag}");
    match tag.strip_suffix("[]") {
        None => by_tag!(tag, S => {
            let value = match payload {
                Value::Null if tag != "json" => None,
                payload => Some(<S as Scalar>::from_payload(payload).ok_or_else(wrong)?),
            };
            Ok(Box::new(value) as Parameter)
        }),
        Some(element) => by_tag!(element, S => {
            let Value::Array(elements) = payload else { return Err(wrong()) };
            let read = |element: &Value| match element {
                Value::Null => Ok(None),
                element => <S as Scalar>::from_payload(element).map(Some).ok_or_else(wrong),
            };
            let values: Vec<Option<S>> = elements.iter().map(read).collect::<Result<_, _>>()?;
            Ok(Box::new(values) as Parameter)
        }),
    }
}

fn read_scalar(row: &Row, column: usize, tag: &str) -> Result<Option<Value>, String> {
    by_tag!(tag, S => value::<Option<S>>(row, column).map(|value| value.map(|value| value.to_payload())))
}

fn read_array(row: &Row, column: usize, element: &str) -> Result<Option<Value>, String> {
    by_tag!(element, S => value::<Option<Vec<Option<S>>>>(row, column).map(|array| {
        let payload = |value: &Option<S>| value.as_ref().map_or(Value::Null, Scalar::to_payload);
        array.map(|array| array.iter().map(payload).collect())
    }))
}

fn value<T: FromSqlOwned>(row: &Row, column: usize) -> Result<T, String> {
    row.try_get(column).map_err(|error| error.to_string())
}

fn tagged(value: &Value) -> Result<Option<(&str, &Value)>, String> {
    match value {
        Value::Null => Ok(None),
        Value::Object(members) if members.len() == 1 => {
            Ok(members.iter().next().map(|(tag, payload)| (tag.as_str(), payload)))
        }
        other => Err(format!("{other} is no tagged value")),
    }
}

fn float(payload: &Value) -> Option<f64> {
    match payload.as_str() {
        None => payload.as_f64(),
        Some("NaN") => Some(f64::NAN),
        Some("Infinity") => Some(f64::INFINITY),
        Some("-Infinity") => Some(f64::NEG_INFINITY),
        Some(_) => None,
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the payload of float4 is meant to be one")]
fn narrow(value: f64) -> f32 {
    value as f32
}

fn float_payload(value: f64) -> Value {
    match value {
        value if value.is_nan() => json!("NaN"),
        f64::INFINITY => json!("Infinity"),
        f64::NEG_INFINITY => json!("-Infinity"),
        value => json!(value),
    }
}

/// As PostgreSQL writes it: with as many digits as needed.
fn time(value: &NaiveTime) -> String {
    let whole = value.format("%H:%M:%S").to_string();
    match value.nanosecond() / 1_000 {
        0 => whole,
        microseconds => format!("{whole}.{microseconds:06}").trim_end_matches('0').to_owned(),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hexadecimal(digits: &str) -> Option<Vec<u8>> {
    let pair = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    (0..digits.len()).step_by(2).map(pair).collect()
}
