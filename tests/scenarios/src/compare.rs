//! What came against what was expected.

use std::fmt::Debug;

use onetrip::{Column, DbError, Error, Kind, Row, StatementResult};
use serde_json::Value;

use crate::file::{Expectation, ExpectedError, SqlError};
use crate::value;

/// A whole result.
pub(crate) fn result(found: &StatementResult, expected: &Expectation, id: &str) -> Result<(), String> {
    if let Some(count) = expected.row_count {
        same("row_count", &found.row_count(), &count)?;
    }
    columns(found.columns(), expected)?;
    values(found.rows(), expected, id)
}

/// Rows without the rest of their result.
pub(crate) fn rows(found: &[Row], expected: &Expectation, id: &str) -> Result<(), String> {
    if let Some(count) = expected.row_count {
        same("row_count", &(found.len() as u64), &count)?;
    }
    if let Some(row) = found.first() {
        columns(row.columns(), expected)?;
    }
    values(found, expected, id)
}

/// An error.
pub(crate) fn error(found: &Error, expected: &ExpectedError, id: &str) -> Result<(), String> {
    match expected {
        ExpectedError::TransactionLeftOpen => same("kind", &found.kind(), &Kind::TransactionLeftOpen),
        ExpectedError::Sql(expected) => {
            let Some(database) = found.as_db_error() else {
                return Err(format!("an SQL error was expected, not: {found}"));
            };
            sql_error(found, database, expected, id)
        }
    }
}

fn sql_error(found: &Error, database: &DbError, expected: &SqlError, id: &str) -> Result<(), String> {
    let text = |name: &str, found: Option<&str>, expected: &Option<String>| match expected {
        None => Ok(()),
        Some(expected) => same(name, &found, &Some(expected.replace("{id}", id).as_str())),
    };
    same("code", &database.code(), &expected.code.as_str())?;
    text("severity", Some(database.severity()), &expected.severity)?;
    text("message", Some(database.message()), &expected.message)?;
    text("detail", database.detail(), &expected.detail)?;
    text("hint", database.hint(), &expected.hint)?;
    text("schema", database.schema(), &expected.schema)?;
    text("table", database.table(), &expected.table)?;
    text("column", database.column(), &expected.column)?;
    text("data_type", database.data_type(), &expected.data_type)?;
    text("constraint", database.constraint(), &expected.constraint)?;
    if expected.position.is_some() {
        same("position", &database.position(), &expected.position)?;
    }
    if expected.statement.is_some() {
        same("statement", &found.statement(), &expected.statement)?;
    }
    Ok(())
}

fn columns(found: &[Column], expected: &Expectation) -> Result<(), String> {
    let Some(expected) = &expected.columns else { return Ok(()) };
    let found: Vec<_> = found.iter().map(|column| (column.name(), column.type_oid())).collect();
    let expected: Vec<_> = expected.iter().map(|column| (column.name.as_str(), column.type_oid)).collect();
    same("columns", &found, &expected)
}

fn values(found: &[Row], expected: &Expectation, id: &str) -> Result<(), String> {
    if let Some(rows) = &expected.rows {
        same("the number of rows", &found.len(), &rows.len())?;
        for (number, (found, expected)) in found.iter().zip(rows).enumerate() {
            row(found, expected, id).map_err(|reason| format!("row {number}: {reason}"))?;
        }
    }
    for (name, found, expected) in
        [("first", found.first(), &expected.first), ("last", found.last(), &expected.last)]
    {
        if let Some(expected) = expected {
            let found = found.ok_or_else(|| format!("there is no {name} row"))?;
            row(found, expected, id).map_err(|reason| format!("{name} row: {reason}"))?;
        }
    }
    Ok(())
}

fn row(found: &Row, expected: &[Value], id: &str) -> Result<(), String> {
    same("the number of values", &found.len(), &expected.len())?;
    for (column, expected) in expected.iter().enumerate() {
        let found = value::read(found, column, expected)?;
        let expected = replaced(expected, id);
        if !alike(&found, &expected) {
            return Err(format!("column {column} is {found}, not {expected}"));
        }
    }
    Ok(())
}

fn replaced(value: &Value, id: &str) -> Value {
    match value {
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), replaced(value, id))).collect::<Value>()
        }
        Value::String(text) => Value::String(text.replace("{id}", id)),
        other => other.clone(),
    }
}

/// Equality where 15000 and 15000.0 are one number.
fn alike(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Number(found), Value::Number(expected)) => {
            found == expected || found.as_f64() == expected.as_f64()
        }
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len()
                && found.iter().zip(expected).all(|(found, expected)| alike(found, expected))
        }
        (Value::Object(found), Value::Object(expected)) => {
            found.len() == expected.len()
                && found
                    .iter()
                    .all(|(name, found)| expected.get(name).is_some_and(|expected| alike(found, expected)))
        }
        _ => found == expected,
    }
}

fn same<T: PartialEq + Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what} is {found:?}, not {expected:?}")) }
}
