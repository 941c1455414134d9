//! The fields message: RowDescription as JSON text, which a client uses as the key of its cache.

use crate::backend::Field;
use crate::{frame, json};

/// Appends the fields message for `fields`.
pub(super) fn write(fields: &[Field], out: &mut Vec<u8>) {
    frame::write(out, super::FIELDS, |out| {
        out.push(b'[');
        for (index, field) in fields.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b"[" } else { b",[" });
            json::string(out, field.name.as_bytes());
            let Field { table_oid, column, type_oid, type_size, type_modifier, format, .. } = field;
            let numbers = [
                i64::from(*type_oid),
                i64::from(*type_size),
                i64::from(*type_modifier),
                i64::from(*table_oid),
                i64::from(*column),
                i64::from(*format),
            ];
            for number in numbers {
                out.push(b',');
                json::integer(out, number);
            }
            out.push(b']');
        }
        out.push(b']');
    });
}
