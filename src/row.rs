//! Rows and their columns: values straight from the received buffer.

use std::fmt;
use std::sync::Arc;

use onetrip_wire::backend::{DataRow, Field};
use postgres_types::{FromSql, Kind as TypeKind, Type};

use crate::foreign::{self, RustType};
use crate::{Error, Kind};

/// Why a value is not read.
const REFUSED: &str =
    "this Rust type does not take it; choose another, or cast the column in the SQL, for example to text";

/// A column of a result.
#[derive(Clone, PartialEq, Eq)]
pub struct Column {
    name: String,
    type_: Type,
    type_oid: u32,
    table_oid: Option<u32>,
    column_id: Option<i16>,
    type_modifier: i32,
    is_text: bool,
}

impl Column {
    /// `known` are types beside the built-in ones.
    pub(crate) fn new(field: Field, known: &[Type]) -> Column {
        let found = Type::from_oid(field.type_oid)
            .or_else(|| known.iter().find(|type_| type_.oid() == field.type_oid).cloned());
        Column {
            type_: found.unwrap_or(Type::UNKNOWN),
            type_oid: field.type_oid,
            table_oid: (field.table_oid != 0).then_some(field.table_oid),
            column_id: (field.column != 0).then_some(field.column),
            type_modifier: field.type_modifier,
            is_text: field.format == 0,
            name: field.name,
        }
    }

    /// The name; not unique within a result.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type. A domain comes as its base type. A type that is not built in (an enum, a composite, one of an extension)
    /// is [`Type::UNKNOWN`] here, for its OID is another in each database (see [`type_oid`](Self::type_oid)), unless the
    /// client [looked it up](crate::Client::look_up_types).
    pub fn type_(&self) -> &Type {
        &self.type_
    }

    /// The OID of the type, whether built in or not.
    pub fn type_oid(&self) -> u32 {
        self.type_oid
    }

    /// The OID of the table that the column is of.
    pub fn table_oid(&self) -> Option<u32> {
        self.table_oid
    }

    /// The number of the column in its table, from 1.
    pub fn column_id(&self) -> Option<i16> {
        self.column_id
    }

    /// The type modifier, for example of `varchar(20)`; −1 where there is none.
    pub fn type_modifier(&self) -> i32 {
        self.type_modifier
    }

    pub(crate) fn type_name(&self) -> String {
        match self.is_foreign() {
            false => self.type_.to_string(),
            true => format!("the type with OID {}, which is not built in", self.type_oid),
        }
    }
}

impl fmt::Debug for Column {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Column").field("name", &self.name).field("type", &self.type_name()).finish()
    }
}

/// A row. Its values are decoded when they are asked for, `&str` and `&[u8]` without a copy.
#[derive(Clone)]
pub struct Row {
    columns: Arc<[Column]>,
    data: DataRow,
}

impl Row {
    pub(crate) fn new(columns: Arc<[Column]>, data: DataRow) -> Row {
        Row { columns, data }
    }

    /// The columns, in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// How many values the row has.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether the row has no values.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The value of a column, by its index from 0 or by its name.
    ///
    /// Of columns of one name it is the first; a name that differs only in ASCII case is found where the exact one is
    /// not there.
    ///
    /// # Panics
    /// Where [`try_get`](Self::try_get) gives an error.
    ///
    /// # Examples
    /// ```
    /// # async fn example(client: onetrip::Client) -> Result<(), onetrip::Error> {
    /// let row = client.query_one("select 7::int8 as id, 'Ada' as name", &[]).await?;
    /// let id: i64 = row.get("id");
    /// let name: &str = row.get(1);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn get<'a, I, T>(&'a self, index: I) -> T
    where
        I: RowIndex,
        T: FromSql<'a>,
    {
        match self.try_get(index) {
            Ok(value) => value,
            Err(error) => panic!("{error}"),
        }
    }

    /// As [`get`](Self::get), with an error instead of a panic.
    ///
    /// # Errors
    /// [`Kind::Decode`] when there is no such column, when NULL meets a type that is no `Option`, or when the Rust type
    /// does not take the column's type. The text names the column and both types.
    pub fn try_get<'a, I, T>(&'a self, index: I) -> Result<T, Error>
    where
        I: RowIndex,
        T: FromSql<'a>,
    {
        let Some((at, column)) = index.find(&self.columns).and_then(|at| Some((at, self.columns.get(at)?)))
        else {
            let names: Vec<&str> = self.columns.iter().map(Column::name).collect();
            let asked = index.describe();
            return Err(Error::new(
                Kind::Decode,
                format!(
                    "there is no column {asked}; the result has {} columns: {}",
                    names.len(),
                    names.join(", ")
                ),
            ));
        };
        let failed = |why: &str| {
            let rust = std::any::type_name::<T>();
            let (name, sql) = (&column.name, column.type_name());
            Error::new(Kind::Decode, format!("column {at} (\"{name}\") of type {sql} as {rust}: {why}"))
        };
        let value = self.data.value(at).flatten();
        let guessed;
        let type_ = match column.is_foreign() {
            // Of what has no binary form at hand a profile gives the text.
            false if column.is_text && T::accepts(&Type::TEXT) => &Type::TEXT,
            false if T::accepts(&column.type_) => &column.type_,
            false => return Err(failed(REFUSED)),
            true => {
                guessed = foreign::type_for(column.type_oid, value, &RustType::of::<T>()).map_err(failed)?;
                &guessed
            }
        };
        let Some(value) = value else {
            return T::from_sql_null(type_)
                .map_err(|error| failed("the value is NULL, which only an Option can hold").source(error));
        };
        column.check(type_, value).map_err(failed)?;
        T::from_sql(type_, value).map_err(|error| failed(&error.to_string()).source(error))
    }

    /// The bytes of a value as PostgreSQL sent them, `None` for NULL, without a look at its type.
    ///
    /// # Errors
    /// [`Kind::Decode`] when there is no such column.
    pub fn try_get_raw<I: RowIndex>(&self, index: I) -> Result<Option<&[u8]>, Error> {
        index
            .find(&self.columns)
            .and_then(|at| self.data.value(at))
            .ok_or_else(|| Error::new(Kind::Decode, format!("there is no column {}", index.describe())))
    }
}

impl fmt::Debug for Row {
    /// Shows no value: they may be secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Row").field("columns", &self.columns).finish_non_exhaustive()
    }
}

impl Column {
    /// Whether nothing is known of the type but its OID.
    fn is_foreign(&self) -> bool {
        self.type_ == Type::UNKNOWN && self.type_oid != Type::UNKNOWN.oid()
    }

    /// The type as which serde reads a value.
    #[cfg(feature = "serde")]
    pub(crate) fn serde_type(&self, value: Option<&[u8]>) -> Result<Type, &'static str> {
        let Some(value) = value else { return Ok(Type::UNKNOWN) };
        match self.is_foreign() {
            true => foreign::type_of(self.type_oid, value),
            false if self.is_text => Ok(Type::TEXT),
            false => self.check(&self.type_, value).map(|()| self.type_.clone()),
        }
    }

    /// Refuses what a `FromSql` would misread.
    fn check(&self, type_: &Type, value: &[u8]) -> Result<(), &'static str> {
        if self.is_text && !matches!(*type_, Type::TEXT | Type::UNKNOWN) && !self.is_foreign() {
            return Err("it came in text format; read it as &str or String");
        }
        if let TypeKind::Array(_) = type_.kind() {
            return check_array(value).ok_or("the array is corrupt");
        }
        Ok(())
    }
}

/// Whether an array can have as many elements as its header says, before anything is allocated for them.
pub(crate) fn check_array(value: &[u8]) -> Option<()> {
    let (header, mut rest) = value.split_first_chunk::<12>()?;
    let dimensions = i32::from_be_bytes(*header.first_chunk()?);
    let mut elements: u64 = 1;
    for _ in 0..u32::try_from(dimensions).ok()? {
        let (dimension, after) = rest.split_first_chunk::<8>()?;
        let len = u32::try_from(i32::from_be_bytes(*dimension.first_chunk()?)).ok()?;
        elements = elements.checked_mul(u64::from(len))?;
        rest = after;
    }
    // An element has a length of 4 bytes at least.
    (dimensions == 0 || elements <= rest.len() as u64 / 4).then_some(())
}

/// What finds a column: its index from 0, or its name.
pub trait RowIndex: sealed::Sealed {
    #[doc(hidden)]
    fn find(&self, columns: &[Column]) -> Option<usize>;

    #[doc(hidden)]
    fn describe(&self) -> String;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for usize {}
    impl Sealed for str {}
    impl Sealed for String {}
    impl<T: Sealed + ?Sized> Sealed for &T {}
}

impl RowIndex for usize {
    fn find(&self, columns: &[Column]) -> Option<usize> {
        (*self < columns.len()).then_some(*self)
    }

    fn describe(&self) -> String {
        self.to_string()
    }
}

impl RowIndex for str {
    fn find(&self, columns: &[Column]) -> Option<usize> {
        let exact = columns.iter().position(|column| column.name == self);
        exact.or_else(|| columns.iter().position(|column| column.name.eq_ignore_ascii_case(self)))
    }

    fn describe(&self) -> String {
        format!("\"{self}\"")
    }
}

impl RowIndex for String {
    fn find(&self, columns: &[Column]) -> Option<usize> {
        RowIndex::find(self.as_str(), columns)
    }

    fn describe(&self) -> String {
        self.as_str().describe()
    }
}

impl<T: RowIndex + ?Sized> RowIndex for &T {
    fn find(&self, columns: &[Column]) -> Option<usize> {
        (**self).find(columns)
    }

    fn describe(&self) -> String {
        (**self).describe()
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]
mod tests {
    use super::*;

    /// A row of one value of this type.
    fn row(type_oid: u32, value: &[u8]) -> Row {
        let name = "value".to_owned();
        let field =
            Field { name, table_oid: 0, column: 0, type_oid, type_size: -1, type_modifier: -1, format: 1 };
        let mut body = vec![0, 1];
        body.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
        body.extend_from_slice(value);
        Row::new(Arc::from([Column::new(field, &[])]), DataRow::parse(body.into()).unwrap())
    }

    #[test]
    fn an_array_that_says_it_is_longer_than_its_bytes_is_refused_before_anything_is_allocated() {
        let header = |dimensions: i32, len: i32| {
            let words = [dimensions, 0, 23, len, 1];
            words.into_iter().flat_map(i32::to_be_bytes).collect::<Vec<u8>>()
        };
        for corrupt in
            [header(1, i32::MAX), header(1, 1), header(1, -1), header(2, 0), header(-1, 0), vec![0; 11]]
        {
            let error = row(1007, &corrupt).try_get::<_, Vec<i32>>(0).unwrap_err();
            assert!(error.to_string().contains("the array is corrupt"), "{error}");
        }
        let whole = [header(1, 1), vec![0, 0, 0, 4, 0, 0, 0, 7]].concat();
        assert_eq!(row(1007, &whole).get::<_, Vec<i32>>(0), [7]);
        assert!(row(1007, &header(0, 0)[..12]).get::<_, Vec<i32>>(0).is_empty());
    }

    #[test]
    fn a_type_that_is_not_built_in_reads_as_text_where_its_binary_form_is_text() {
        for text in ["happy", "größer", "", "tab\tand\nline"] {
            assert_eq!(row(16_999, text.as_bytes()).get::<_, &str>(0), text);
        }
        for binary in [&b"\0\0\0\x02ab"[..], b"\x01ltree", b"a\0b"] {
            let error = row(16_999, binary).try_get::<_, String>(0).unwrap_err().to_string();
            assert!(error.contains("OID 16999, which is not built in") && error.contains("cast"), "{error}");
        }
    }

    #[test]
    fn a_client_and_what_it_gives_can_be_shared_between_threads() {
        fn shared<T: Send + Sync + Clone>() {}
        fn sent<T: Send>(_: &T) {}
        shared::<crate::Client>();
        shared::<Row>();
        shared::<Error>();
        shared::<crate::Config>();
        let config: crate::Config = "https://app:secret@db.example.com/shop".parse().unwrap();
        sent(&async move { crate::Client::new(config).query("select 1", &[&1]).await });
    }
}
