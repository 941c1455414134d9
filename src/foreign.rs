//! Values of types whose OID alone is known: which Rust types may read them without a look into the catalogue.
//!
//! A Rust type says of a PostgreSQL type whether it takes it, by name and kind, and neither is in an answer. What can be told
//! without them is told here; the rest wants [`Client::look_up_types`](crate::Client::look_up_types).

use postgres_types::{FromSql, Kind, Type};

use crate::column::check_array;
use crate::parameter::{EXTENSIONS, candidates, extension};

const NO_TEXT: &str = "its binary form is not text; let the client know the type with Client::look_up_types, or cast the \
                       column to text in the SQL";

/// What can be asked of a Rust type.
pub(crate) struct RustType {
    accepts: fn(&Type) -> bool,
    name: fn() -> &'static str,
    // Owns nothing and is as small as an enum without fields: an array of two has twice the size of its alignment.
    may_be_enum: bool,
    foreign: Foreign,
}

/// The type as which a Rust type reads a value whose type has this OID; without an OID it is an array whose type is known, and
/// is only checked.
type Foreign = fn(Option<u32>, &[u8], &RustType) -> Result<Type, &'static str>;

impl RustType {
    pub(crate) const fn of<'a, T: FromSql<'a>>() -> RustType {
        RustType {
            accepts: T::accepts,
            name: std::any::type_name::<T>,
            may_be_enum: !std::mem::needs_drop::<T>() && size_of::<T>() <= align_of::<T>(),
            foreign: foreign::<T>,
        }
    }

    /// The type as which it reads a value whose type is known by its OID alone.
    pub(crate) fn foreign(&self, oid: u32, value: Option<&[u8]>) -> Result<Type, &'static str> {
        match value {
            Some(value) => (self.foreign)(Some(oid), value, self),
            // For NULL no type is looked at.
            None => Ok(Type::UNKNOWN),
        }
    }

    /// Refuses an array that would be misread, where it takes the array's type.
    pub(crate) fn array(&self, value: Option<&[u8]>) -> Result<(), &'static str> {
        value.map_or(Ok(()), |value| (self.foreign)(None, value, self).map(drop))
    }

    pub(crate) fn accepts(&self, type_: &Type) -> bool {
        (self.accepts)(type_)
    }

    pub(crate) fn name(&self) -> &'static str {
        (self.name)()
    }

    /// Whether it takes no built-in type, as what is derived for an enum.
    fn is_custom(&self) -> bool {
        !candidates().any(|(_, type_)| self.accepts(&type_))
    }

    /// Whether it is an array of what takes no built-in type, and of nothing that holds arrays itself. The name of a type is
    /// not guaranteed to look like this; where it does not, the catalogue has to be asked.
    fn is_vec_of_custom(&self) -> bool {
        let name = self.name();
        let name = name.strip_prefix("core::option::Option<").unwrap_or(name);
        let element = name.strip_prefix("alloc::vec::Vec<");
        element.is_some_and(|element| {
            let element = element.as_bytes();
            element.iter().all(|&byte| byte != b'[') && !element.windows(4).any(|part| part == b"Vec<")
        }) && self.is_custom()
    }
}

/// Which way is decided for each Rust type when the program is compiled, so that one that reads nothing but the usual types is
/// without the other: a kilobyte of wasm.
fn foreign<'a, T: FromSql<'a>>(
    oid: Option<u32>,
    value: &[u8],
    rust: &RustType,
) -> Result<Type, &'static str> {
    if is_usual(std::any::type_name::<T>()) { usual(value, rust) } else { any(oid, value, rust) }
}

macro_rules! usual {
    ($name:ident: $($type:literal)*) => {
        matches!($name, $($type | concat!("core::option::Option<", $type, ">"))|*)
    };
}

/// Whether the type of this name takes built-in types alone, and no arrays. The name of a type is not guaranteed to look like
/// this; any other name is right, too, and more code.
#[inline(always)]
fn is_usual(name: &str) -> bool {
    usual!(name: "bool" "i8" "i16" "i32" "i64" "u32" "f32" "f64" "&str" "alloc::string::String" "&[u8]"
        "alloc::vec::Vec<u8>" "std::time::SystemTime")
}

/// As [`any`], for a usual type.
fn usual(value: &[u8], rust: &RustType) -> Result<Type, &'static str> {
    match is_text(value) {
        true if rust.accepts(&Type::UNKNOWN) => Ok(Type::UNKNOWN),
        is_text => Err(refused(is_text)),
    }
}

/// The type as which any Rust type reads this value.
fn any(oid: Option<u32>, value: &[u8], rust: &RustType) -> Result<Type, &'static str> {
    let Some(oid) = oid else { return array(value).map(|()| Type::UNKNOWN) };
    let array_of = |element| Type::new(String::new(), oid, Kind::Array(element), String::new());
    let takes_unknown = rust.accepts(&Type::UNKNOWN);
    for name in EXTENSIONS.into_iter().filter(|_| !takes_unknown) {
        let type_ = extension(name);
        if rust.accepts(&type_) {
            return if name != "hstore" || is_hstore(value) { Ok(type_) } else { Err("it is no hstore") };
        }
    }
    // What is derived for an enum looks at nothing of the type; for a composite it refuses one without fields.
    let opaque = |oid| Type::new(String::new(), oid, Kind::Composite(Vec::new()), String::new());
    if let Some(element) = array_element(value) {
        let known = Type::from_oid(element).unwrap_or(Type::UNKNOWN);
        let array = array_of(known);
        if rust.accepts(&array) {
            return Ok(array);
        }
        if rust.is_vec_of_custom() {
            return Ok(array_of(opaque(element)));
        }
    }
    let is_text = is_text(value);
    if is_text && takes_unknown {
        return Ok(Type::UNKNOWN);
    }
    // As an array of enums this would be asked for its elements, which there are none of, and panic; as does a newtype around
    // an array of one, which nothing tells from an enum.
    if is_text && rust.may_be_enum && !rust.name().bytes().any(|byte| byte == b'[') && rust.is_custom() {
        return Ok(opaque(oid));
    }
    Err(refused(is_text))
}

fn refused(is_text: bool) -> &'static str {
    match is_text {
        true => {
            "this Rust type does not take it; read it as &str, or let the client know the type with Client::look_up_types"
        }
        false => NO_TEXT,
    }
}

/// Refuses an array that is corrupt.
pub(crate) fn array(value: &[u8]) -> Result<(), &'static str> {
    check_array(value).ok_or("the array is corrupt")
}

/// The type of a value as far as it shows: text or an array of it.
#[cfg(feature = "serde")]
pub(crate) fn type_of(oid: u32, value: &[u8]) -> Result<Type, &'static str> {
    if let Some(element) = array_element(value) {
        let element = Type::from_oid(element).unwrap_or(Type::UNKNOWN);
        return Ok(Type::new(String::new(), oid, Kind::Array(element), String::new()));
    }
    if is_text(value) { Ok(Type::UNKNOWN) } else { Err(NO_TEXT) }
}

/// Text has no zero bytes; binary forms have them in their counts and lengths, or begin with a version or a flag.
fn is_text(value: &[u8]) -> bool {
    value.iter().all(|&byte| byte != 0) && value.first().is_none_or(|&first| first >= 9)
}

/// Whether an hstore can have as many pairs as it says, before anything is allocated for them: each has two lengths.
fn is_hstore(value: &[u8]) -> bool {
    value.split_first_chunk().is_some_and(|(count, pairs)| {
        usize::try_from(i32::from_be_bytes(*count)).is_ok_and(|count| count <= pairs.len() / 8)
    })
}

/// The OID of the elements, where a value can be an array.
fn array_element(value: &[u8]) -> Option<u32> {
    let header: &[u8; 12] = value.first_chunk()?;
    let word = |at: usize| Some(u32::from_be_bytes(*header.get(at..)?.first_chunk()?));
    let (dimensions, flags, element) = (word(0)?, word(4)?, word(8)?);
    check_array(value)?;
    (dimensions <= 6 && flags <= 1 && element != 0).then_some(element)
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use postgres_types::{FromSql, ToSql};

    use super::*;

    #[derive(Debug, PartialEq, ToSql, FromSql)]
    #[postgres(name = "mood", rename_all = "snake_case")]
    enum Mood {
        Sad,
        Happy,
    }

    #[derive(Debug, PartialEq, FromSql)]
    #[postgres(name = "size", rename_all = "snake_case")]
    #[repr(i32)]
    enum Size {
        Large = 7,
    }

    #[derive(Debug, FromSql)]
    #[postgres(transparent)]
    struct Pair(#[expect(dead_code, reason = "it is never read whole")] [Mood; 2]);

    fn read<'a, T: FromSql<'a>>(value: &'a [u8]) -> Result<T, String> {
        let type_ = RustType::of::<T>().foreign(16_999, Some(value))?;
        T::from_sql(&type_, value).map_err(|error| error.to_string())
    }

    #[test]
    fn a_derived_enum_reads_without_its_type_whatever_its_size() {
        assert_eq!(read::<Mood>(b"happy"), Ok(Mood::Happy));
        assert_eq!(read::<Option<Mood>>(b"sad"), Ok(Some(Mood::Sad)));
        assert_eq!(read::<Size>(b"large"), Ok(Size::Large));
        assert_eq!(read::<Option<Size>>(b"large"), Ok(Some(Size::Large)));
        let array =
            [&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 66, 104, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 3], &b"sad"[..]]
                .concat();
        assert_eq!(read::<Vec<Mood>>(&array), Ok(vec![Mood::Sad]));
    }

    #[test]
    fn a_usual_type_reads_as_any_other_would_be() {
        fn check<T: for<'a> FromSql<'a>>() {
            let rust = RustType::of::<T>();
            assert!(is_usual(rust.name()), "{}", rust.name());
            assert!(!is_usual(std::any::type_name::<Vec<T>>()));
            let array =
                [&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 4], &[9; 4][..]];
            for value in [b"happy", &b""[..], b"\0", &[0, 0, 0, 0], &array.concat()] {
                assert_eq!(
                    usual(value, &rust),
                    any(Some(16_999), value, &rust),
                    "{}: {value:?}",
                    rust.name()
                );
            }
        }
        fn check_with_null<T: for<'a> FromSql<'a>>() {
            check::<T>();
            check::<Option<T>>();
        }
        check_with_null::<bool>();
        check_with_null::<i8>();
        check_with_null::<i16>();
        check_with_null::<i32>();
        check_with_null::<i64>();
        check_with_null::<u32>();
        check_with_null::<f32>();
        check_with_null::<f64>();
        check_with_null::<String>();
        check_with_null::<Vec<u8>>();
        check_with_null::<std::time::SystemTime>();
        assert!(is_usual(std::any::type_name::<Option<&str>>()) && is_usual(std::any::type_name::<&[u8]>()));
    }

    #[test]
    fn an_array_of_derived_enums_is_refused_for_what_is_no_array_and_does_not_panic() {
        let refused = [
            read::<Pair>(b"happy").map(drop),
            read::<Option<Pair>>(b"happy").map(drop),
            read::<[Mood; 2]>(b"happy").map(drop),
            read::<Option<[Mood; 1]>>(b"happy").map(drop),
            read::<Vec<Mood>>(b"happy").map(drop),
            read::<Box<[Mood]>>(b"happy").map(drop),
        ];
        for (index, refused) in refused.into_iter().enumerate() {
            assert!(refused.is_err_and(|error| error.contains("look_up_types")), "{index}");
        }
    }
}
