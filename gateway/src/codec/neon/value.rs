//! Values in PostgreSQL's text format into JSON values: numbers, booleans, JSON and arrays of all types as themselves,
//! all else as strings.

use onetrip_wire::{json, oid};

/// How the values of a column are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(super) layout: Layout,
    pub(super) scalar: Scalar,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Single,
    /// An array literal, with what stands between its elements.
    Array {
        delimiter: u8,
    },
    /// `int2vector` and `oidvector`: words between spaces.
    Vector,
    /// An array of those.
    ArrayOfVectors,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    Number,
    Boolean,
    Json,
    Text,
}

/// PostgreSQL's arrays have at most six dimensions; more would be a corrupt answer that exhausts the stack.
const DIMENSIONS_LIMIT: usize = 6;

impl Shape {
    /// Everything a string.
    pub(crate) const TEXT: Shape = Shape { layout: Layout::Single, scalar: Scalar::Text };

    /// An array whose elements are of the type `element`.
    pub(crate) fn array_of(element: u32, delimiter: u8) -> Shape {
        Shape { layout: Layout::Array { delimiter }, scalar: scalar(element) }
    }

    /// The shape of a type that has the same OID in every database; `None` where the database has to be asked.
    pub(crate) fn of_built_in(type_oid: u32) -> Option<Shape> {
        let array = |scalar| Shape { layout: Layout::Array { delimiter: b',' }, scalar };
        Some(match type_oid {
            INT2_VECTOR => Shape { layout: Layout::Vector, scalar: Scalar::Number },
            OID_VECTOR => Shape { layout: Layout::Vector, scalar: Scalar::Text },
            1006 => Shape { layout: Layout::ArrayOfVectors, scalar: Scalar::Number },
            1013 => Shape { layout: Layout::ArrayOfVectors, scalar: Scalar::Text },
            1020 => Shape { layout: Layout::Array { delimiter: b';' }, scalar: Scalar::Text },
            1000 => array(Scalar::Boolean),
            1005 | 1007 | 1021 | 1022 => array(Scalar::Number),
            199 | 3807 => array(Scalar::Json),
            other if TEXT_ARRAYS.binary_search(&other).is_ok() => array(Scalar::Text),
            // From here on initdb and users number types.
            other if other >= FIRST_ASSIGNED => return None,
            other => Shape { layout: Layout::Single, scalar: scalar(other) },
        })
    }

    /// Appends a value. A text that does not read as its type's is appended as a string.
    pub(crate) fn write(self, text: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        let written = match self.layout {
            Layout::Single => {
                self.scalar.write(text, out);
                Some(())
            }
            Layout::Vector => {
                self.vector(text, out);
                Some(())
            }
            Layout::Array { delimiter } => self.literal(text, delimiter, out),
            Layout::ArrayOfVectors => self.literal(text, b',', out),
        };
        if written.is_none() {
            out.truncate(start);
            json::string(out, text);
        }
    }

    fn literal(self, text: &[u8], delimiter: u8, out: &mut Vec<u8>) -> Option<()> {
        // `[0:1]={…}`: JSON has no place for the bounds.
        let text = if text.first() == Some(&b'[') {
            let equals = text.iter().position(|&byte| byte == b'=')?;
            text.get(equals + 1..)?
        } else {
            text
        };
        let mut reader = Literal { shape: self, delimiter, rest: text };
        reader.list(DIMENSIONS_LIMIT, out)?;
        reader.rest.is_empty().then_some(())
    }

    fn element(self, text: &[u8], out: &mut Vec<u8>) {
        match self.layout {
            Layout::ArrayOfVectors => self.vector(text, out),
            _ => self.scalar.write(text, out),
        }
    }

    fn vector(self, text: &[u8], out: &mut Vec<u8>) {
        out.push(b'[');
        let words = text.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
        for (index, word) in words.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            self.scalar.write(word, out);
        }
        out.push(b']');
    }
}

impl Scalar {
    fn write(self, text: &[u8], out: &mut Vec<u8>) {
        match (self, text) {
            (Scalar::Boolean, b"t") => out.extend_from_slice(b"true"),
            (Scalar::Boolean, b"f") => out.extend_from_slice(b"false"),
            // `NaN` and the infinities are no JSON numbers.
            (Scalar::Number, text) if text.last().is_some_and(u8::is_ascii_digit) => {
                out.extend_from_slice(text);
            }
            (Scalar::Json, text) => out.extend_from_slice(String::from_utf8_lossy(text).as_bytes()),
            (_, text) => json::string(out, text),
        }
    }
}

fn scalar(type_oid: u32) -> Scalar {
    match type_oid {
        oid::BOOL => Scalar::Boolean,
        oid::INT2 | oid::INT4 | oid::FLOAT4 | oid::FLOAT8 => Scalar::Number,
        oid::JSON | oid::JSONB => Scalar::Json,
        _ => Scalar::Text,
    }
}

/// An array literal that is being read. PostgreSQL manual, "Array Input and Output Syntax".
struct Literal<'a> {
    shape: Shape,
    delimiter: u8,
    rest: &'a [u8],
}

impl Literal<'_> {
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn list(&mut self, depth: usize, out: &mut Vec<u8>) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        (self.next()? == b'{').then_some(())?;
        out.push(b'[');
        if self.rest.first() == Some(&b'}') {
            self.next()?;
            out.push(b']');
            return Some(());
        }
        loop {
            match self.rest.first()? {
                b'{' => self.list(depth, out)?,
                b'"' => self.quoted(out)?,
                _ => self.word(out)?,
            }
            match self.next()? {
                b'}' => break,
                byte if byte == self.delimiter => out.push(b','),
                _ => return None,
            }
        }
        out.push(b']');
        Some(())
    }

    fn word(&mut self, out: &mut Vec<u8>) -> Option<()> {
        let end = self.rest.iter().position(|&byte| byte == self.delimiter || byte == b'}')?;
        let (word, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        match word {
            b"NULL" => out.extend_from_slice(b"null"),
            word => self.shape.element(word, out),
        }
        Some(())
    }

    fn quoted(&mut self, out: &mut Vec<u8>) -> Option<()> {
        self.next()?;
        let mut text = Vec::new();
        loop {
            match self.next()? {
                b'"' => break,
                b'\\' => text.push(self.next()?),
                byte => text.push(byte),
            }
        }
        self.shape.element(&text, out);
        Some(())
    }
}

const INT2_VECTOR: u32 = 22;
const OID_VECTOR: u32 = 30;

/// The first OID that PostgreSQL's catalogue does not fix (`FirstGenbkiObjectId`).
const FIRST_ASSIGNED: u32 = 10_000;

/// The built-in array types whose elements are strings in JSON, sorted. PostgreSQL's `pg_type.dat`.
const TEXT_ARRAYS: &[u32] = &[
    143, 271, 272, 629, 651, 719, 775, 791, 1001, 1002, 1003, 1008, 1009, 1010, 1011, 1012, 1014, 1015, 1016,
    1017, 1018, 1019, 1027, 1028, 1034, 1040, 1041, 1115, 1182, 1183, 1185, 1187, 1231, 1263, 1270, 1561,
    1563, 2201, 2207, 2208, 2209, 2210, 2211, 2287, 2949, 2951, 3221, 3643, 3644, 3645, 3735, 3770, 3905,
    3907, 3909, 3911, 3913, 3927, 4073, 4090, 4097, 4192, 5039, 6150, 6151, 6152, 6153, 6155, 6157,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn written(type_oid: u32, text: &str) -> String {
        let mut out = Vec::new();
        Shape::of_built_in(type_oid).unwrap().write(text.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_written_by_their_type() {
        for (type_oid, text, expected) in [
            (16, "t", "true"),
            (16, "f", "false"),
            (23, "-5", "-5"),
            (20, "5", "\"5\""),
            (26, "5", "\"5\""),
            (701, "1e+30", "1e+30"),
            (701, "-Infinity", "\"-Infinity\""),
            (700, "NaN", "\"NaN\""),
            (1700, "1.50", "\"1.50\""),
            (3802, "{\"b\": 1, \"a\": 2}", "{\"b\": 1, \"a\": 2}"),
            (25, "a\"b", "\"a\\\"b\""),
            (1007, "{}", "[]"),
            (1007, "{1,NULL,3}", "[1,null,3]"),
            (1007, "[0:1]={1,2}", "[1,2]"),
            (1007, "{{1,2},{3,4}}", "[[1,2],[3,4]]"),
            (1000, "{t,f,NULL}", "[true,false,null]"),
            (1022, "{1.5,NaN}", "[1.5,\"NaN\"]"),
            (
                1009,
                "{a,\"b,c\",\"\",NULL,\"NULL\",\"q\\\"\\\\\"}",
                "[\"a\",\"b,c\",\"\",null,\"NULL\",\"q\\\"\\\\\"]",
            ),
            (3807, "{\"{\\\"a\\\": 1}\",null}", "[{\"a\": 1},null]"),
            (1020, "{(1,1),(0,0);(2,2),(1,1)}", "[\"(1,1),(0,0)\",\"(2,2),(1,1)\"]"),
            (22, "1 2 3", "[1,2,3]"),
            (22, "", "[]"),
            (30, "23 25", "[\"23\",\"25\"]"),
            (1006, "{\"1 2\",3}", "[[1,2],[3]]"),
            // Not what the types say: as it is.
            (1007, "{1", "\"{1\""),
            (1007, "{{{{{{{1}}}}}}}", "\"{{{{{{{1}}}}}}}\""),
            (1007, "{1}x", "\"{1}x\""),
            (1009, "{\"a", "\"{\\\"a\""),
        ] {
            assert_eq!(written(type_oid, text), expected, "{type_oid} {text}");
        }
        assert!(TEXT_ARRAYS.is_sorted());
        assert_eq!(Shape::of_built_in(20_000), None);
    }
}
