//! What a client may ask for by `Accept` (PROTOCOL.md sections 1.2 and 3).

use alloc::format;
use alloc::string::String;

/// The media type of PostgreSQL's frames, in requests and responses.
pub const FRAMES: &str = "application/vnd.onetrip.pgwire";
/// The media type of column blocks.
pub const BLOCKS: &str = "application/vnd.onetrip.blocks";
/// The media type of JSON requests and typed JSON responses.
pub const JSON: &str = "application/json";
/// The media type of errors before PostgreSQL (RFC 9457).
pub const PROBLEM: &str = "application/problem+json";

/// A representation of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Representation {
    /// PostgreSQL's frames, untouched.
    Frames,
    /// Rows as column blocks.
    Blocks(BlockOptions),
    /// Typed JSON.
    Json(JsonOptions),
}

/// How a client wants its blocks; the defaults are those of PROTOCOL.md section 3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockOptions {
    /// How text is written.
    pub strings: Strings,
    /// How int8 columns are written.
    pub int8: Int8,
    /// How timestamp and timestamptz columns are written.
    pub timestamps: Timestamps,
    /// How json and jsonb columns are written.
    pub json: Json,
    /// Whether columns are written by their types at all.
    pub values: Values,
}

/// How text is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strings {
    /// As UTF-8.
    #[default]
    Utf8,
    /// As UTF-16, little-endian, where it is not ASCII.
    Utf16,
    /// The same, with long ASCII text in the arena.
    #[cfg(feature = "joined")]
    Utf16Joined,
}

/// How int8 columns are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Int8 {
    /// As text.
    #[default]
    Text,
    /// As 64-bit integers.
    Binary,
}

/// How timestamp and timestamptz columns are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timestamps {
    /// As milliseconds since 1970.
    #[default]
    Milliseconds,
    /// As PostgreSQL's text.
    Text,
}

/// How json and jsonb columns are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Json {
    /// As one JSON array for a block, or as a column for each key of its objects.
    #[default]
    Parsed,
    /// As text.
    Text,
}

/// Whether columns are written by their types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Values {
    /// Each as its type and the other options say.
    #[default]
    Typed,
    /// All as PostgreSQL's text, for a client that reads types in its own way.
    Text,
}

/// How typed JSON is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JsonOptions {
    /// What a row is.
    pub rows: Rows,
    /// What stands around the rows.
    pub result: JsonResult,
}

/// What typed JSON has beside the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JsonResult {
    /// The fields, the command and the number of rows.
    #[default]
    Full,
    /// Nothing: the answer is the array of the rows. Only for one statement.
    Rows,
}

/// What a row of typed JSON is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rows {
    /// An object by column name.
    #[default]
    Object,
    /// An array.
    Array,
}

impl Representation {
    /// The media type that names the representation in `Content-Type`.
    pub fn media_type(&self) -> &'static str {
        match self {
            Representation::Frames => FRAMES,
            Representation::Blocks(_) => BLOCKS,
            Representation::Json(_) => JSON,
        }
    }

    /// Chooses from an `Accept` header: the highest `q`, and among equals the first. A wildcard stands for `default`.
    ///
    /// # Errors
    /// A text for the `detail` of a 406 when nothing fits. It quotes the client's own words, at most 60 characters.
    ///
    /// # Examples
    /// ```
    /// use onetrip_wire::representation::Representation;
    /// let chosen = Representation::negotiate("application/vnd.onetrip.blocks;strings=utf16", Representation::Frames);
    /// assert_eq!(chosen.unwrap().media_type(), "application/vnd.onetrip.blocks");
    /// ```
    pub fn negotiate(accept: &str, default: Representation) -> Result<Representation, String> {
        let mut best: Option<(f32, Representation)> = None;
        let mut problem = None;
        for range in accept.split(',').map(str::trim).filter(|range| !range.is_empty()) {
            match media_range(range, default) {
                Ok(Some((quality, found))) => {
                    if quality > best.map_or(0.0, |(quality, _)| quality) {
                        best = Some((quality, found));
                    }
                }
                Ok(None) => {}
                Err(text) => problem = problem.or(Some(text)),
            }
        }
        best.map(|(_, found)| found).ok_or_else(|| {
            problem.unwrap_or_else(|| {
                format!("Accept asks for {}; this endpoint has {FRAMES}, {BLOCKS} and {JSON}", quoted(accept))
            })
        })
    }
}

fn media_range(range: &str, default: Representation) -> Result<Option<(f32, Representation)>, String> {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let mut found = match name.as_str() {
        "*/*" | "application/*" => default,
        FRAMES => Representation::Frames,
        BLOCKS => Representation::Blocks(BlockOptions::default()),
        JSON => Representation::Json(JsonOptions::default()),
        _ => return Ok(None),
    };
    let mut quality = 1.0;
    for parameter in parts.filter(|parameter| !parameter.is_empty()) {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let (key, value) =
            (key.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_ascii_lowercase());
        let refused = || format!("Accept: {name} has no parameter {}", quoted(parameter));
        match (&mut found, key.as_str(), value.as_str()) {
            (_, "q", value) => {
                quality = value.parse().ok().filter(|q| (0.0..=1.0).contains(q)).ok_or_else(refused)?
            }
            (Representation::Blocks(options), key, value) => {
                block_option(options, key, value).ok_or_else(refused)?
            }
            (Representation::Json(options), "rows", "object") => options.rows = Rows::Object,
            (Representation::Json(options), "rows", "array") => options.rows = Rows::Array,
            (Representation::Json(options), "result", "full") => options.result = JsonResult::Full,
            (Representation::Json(options), "result", "rows") => options.result = JsonResult::Rows,
            (Representation::Json(_), "charset", "utf-8") => {}
            _ => return Err(refused()),
        }
    }
    Ok(Some((quality, found)))
}

fn block_option(options: &mut BlockOptions, key: &str, value: &str) -> Option<()> {
    match (key, value) {
        ("strings", "utf8") => options.strings = Strings::Utf8,
        ("strings", "utf16") => options.strings = Strings::Utf16,
        #[cfg(feature = "joined")]
        ("strings", "utf16-joined") => options.strings = Strings::Utf16Joined,
        ("int8", "text") => options.int8 = Int8::Text,
        ("int8", "binary") => options.int8 = Int8::Binary,
        ("timestamps", "milliseconds") => options.timestamps = Timestamps::Milliseconds,
        ("timestamps", "text") => options.timestamps = Timestamps::Text,
        ("json", "parsed") => options.json = Json::Parsed,
        ("json", "text") => options.json = Json::Text,
        ("values", "typed") => options.values = Values::Typed,
        ("values", "text") => options.values = Values::Text,
        _ => return None,
    }
    Some(())
}

/// A client's words in an error: short, and without control characters.
fn quoted(text: &str) -> String {
    let mut short: String = text.chars().filter(|character| !character.is_control()).take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("\"{short}\"")
}
