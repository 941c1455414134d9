//! Columns of a result, and as what their values are read.

use std::fmt;
use std::sync::Arc;

use onetrip_wire::backend::{Field, Fields};
use postgres_types::Type;

use crate::catalogue::Known;
#[cfg(feature = "serde")]
use crate::foreign;
use crate::foreign::RustType;

/// Why a value is not read.
const REFUSED: &str =
    "this Rust type does not take it; choose another, or cast the column in the SQL, for example to text";

/// Why another than text is not read of what came in text format.
const IN_TEXT: &str = "it came in text format; read it as &str or String";

/// A column of a result.
///
/// # Examples
/// ```no_run
/// # async fn example(client: onetrip::Client) -> Result<(), onetrip::Error> {
/// use onetrip::{Column, types::Type};
/// let row = client.query_one("select name, price from products limit 1", &[]).await?;
/// let column: &Column = &row.columns()[0];
/// assert_eq!((column.name(), column.type_(), column.type_oid()), ("name", &Type::VARCHAR, 1043));
/// // Where it is of a table: which, and which of its columns; `varchar(20)` has a modifier.
/// println!("{:?} {:?} {}", column.table_oid(), column.column_id(), column.type_modifier());
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Column {
    field: Field,
    type_: ColumnType,
    form: Form,
    // Whether no column before it has the same name.
    is_first: bool,
}

/// A type that is known. The cases are apart because to clone a `Type` takes two kilobytes of wasm.
#[derive(Clone, PartialEq, Eq)]
enum ColumnType {
    BuiltIn(Type),
    Known(Arc<Type>),
}

/// What the values of a column are like, as far as reading them differs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// In the binary format of a type that is known: nothing is to be checked.
    Binary,
    /// An array in its binary format.
    Array,
    /// In text format: of what has no binary form at hand a profile gives the text.
    Text,
    /// Nothing is known of the type but its OID.
    Foreign,
}

impl Form {
    /// That of a type that is known.
    fn of(format: i16, is_array: bool) -> Form {
        match (format, is_array) {
            (0, _) => Form::Text,
            (_, true) => Form::Array,
            (_, false) => Form::Binary,
        }
    }
}

impl Column {
    /// The columns of a result; `known` are types beside the built-in ones.
    pub(crate) fn all(fields: Fields<'_>, known: &[Known]) -> Result<Arc<Vec<Column>>, onetrip_wire::Error> {
        let mut columns: Vec<Column> = Vec::new();
        for field in fields {
            let field = field?;
            let (type_, form) = match Type::from_oid(field.type_oid) {
                Some(type_) => {
                    let form = Form::of(field.format, is_array(&type_));
                    (ColumnType::BuiltIn(type_), form)
                }
                None => match known.iter().find(|known| known.oid == field.type_oid) {
                    Some(known) => {
                        (ColumnType::Known(known.type_.clone()), Form::of(field.format, known.is_array))
                    }
                    None => (ColumnType::BuiltIn(Type::UNKNOWN), Form::Foreign),
                },
            };
            let is_first = columns.iter().all(|column| column.name() != field.name);
            columns.push(Column { field: field.to_field(), type_, form, is_first });
        }
        Ok(Arc::new(columns))
    }

    /// The name; not unique within a result.
    pub fn name(&self) -> &str {
        &self.field.name
    }

    /// The type. A domain comes as its base type. A type that is not built in (an enum, a composite, one of an extension)
    /// is [`Type::UNKNOWN`] here, for its OID is another in each database (see [`type_oid`](Self::type_oid)), unless the
    /// client [looked it up](crate::Client::look_up_types).
    pub fn type_(&self) -> &Type {
        match &self.type_ {
            ColumnType::BuiltIn(type_) => type_,
            ColumnType::Known(type_) => type_,
        }
    }

    /// The OID of the type, whether built in or not.
    pub fn type_oid(&self) -> u32 {
        self.field.type_oid
    }

    /// The OID of the table that the column is of.
    pub fn table_oid(&self) -> Option<u32> {
        Some(self.field.table_oid).filter(|&oid| oid != 0)
    }

    /// The number of the column in its table, from 1.
    pub fn column_id(&self) -> Option<i16> {
        Some(self.field.column).filter(|&column| column != 0)
    }

    /// The type modifier, for example of `varchar(20)`; −1 where there is none.
    pub fn type_modifier(&self) -> i32 {
        self.field.type_modifier
    }

    pub(crate) fn type_name(&self) -> String {
        match self.form {
            Form::Foreign => format!("the type with OID {}, which is not built in", self.type_oid()),
            _ => format!("{}", self.type_()),
        }
    }

    pub(crate) fn is_first(&self) -> bool {
        self.is_first
    }

    /// Whether its values are simply what a type that takes the column's reads.
    pub(crate) fn is_binary(&self) -> bool {
        self.form == Form::Binary
    }

    /// The type as which `rust` reads a value, where it is not simply the column's.
    pub(crate) fn type_for(
        &self,
        value: Option<&[u8]>,
        rust: &RustType,
    ) -> Result<Option<Type>, &'static str> {
        match self.form {
            Form::Foreign => rust.foreign(self.type_oid(), value).map(Some),
            Form::Text if rust.accepts(&Type::TEXT) => Ok(Some(Type::TEXT)),
            _ if !rust.accepts(self.type_()) => Err(REFUSED),
            Form::Array => rust.array(value).map(|()| None),
            Form::Text if value.is_some() && *self.type_() != Type::UNKNOWN => Err(IN_TEXT),
            _ => Ok(None),
        }
    }

    /// The type as which serde reads a value.
    #[cfg(feature = "serde")]
    pub(crate) fn serde_type(&self, value: Option<&[u8]>) -> Result<Type, &'static str> {
        let Some(bytes) = value else { return Ok(Type::UNKNOWN) };
        match self.form {
            Form::Foreign => foreign::type_of(self.type_oid(), bytes),
            Form::Text => Ok(Type::TEXT),
            Form::Array => foreign::array(bytes).map(|()| self.type_().clone()),
            Form::Binary => Ok(self.type_().clone()),
        }
    }
}

impl fmt::Debug for Column {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Column").field("name", &self.name()).field("type", &self.type_name()).finish()
    }
}

/// Whether a built-in type is an array: by its name, for a `Type` tells its kind by a table of all of them, two kilobytes of
/// wasm that nothing else needs.
fn is_array(built_in: &Type) -> bool {
    let name = built_in.name();
    name.starts_with("_") || matches!(name, "int2vector" | "oidvector")
}

/// Whether an array can have as many elements as its header says, before anything is allocated for them.
pub(crate) fn check_array(value: &[u8]) -> Option<()> {
    let (header, mut rest) = value.split_first_chunk::<12>()?;
    let dimensions = i32::from_be_bytes(*header.first_chunk()?);
    let mut elements: usize = 1;
    for _ in 0..u32::try_from(dimensions).ok()? {
        let (dimension, after) = rest.split_first_chunk::<8>()?;
        let len = usize::try_from(i32::from_be_bytes(*dimension.first_chunk()?)).ok()?;
        elements = elements.checked_mul(len)?;
        rest = after;
    }
    // An element has a length of 4 bytes at least.
    (dimensions == 0 || elements <= rest.len() / 4).then_some(())
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]
pub(crate) mod tests {
    use postgres_types::Kind;

    use super::*;

    /// Columns of these names, all of one type and in binary format.
    pub(crate) fn columns(names: &[&str], type_oid: u32) -> Arc<Vec<Column>> {
        let mut body = u16::try_from(names.len()).unwrap().to_be_bytes().to_vec();
        for name in names {
            body.extend_from_slice(name.as_bytes());
            body.extend_from_slice(&[0; 7]);
            body.extend_from_slice(&type_oid.to_be_bytes());
            body.extend_from_slice(&[255, 255, 255, 255, 255, 255, 0, 1]);
        }
        Column::all(Fields::new(&body).unwrap(), &[]).unwrap()
    }

    #[test]
    fn a_built_in_type_is_an_array_where_its_name_says_so() {
        let built_in: Vec<Type> = (0..20_000).filter_map(Type::from_oid).collect();
        assert!(built_in.len() > 150);
        for type_ in built_in {
            // An array of records is one by its form, and of a kind that no Rust type reads.
            let expected = matches!(type_.kind(), Kind::Array(_)) || type_ == Type::RECORD_ARRAY;
            assert_eq!(is_array(&type_), expected, "{type_}");
        }
    }
}
