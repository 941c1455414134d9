//! Rows as tuples and structs.

use postgres_types::FromSql;

use crate::{Error, Kind, Row};

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
                Ok(($(row.try_get::<usize, $member>($index)?,)+))
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

/// The place of a column; `guess` is where it is when the fields are in the order of the columns.
#[doc(hidden)]
pub fn place(row: &Row, guess: usize, name: &str) -> Option<usize> {
    match row.columns().get(guess) {
        Some(column) if column.name() == name => Some(guess),
        _ => crate::RowIndex::find(name, row.columns()),
    }
}

/// The value of a field.
#[doc(hidden)]
pub fn field<'a, T: FromSql<'a>>(row: &'a Row, guess: usize, name: &str) -> Result<T, Error> {
    match place(row, guess, name) {
        Some(at) => row.try_get(at),
        None => row.try_get(name),
    }
}
