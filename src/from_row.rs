//! Rows as tuples and structs.

use onetrip_wire::backend::RowValues;
use postgres_types::FromSql;

use crate::{Error, Kind, Row, RowIndex};

/// What a row can be read as: a tuple of up to twelve values, or a struct by `#[derive(onetrip::FromRow)]` (feature
/// `derive`).
///
/// A tuple takes the columns in order and has as many members. A struct takes them by name, whatever else the row has:
///
/// | attribute of a field | meaning |
/// | --- | --- |
/// | `#[onetrip(rename = "…")]` | the column has this name instead of the field's |
/// | `#[onetrip(default)]` | where there is no such column: `Default::default()` |
/// | `#[onetrip(flatten)]` | the field is a struct of its own, from the same row |
///
/// The fields of a tuple struct are columns in order, as those of a tuple.
///
/// # Errors
/// [`Kind::Decode`] for a missing column, NULL where the type is no `Option`, or a type that does not take the column's;
/// the text names the column and both types.
///
/// # Examples
/// ```
/// # #[cfg(feature = "derive")] {
/// use onetrip::FromRow;
///
/// #[derive(FromRow)]
/// struct User<'a> {
///     id: i64,
///     name: &'a str,
///     #[onetrip(rename = "e_mail")]
///     email: Option<String>,
/// }
///
/// # async fn example(client: onetrip::Client) -> Result<(), onetrip::Error> {
/// for row in client.query("select id, name, e_mail from users", &[]).await? {
///     let user = User::from_row(&row)?;
///     println!("{} {} {:?}", user.id, user.name, user.email);
/// }
/// # Ok(()) }
/// # }
/// ```
pub trait FromRow<'a>: Sized {
    /// Reads the row.
    ///
    /// # Errors
    /// See [the trait](trait@crate::FromRow).
    fn from_row(row: &'a Row) -> Result<Self, Error>;
}

macro_rules! tuples {
    ($($member:ident $index:tt)+) => {
        impl<'a, $($member: FromSql<'a>),+> FromRow<'a> for ($($member,)+) {
            fn from_row(row: &'a Row) -> Result<Self, Error> {
                check_len(row, [$($index),+].len())?;
                let mut fields = Fields::new(row);
                Ok(($(fields.at::<$member>($index)?,)+))
            }
        }
    };
}

tuples!(A 0);
tuples!(A 0 B 1);
tuples!(A 0 B 1 C 2);
tuples!(A 0 B 1 C 2 D 3);
tuples!(A 0 B 1 C 2 D 3 E 4);
tuples!(A 0 B 1 C 2 D 3 E 4 F 5);
tuples!(A 0 B 1 C 2 D 3 E 4 F 5 G 6);
tuples!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7);
tuples!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8);
tuples!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9);
tuples!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10);
tuples!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11);

/// Columns in order stand for members only where there are as many.
#[doc(hidden)]
pub fn check_len(row: &Row, members: usize) -> Result<(), Error> {
    let columns = row.len();
    if columns == members {
        return Ok(());
    }
    Err(Error::new(
        Kind::Decode,
        format!("the row has {columns} columns where {members} values are to be read"),
    ))
}

/// Reads the fields of a struct from a row: each value that follows on the one before is found at once.
#[doc(hidden)]
pub struct Fields<'a> {
    row: &'a Row,
    // The column that `rest` begins with.
    next: usize,
    rest: RowValues<'a>,
}

impl<'a> Fields<'a> {
    /// Begins with the first column.
    #[doc(hidden)]
    #[inline]
    pub fn new(row: &'a Row) -> Fields<'a> {
        Fields { row, next: 0, rest: row.values() }
    }

    /// Whether there is such a column.
    #[doc(hidden)]
    #[inline]
    pub fn has(&self, name: &str) -> bool {
        self.place(name).is_some()
    }

    /// The value of the column of that name.
    #[doc(hidden)]
    #[inline]
    pub fn named<T: FromSql<'a>>(&mut self, name: &str) -> Result<T, Error> {
        match self.place(name) {
            Some(at) => self.at(at),
            None => Err(self.row.no_column(&name.describe())),
        }
    }

    /// The value of the column at that place.
    #[doc(hidden)]
    #[inline]
    pub fn at<T: FromSql<'a>>(&mut self, at: usize) -> Result<T, Error> {
        if at < self.next {
            *self = Fields::new(self.row);
        }
        let value = self.rest.nth(at - self.next).flatten();
        self.next = at + 1;
        self.row.read(at, value)
    }

    /// As a rule the fields are in the order of the columns. Of columns of one name it is the first.
    #[inline]
    fn place(&self, name: &str) -> Option<usize> {
        match self.row.columns().get(self.next) {
            Some(column) if column.is_first() && column.name() == name => Some(self.next),
            _ => RowIndex::find(name, self.row.columns()),
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]
mod tests {
    use onetrip_wire::backend::DataRow;

    use super::*;
    use crate::column::tests::columns;

    #[test]
    fn fields_are_found_in_any_order_and_more_than_once() {
        let mut body = vec![0, 4];
        for value in [Some(1i32), None, Some(3), Some(4)] {
            body.extend_from_slice(&value.map_or(-1, |_| 4i32).to_be_bytes());
            body.extend(value.map(i32::to_be_bytes).iter().flatten());
        }
        let row = Row::new(columns(&["a", "b", "c", "b"], 23), DataRow::parse(body.into()).unwrap());
        let mut fields = Fields::new(&row);
        for (name, value) in
            [("a", Some(1)), ("c", Some(3)), ("b", None), ("a", Some(1)), ("b", None), ("B", None)]
        {
            assert_eq!(fields.named::<Option<i32>>(name).unwrap(), value, "{name}");
        }
        assert!(fields.has("c") && !fields.has("d"));
        let error = fields.named::<i32>("d").unwrap_err().to_string();
        assert!(error.contains("no column \"d\"") && error.contains("4 columns: a, b, c, b"), "{error}");
        let error = fields.named::<i32>("b").unwrap_err().to_string();
        assert!(error.contains("NULL"), "{error}");
    }
}
