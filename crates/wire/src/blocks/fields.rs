//! The fields message: RowDescription as JSON text, which a client uses as the key of its cache.

use alloc::vec::Vec;

use crate::backend::{FieldRef, Fields};
use crate::{Error, frame, json};

/// Appends the fields message for a RowDescription body, and hands each field to `each`.
///
/// # Errors
/// When the body is not a RowDescription, or `each` refuses a field; `out` then ends in half a message.
pub(super) fn write(
    body: &[u8],
    out: &mut Vec<u8>,
    mut each: impl FnMut(&FieldRef<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut fields = Fields::new(body)?;
    let mut outcome = Ok(());
    frame::write(out, super::FIELDS, |out| {
        out.push(b'[');
        let mut separator: &[u8] = b"[";
        outcome = fields.try_for_each(|field| {
            let field = field?;
            each(&field)?;
            out.extend_from_slice(separator);
            separator = b",[";
            json::string(out, field.name.as_bytes());
            let FieldRef { table_oid, column, type_oid, type_size, type_modifier, format, .. } = field;
            let numbers = [
                i64::from(type_oid),
                i64::from(type_size),
                i64::from(type_modifier),
                i64::from(table_oid),
                i64::from(column),
                i64::from(format),
            ];
            for number in numbers {
                out.push(b',');
                json::integer(out, number);
            }
            out.push(b']');
            Ok(())
        });
        out.push(b']');
    });
    outcome
}
