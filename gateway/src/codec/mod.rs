//! Request bodies into pipelines: one codec for each content type.

mod json;
pub(crate) mod neon;

use bytes::Bytes;
use onetrip_wire::encoder::Batch;
use onetrip_wire::problem::Code;
use onetrip_wire::representation::{self, JsonOptions, JsonResult, Representation};
use onetrip_wire::request::Request;
use onetrip_wire::{Kind, Limits};

use crate::failure::Failure;
use crate::session_settings::SessionSettings;

/// What a request asks of PostgreSQL, ready to be sent.
pub(crate) struct Pipeline {
    /// Frontend frames; what they may be is in PROTOCOL.md section 1.1.
    pub(crate) frames: Bytes,
    /// How many ReadyForQuery end the answer.
    pub(crate) groups: usize,
    /// Whether it is one Query frame.
    pub(crate) script: bool,
    /// Whether typed JSON shows a list of results.
    pub(crate) batch: Batch,
    /// What the answer is written as.
    pub(crate) representation: Representation,
    /// Frames of one statement that begins the transaction of the request, or nothing. Its answer is not shown.
    pub(crate) transaction: Bytes,
    /// What holds in the session while the request runs.
    pub(crate) settings: SessionSettings,
}

/// The content type of a request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Frames,
    Json,
}

impl Pipeline {
    /// Whether its settings go before its frames in the same flight: they take part in its only transaction, so that
    /// it does not run without them.
    pub(crate) fn settings_fit(&self) -> bool {
        self.groups == 1 && !self.script && !self.settings.before_transaction()
    }

    /// Its frames, if as far as their kind goes they may share a flight with other requests: one transaction as
    /// PostgreSQL makes it, and no settings.
    pub(crate) fn shared_frames(&self) -> Option<&Bytes> {
        let alone =
            self.groups != 1 || self.script || !self.transaction.is_empty() || !self.settings.is_empty();
        (!alone).then_some(&self.frames)
    }
}

impl Format {
    /// Reads a Content-Type header.
    ///
    /// # Errors
    /// A text that says which content types there are.
    pub(crate) fn from_content_type(header: Option<&str>) -> Result<Format, String> {
        let header = header.unwrap_or_default();
        let mut parts = header.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let format = match name.as_str() {
            representation::FRAMES => Format::Frames,
            representation::JSON => Format::Json,
            _ => {
                let (json, frames) = (representation::JSON, representation::FRAMES);
                return Err(match name.as_str() {
                    "" => format!("the request has no Content-Type; send {json} or {frames}"),
                    _ => format!("the Content-Type must be {json} or {frames}"),
                });
            }
        };
        for parameter in parts.filter(|parameter| !parameter.is_empty()) {
            let parameter = parameter.to_ascii_lowercase();
            if !matches!(parameter.as_str(), "charset=utf-8" | "charset=\"utf-8\"" | "charset=utf8") {
                return Err("the Content-Type has a parameter that is not known; bodies are UTF-8".to_owned());
            }
        }
        Ok(format)
    }

    /// The representation of an answer that the client says nothing about.
    pub(crate) fn default_representation(self) -> Representation {
        match self {
            Format::Frames => Representation::Frames,
            Format::Json => Representation::Json(JsonOptions::default()),
        }
    }

    /// Reads a request body.
    pub(crate) fn decode(self, body: Bytes, representation: Representation) -> Result<Pipeline, Failure> {
        let pipeline = match self {
            Format::Json => json::decode(&body, representation),
            Format::Frames => frames(body, representation),
        }?;
        match representation {
            Representation::Json(options)
                if options.result == JsonResult::Rows && pipeline.batch == Batch::Many =>
            {
                let detail = "result=rows is for the answer to one statement; leave it out for several";
                Err(Failure::new(Code::NotAcceptable, detail))
            }
            _ => Ok(pipeline),
        }
    }
}

fn frames(body: Bytes, representation: Representation) -> Result<Pipeline, Failure> {
    // The body is in memory and under the endpoint's limit already, so no frame of it can be too large.
    let limits = Limits::default().frame_bytes(body.len().saturating_add(1));
    let request = Request::parse(&body, &limits).map_err(|error| match error.kind() {
        Kind::TooLarge => {
            Failure::malformed(format!("byte {}: the last frame is longer than the body", error.offset()))
        }
        _ => Failure::malformed(error.to_string()),
    })?;
    let batch = match &request {
        Request::Pipeline(groups)
            if groups.iter().map(|group| group.statements.len()).sum::<usize>() == 1 =>
        {
            Batch::Single
        }
        _ => Batch::Many,
    };
    let (groups, script) = (request.ready_count(), matches!(request, Request::Script));
    let settings = SessionSettings::default();
    let transaction = Bytes::new();
    Ok(Pipeline { frames: body, groups, script, batch, representation, transaction, settings })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_read_without_regard_to_case_and_charset() {
        for (header, expected) in [
            ("application/json", Format::Json),
            ("Application/JSON; charset=UTF-8", Format::Json),
            ("application/vnd.onetrip.pgwire", Format::Frames),
        ] {
            assert_eq!(Format::from_content_type(Some(header)), Ok(expected), "{header}");
        }
        for header in
            [None, Some("text/plain"), Some("application/json; charset=latin1"), Some("application/jsonx")]
        {
            assert!(Format::from_content_type(header).is_err(), "{header:?}");
        }
    }

    #[test]
    fn only_one_transaction_as_postgresql_makes_it_and_without_settings_may_share_a_flight() {
        let pipeline =
            || Format::Json.decode(Bytes::from_static(br#"{"sql": "select 1"}"#), Representation::Frames);
        assert!(pipeline().unwrap().shared_frames().is_some());
        let check = |what: &str, change: fn(&mut Pipeline)| {
            let mut pipeline = pipeline().unwrap();
            change(&mut pipeline);
            assert!(pipeline.shared_frames().is_none(), "{what}");
        };
        check("several groups", |pipeline| pipeline.groups = 2);
        check("a script", |pipeline| pipeline.script = true);
        check("a transaction of its own", |pipeline| pipeline.transaction = Bytes::from_static(b"begin"));
        check("settings of a token or a connection string", |pipeline| {
            pipeline.settings.set("app.user", "ada").unwrap();
        });
    }

    #[test]
    fn frames_that_are_no_pipeline_are_refused_with_their_offset() {
        for (body, expected) in [
            (&b""[..], "byte 0"),
            (b"X\0\0\0\x04", "byte 0"),
            (b"Q\0\0\0\xff", "longer than the body"),
            (b"Q\0\0\0\x09a", "byte"),
            (b"S\0\0\0\x04", "byte 0"),
        ] {
            let failure = frames(Bytes::from_static(body), Representation::Frames).map(|_| ()).unwrap_err();
            assert_eq!(failure.code, Code::MalformedRequest);
            assert!(failure.detail.contains(expected), "{body:?}: {}", failure.detail);
        }
    }
}
