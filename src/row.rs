//! Rows: values straight from the received buffer.

use std::fmt;
use std::sync::Arc;

use onetrip_wire::backend::{DataRow, RowValues};
use postgres_types::{FromSql, Type};

use crate::foreign::RustType;
use crate::{Column, Error, Kind};

/// Why a value is not read.
const NULL: &str = "the value is NULL, which only an Option can hold";

/// A row. Its values are decoded when they are asked for, `&str` and `&[u8]` without a copy.
#[derive(Clone)]
pub struct Row {
    columns: Arc<Vec<Column>>,
    data: DataRow,
}

impl Row {
    pub(crate) fn new(columns: Arc<Vec<Column>>, data: DataRow) -> Row {
        Row { columns, data }
    }

    /// The values in order.
    pub(crate) fn values(&self) -> RowValues<'_> {
        self.data.values()
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
    /// # Examples
    /// ```no_run
    /// # async fn example(client: onetrip::Client) -> Result<(), onetrip::Error> {
    /// let row = client.query_one("select 7::int8 as id, null::text as name", &[]).await?;
    /// assert_eq!((row.len(), row.is_empty(), row.columns()[0].name()), (2, false, "id"));
    /// let name: Option<&str> = row.try_get("name")?;
    /// // column 0 ("id") of type int8 as i32: this Rust type does not take it; …
    /// let error = row.try_get::<_, i32>("id").unwrap_err();
    /// let bytes: Option<&[u8]> = row.try_get_raw(0)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Kind::Decode`] when there is no such column, when NULL meets a type that is no `Option`, or when the Rust type
    /// does not take the column's type. The text names the column and both types.
    pub fn try_get<'a, I, T>(&'a self, index: I) -> Result<T, Error>
    where
        I: RowIndex,
        T: FromSql<'a>,
    {
        match index.find(&self.columns) {
            Some(at) => self.read(at, self.data.value(at).flatten()),
            None => Err(self.no_column(&index.describe())),
        }
    }

    /// The value of the column at `at`. What is not of the Rust type stands in functions of its own: this one is made again
    /// for each type.
    #[inline]
    pub(crate) fn read<'a, T: FromSql<'a>>(&self, at: usize, value: Option<&'a [u8]>) -> Result<T, Error> {
        let rust = const { &RustType::of::<T>() };
        let Some(column) = self.columns.get(at) else { return Err(self.no_column_at(at)) };
        let other;
        let type_ = if column.is_binary() && T::accepts(column.type_()) {
            column.type_()
        } else {
            match self.type_for(at, column, value, rust) {
                Ok(None) => column.type_(),
                Ok(Some(type_)) => {
                    other = type_;
                    &other
                }
                Err(error) => return Err(error),
            }
        };
        let read = match value {
            Some(value) => T::from_sql(type_, value),
            None => T::from_sql_null(type_),
        };
        read.map_err(|error| self.failed_by(at, rust, value.is_none(), error))
    }

    /// The type as which `rust` reads a value, where it is not simply the column's.
    #[cold]
    fn type_for(
        &self,
        at: usize,
        column: &Column,
        value: Option<&[u8]>,
        rust: &RustType,
    ) -> Result<Option<Type>, Error> {
        column.type_for(value, rust).map_err(|why| self.failed(at, rust, why))
    }

    #[cold]
    fn no_column_at(&self, at: usize) -> Error {
        self.no_column(&at.describe())
    }

    #[cold]
    pub(crate) fn no_column(&self, asked: &str) -> Error {
        let count = self.columns.len();
        let mut message = format!("there is no column {asked}; the result has {count} columns");
        let mut before = ": ";
        for column in self.columns() {
            message.push_str(std::mem::replace(&mut before, ", "));
            message.push_str(column.name());
        }
        Error::new(Kind::Decode, message)
    }

    #[cold]
    fn failed(&self, at: usize, rust: &RustType, why: &str) -> Error {
        let (name, sql) = match self.columns.get(at) {
            Some(column) => (column.name(), column.type_name()),
            None => ("", String::new()),
        };
        let rust = rust.name();
        Error::new(Kind::Decode, format!("column {at} (\"{name}\") of type {sql} as {rust}: {why}"))
    }

    #[cold]
    fn failed_by(
        &self,
        at: usize,
        rust: &RustType,
        is_null: bool,
        error: Box<dyn std::error::Error + Send + Sync>,
    ) -> Error {
        let why = if is_null { NULL.to_owned() } else { format!("{error}") };
        self.failed(at, rust, &why).source(error)
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

/// What finds a column: its index from 0, or its name.
///
/// # Examples
/// ```
/// use onetrip::{Error, Row, RowIndex};
/// fn upper<I: RowIndex>(row: &Row, index: I) -> Result<String, Error> {
///     Ok(row.try_get::<_, &str>(index)?.to_uppercase())
/// }
/// # fn example(row: &Row) -> Result<(), Error> {
/// let (by_name, by_index) = (upper(row, "name")?, upper(row, 1)?);
/// # Ok(()) }
/// ```
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
        format!("{self}")
    }
}

impl RowIndex for str {
    fn find(&self, columns: &[Column]) -> Option<usize> {
        let exact = columns.iter().position(|column| column.name() == self);
        exact.or_else(|| columns.iter().position(|column| column.name().eq_ignore_ascii_case(self)))
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
    use crate::column::tests::columns;

    /// A row of one value of this type.
    fn row(type_oid: u32, value: &[u8]) -> Row {
        let mut body = vec![0, 1];
        body.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
        body.extend_from_slice(value);
        Row::new(columns(&["value"], type_oid), DataRow::parse(body.into()).unwrap())
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
