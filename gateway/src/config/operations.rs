//! What an operator is told: the log's form, where metrics are, who may read them; and how answers are compressed.

use std::fmt;
use std::net::SocketAddr;

use zeroize::Zeroizing;

use super::error::suggestion;
use super::value::Value;
use super::{Reader, Source};

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One line for a person.
    Text,
    /// One JSON object a line.
    Json,
}

/// Who can read `/metrics`, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Where. Default: nowhere.
    pub listener: MetricsListener,
    /// What a reader must bring as `Authorization: Bearer …`; without it everybody who reaches the listener may read.
    pub token: Option<Token>,
}

/// Where `/metrics` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsListener {
    /// Nowhere.
    Off,
    /// At an address of its own, by plain HTTP, with `/healthz` and `/readyz`.
    Own(SocketAddr),
    /// Where clients are served; a token is needed.
    Same,
}

/// A secret. `Debug` does not show it, and its memory is cleared when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// Whether `text` is the secret. The comparison takes the same time wherever the difference is.
    pub(crate) fn is(&self, text: &[u8]) -> bool {
        let digest = |bytes: &[u8]| ring::digest::digest(&ring::digest::SHA256, bytes);
        // Of hashes that nobody can choose, the time of a comparison tells nothing.
        digest(text).as_ref() == digest(self.0.as_bytes()).as_ref()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token")
    }
}

/// How answers are compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compression {
    /// What a client may choose, the one that it gets if it likes several equally first. Empty: nothing is compressed.
    pub codings: Vec<Coding>,
    /// Answers that are complete at once and smaller are sent as they are. Default: 4 KiB, up to 1 GiB.
    pub least_bytes: usize,
}

/// A content coding (RFC 9110, section 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 8878.
    Zstd,
    /// RFC 7932.
    Brotli,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    /// All of them, in the order of the default.
    pub(crate) const ALL: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

    /// The name in Accept-Encoding and Content-Encoding.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Coding::Zstd => "zstd",
            Coding::Brotli => "br",
            Coding::Gzip => "gzip",
        }
    }
}

pub(super) fn log_format(value: &Value) -> Result<LogFormat, String> {
    let text = value.text()?;
    match text.as_str() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => Err(format!("{other:?} is no form of a log; {}", suggestion(other, &["text", "json"]))),
    }
}

pub(super) fn metrics(read: &mut Reader<'_>) -> Metrics {
    let listener = read.value("metrics.listen", MetricsListener::Off, |value| match value.text()?.as_str() {
        "off" => Ok(MetricsListener::Off),
        "same" => Ok(MetricsListener::Same),
        _ => value
            .address()
            .map(MetricsListener::Own)
            .map_err(|expected| format!("\"off\", \"same\" (with metrics.token), or {expected}")),
    });
    let token = read.value("metrics.token", None, |value| {
        let token = Zeroizing::new(value.text()?);
        // Printable, for it travels in a header.
        match token.len() >= 16 && token.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Some(Token(token))),
            false => Err("at least 16 printable ASCII characters without spaces are expected".to_owned()),
        }
    });
    if listener == MetricsListener::Same && token.is_none() {
        let source =
            read.settings.get("metrics.listen").map_or(Source::Whole, |setting| setting.source.clone());
        read.mistake(
            source,
            "metrics.token",
            "this key is missing: metrics.listen = \"same\" shows the metrics to all clients without it",
        );
    }
    Metrics { listener, token }
}

pub(super) fn compression(read: &mut Reader<'_>) -> Compression {
    let codings = read.value("compression.codings", Coding::ALL.to_vec(), |value| {
        let mut codings = Vec::new();
        for name in value.list()? {
            let coding = Coding::ALL.into_iter().find(|coding| coding.name() == name).ok_or_else(|| {
                format!("{name:?} is no coding; {}", suggestion(&name, &Coding::ALL.map(Coding::name)))
            })?;
            if !codings.contains(&coding) {
                codings.push(coding);
            }
        }
        Ok(codings)
    });
    Compression { codings, least_bytes: read.bytes("compression.least_bytes", 4 << 10, 0..=1 << 30) }
}
