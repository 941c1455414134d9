//! Compressing answers: which coding a client gets, and a compressor whose parts can be read as they come.

use std::io::Write;

use flate2::write::GzEncoder;
use hyper::header::{self, HeaderMap};

use crate::config::Coding;

/// How much is compressed at once before others get a turn on the thread.
pub(super) const SLICE_BYTES: usize = 64 << 10;

/// The coding of an answer by Accept-Encoding (RFC 9110, section 12.5.3); `None` is as it is. `offered` has the best first.
pub(super) fn negotiate(headers: &HeaderMap, offered: &[Coding]) -> Option<Coding> {
    if offered.is_empty() {
        return None;
    }
    let mut accepted = Vec::new();
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        // A header that is not ASCII says nothing that would be known.
        for item in value.to_str().unwrap_or_default().split(',') {
            let mut parts = item.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            let weight = weight.map_or(1.0, |weight| weight.parse::<f32>().unwrap_or(0.0));
            if !name.is_empty() {
                accepted.push((name, weight));
            }
        }
    }
    let weight = |name: &str| {
        let named = |wanted: &str| accepted.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        named(name).map(|(_, weight)| *weight)
    };
    // Not named, an answer as it is is welcome, and less so than anything that is.
    let least = weight("identity").unwrap_or(0.0);
    let mut best = None;
    for coding in offered {
        let also = if *coding == Coding::Gzip { weight("x-gzip") } else { None };
        let weight = weight(coding.name()).or(also).or_else(|| weight("*")).unwrap_or(0.0);
        if weight > 0.0 && weight >= least && best.is_none_or(|(_, known)| weight > known) {
            best = Some((*coding, weight));
        }
    }
    best.map(|(coding, _)| coding)
}

/// Compresses one answer. What [`flush`](Self::flush) gives can be read to its last byte without what follows.
pub(super) enum Compressor {
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Gzip(GzEncoder<Vec<u8>>),
}

// Writing into a Vec cannot fail.
const INTO_MEMORY: &str = "a compressor that writes into memory does not fail";

impl Compressor {
    pub(super) fn new(coding: Coding) -> Compressor {
        match coding {
            Coding::Zstd => Compressor::Zstd(
                zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)
                    .expect("the level is one that zstd has"),
            ),
            Coding::Brotli => Compressor::Brotli(Box::new(brotli::CompressorWriter::new(
                Vec::new(),
                SLICE_BYTES,
                BROTLI_QUALITY,
                BROTLI_WINDOW,
            ))),
            Coding::Gzip => {
                Compressor::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL)))
            }
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        let written = match self {
            Compressor::Zstd(encoder) => encoder.write_all(bytes),
            Compressor::Brotli(encoder) => encoder.write_all(bytes),
            Compressor::Gzip(encoder) => encoder.write_all(bytes),
        };
        written.expect(INTO_MEMORY);
    }

    /// What was written since the last time.
    pub(super) fn flush(&mut self) -> Vec<u8> {
        match self {
            Compressor::Zstd(encoder) => {
                encoder.flush().expect(INTO_MEMORY);
                std::mem::take(encoder.get_mut())
            }
            Compressor::Brotli(encoder) => {
                encoder.flush().expect(INTO_MEMORY);
                std::mem::take(encoder.get_mut())
            }
            Compressor::Gzip(encoder) => {
                encoder.flush().expect(INTO_MEMORY);
                std::mem::take(encoder.get_mut())
            }
        }
    }

    /// What was written since the last time, and the end. Nothing may be written after it.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        match self {
            Compressor::Zstd(encoder) => {
                encoder.do_finish().expect(INTO_MEMORY);
                std::mem::take(encoder.get_mut())
            }
            Compressor::Gzip(encoder) => {
                encoder.try_finish().expect(INTO_MEMORY);
                std::mem::take(encoder.get_mut())
            }
            Compressor::Brotli(encoder) => {
                let empty = brotli::CompressorWriter::new(Vec::new(), 1, BROTLI_QUALITY, BROTLI_WINDOW);
                std::mem::replace(&mut **encoder, empty).into_inner()
            }
        }
    }
}

// By measurement (docs/operating.md): the step above each costs more than it saves; gzip's level 1 saves little.
const ZSTD_LEVEL: i32 = 1;
const GZIP_LEVEL: u32 = 2;
const BROTLI_QUALITY: u32 = 1;
/// 2^18 bytes, so that a compressor takes less than a megabyte.
const BROTLI_WINDOW: u32 = 18;

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_client_gets_what_it_likes_best_of_what_is_offered() {
        use Coding::{Brotli, Gzip, Zstd};
        for (accepted, expected) in [
            (&[][..], None),
            (&[""], None),
            (&["gzip, deflate, br, zstd"], Some(Zstd)),
            (&["gzip, deflate, br"], Some(Brotli)),
            (&["gzip", "br"], Some(Brotli)),
            (&["GZIP"], Some(Gzip)),
            (&["x-gzip"], Some(Gzip)),
            (&["gzip;q=1.0, br;q=0.5"], Some(Gzip)),
            (&["gzip ; q=0.1"], Some(Gzip)),
            (&["gzip;q=0"], None),
            (&["zstd;q=0, *"], Some(Brotli)),
            (&["*;q=0"], None),
            (&["identity"], None),
            (&["identity, gzip;q=0.5"], None),
            (&["identity;q=0.5, gzip"], Some(Gzip)),
            (&["gzip;q=what"], None),
            (&["deflate, compress"], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in accepted {
                headers.append(header::ACCEPT_ENCODING, value.parse().unwrap());
            }
            assert_eq!(negotiate(&headers, &Coding::ALL), expected, "{accepted:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, "gzip, br, zstd".parse().unwrap());
        assert_eq!(
            negotiate(&headers, &[Gzip, Zstd]),
            Some(Gzip),
            "the operator's order decides between equals"
        );
        assert_eq!(negotiate(&headers, &[]), None);
    }

    /// Reads as much as a stream that has not ended gives.
    fn read_on(coding: Coding, compressed: &[u8]) -> Vec<u8> {
        let mut reader: Box<dyn Read + '_> = match coding {
            Coding::Zstd => Box::new(zstd::stream::read::Decoder::new(compressed).unwrap()),
            Coding::Brotli => Box::new(brotli::Decompressor::new(compressed, 4096)),
            Coding::Gzip => Box::new(flate2::read::GzDecoder::new(compressed)),
        };
        let (mut text, mut piece) = (Vec::new(), [0; 1000]);
        while let Ok(read) = reader.read(&mut piece)
            && read > 0
        {
            text.extend_from_slice(&piece[..read]);
        }
        text
    }

    #[test]
    fn what_is_flushed_can_be_read_before_the_end_comes() {
        for coding in Coding::ALL {
            let mut compressor = Compressor::new(coding);
            let (mut sent, mut received) = (Vec::new(), Vec::new());
            for part in 0..20_u32 {
                let text = format!("{part} rows, ").repeat(1000 * usize::try_from(part).unwrap());
                sent.extend_from_slice(text.as_bytes());
                compressor.write(text.as_bytes());
                received.extend(compressor.flush());
                assert!(read_on(coding, &received) == sent, "{coding:?}, part {part}");
            }
            compressor.write(b"the end");
            sent.extend_from_slice(b"the end");
            received.extend(compressor.finish());
            assert!(read_on(coding, &received) == sent, "{coding:?}");
            assert!(received.len() < sent.len() / 5, "{coding:?}: {} bytes", received.len());
        }
    }
}
