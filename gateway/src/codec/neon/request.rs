//! Request bodies of `POST /sql`: `{"query", "params"}` or `{"queries": [{"query", "params"}, …]}` into frames.

use bytes::Bytes;
use onetrip_wire::encoder::Batch;
use onetrip_wire::frontend::{self, Format, Parameter, Statement};
use onetrip_wire::representation::Representation;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::headers::RequestHeaders;
use super::parameter;
use crate::codec::Pipeline;
use crate::session_settings::SessionSettings;

/// How the beginning of a refusal of a body reads, for every such refusal.
pub(crate) const REFUSAL: &str = "could not parse the HTTP request body";

/// A request as it goes to PostgreSQL, and how its answer is to look.
pub(crate) struct SqlRequest {
    pub(crate) pipeline: Pipeline,
    pub(crate) batch: Batch,
    /// For each statement, whether its rows are arrays.
    pub(crate) array_rows: Vec<bool>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    query: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "arrayMode", deserialize_with = "present")]
    array_mode: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    queries: Option<&'a RawValue>,
}

/// A member that is there, `null` included: `null` is not the same as nothing.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads a body. Members that are not known are passed over, as by the original.
///
/// # Errors
/// A text that begins with [`REFUSAL`] and quotes no SQL and no value.
pub(crate) fn decode(
    body: &[u8],
    headers: &RequestHeaders,
    settings: SessionSettings,
) -> Result<SqlRequest, String> {
    read(body, headers, settings).map_err(|wrong| format!("{REFUSAL}: {wrong}"))
}

fn read(body: &[u8], headers: &RequestHeaders, settings: SessionSettings) -> Result<SqlRequest, String> {
    let text = std::str::from_utf8(body)
        .map_err(|error| format!("byte {}: it is not UTF-8", error.valid_up_to()))?;
    let body: Body<'_> = object(text)?;
    let mut frames = Vec::with_capacity(text.len() + 128);
    let mut array_rows = Vec::new();
    let mut transaction = Vec::new();
    let batch = match (&body.query, body.queries) {
        (Some(_), _) => {
            array_rows.push(statement(&mut frames, "", &body, headers)?);
            Batch::Single
        }
        (None, Some(queries)) => {
            let own = |sql| Statement { sql, parameters: &[], result_format: Format::Text };
            let begin = headers.begin();
            if let Some(sql) = &begin {
                frontend::statement(&mut transaction, &own(sql)).map_err(|error| error.to_string())?;
            }
            let queries: Vec<&RawValue> =
                serde_json::from_str(queries.get()).map_err(|_| "queries must be an array".to_owned())?;
            for (index, query) in queries.iter().enumerate() {
                let place = format!("queries[{index}]");
                let query: Body<'_> = object(query.get()).map_err(|wrong| format!("{place}: {wrong}"))?;
                array_rows.push(statement(&mut frames, &format!("{place}."), &query, headers)?);
            }
            if begin.is_some() {
                frontend::statement(&mut frames, &own("commit")).map_err(|error| error.to_string())?;
            }
            Batch::Many
        }
        (None, None) => return Err("it has neither query nor queries".to_owned()),
    };
    frontend::sync(&mut frames);
    let pipeline = Pipeline {
        frames: Bytes::from(frames),
        groups: 1,
        script: false,
        batch,
        representation: Representation::Frames,
        settings,
        transaction: Bytes::from(transaction),
    };
    Ok(SqlRequest { pipeline, batch, array_rows })
}

/// Appends the frames of one statement; whether its rows are to be arrays.
fn statement(
    frames: &mut Vec<u8>,
    place: &str,
    body: &Body<'_>,
    headers: &RequestHeaders,
) -> Result<bool, String> {
    let sql = body.query.ok_or_else(|| format!("{place}query is missing"))?;
    if !sql.get().starts_with('"') {
        return Err(format!("{place}query must be a string"));
    }
    let sql = parameter::string(sql).map_err(|wrong| format!("{place}query: {wrong}"))?;
    let params: Vec<&RawValue> = match body.params {
        None => Vec::new(),
        Some(params) => {
            serde_json::from_str(params.get()).map_err(|_| format!("{place}params must be an array"))?
        }
    };
    let mut values = Vec::with_capacity(params.len());
    for (index, param) in params.iter().enumerate() {
        let value = parameter::text(param).map_err(|wrong| format!("{place}params[{index}]: {wrong}"))?;
        values.push(value);
    }
    let parameters: Vec<Parameter<'_>> = values
        .iter()
        .map(|value| Parameter {
            type_oid: 0,
            format: Format::Text,
            value: value.as_ref().map(|text| text.as_bytes()),
        })
        .collect();
    let array_rows = match body.array_mode.map(RawValue::get) {
        None | Some("null") => headers.array_rows,
        Some("true") => true,
        Some("false") => false,
        Some(_) => return Err(format!("{place}arrayMode must be true or false")),
    };
    let statement = Statement { sql: &sql, parameters: &parameters, result_format: Format::Text };
    frontend::statement(frames, &statement).map_err(|error| {
        let place = if place.is_empty() { "query" } else { place.trim_end_matches('.') };
        format!("{place}: {}", error.detail())
    })?;
    Ok(array_rows)
}

/// Reads a JSON object. The words of a refusal are serde_json's, which name members, lines and columns, but no values.
fn object<'a>(text: &'a str) -> Result<Body<'a>, String> {
    if text.trim_ascii_start().starts_with('[') {
        return Err("a JSON object is expected".to_owned());
    }
    serde_json::from_str(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => "a JSON object is expected, each member once".to_owned(),
        _ => error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(body: &str) -> String {
        match decode(body.as_bytes(), &RequestHeaders::default(), SessionSettings::default()) {
            Ok(_) => panic!("{body} is taken"),
            Err(refusal) => refusal,
        }
    }

    #[test]
    fn a_body_that_is_none_says_where() {
        for (body, expected) in [
            ("", "EOF"),
            ("{not json", "key must be a string"),
            ("[]", "a JSON object is expected"),
            ("1", "a JSON object is expected"),
            ("{}", "neither query nor queries"),
            (r#"{"query": 1}"#, "query must be a string"),
            (r#"{"query": null}"#, "query must be a string"),
            (r#"{"query": "a", "query": "b"}"#, "each member once"),
            (r#"{"query": "a", "params": null}"#, "params must be an array"),
            (r#"{"query": "a\u0000"}"#, "zero byte"),
            (r#"{"query": "a", "arrayMode": 1}"#, "arrayMode must be"),
            (r#"{"queries": null}"#, "queries must be an array"),
            (r#"{"queries": [{"query": "a"}, {}]}"#, "queries[1].query is missing"),
            (r#"{"queries": [1]}"#, "queries[0]: a JSON object"),
            (r#"{"queries": [{"query": "a", "params": ["\ud800"]}]}"#, "queries[0].params[0]"),
        ] {
            let refusal = refusal(body);
            assert!(refusal.starts_with(REFUSAL) && refusal.contains(expected), "{body}: {refusal}");
        }
    }

    #[test]
    fn rows_are_arrays_where_the_statement_or_else_the_header_says_so() {
        let body =
            br#"{"queries": [{"query": "a"}, {"query": "b", "arrayMode": false}, {"query": "c", "x": 1}]}"#;
        let mut headers = RequestHeaders::default();
        headers.array_rows = true;
        let Ok(request) = decode(body, &headers, SessionSettings::default()) else { panic!() };
        assert_eq!(request.array_rows, [true, false, true]);
        assert_eq!(request.batch, Batch::Many);
    }
}
