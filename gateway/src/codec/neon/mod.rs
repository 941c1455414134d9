//! The codec of profile 2 (PROTOCOL.md section 7): requests of Neon's SQL over HTTP into frames, frames into its JSON.

mod answer;
mod connection_string;
mod error;
mod headers;
mod parameter;
mod request;
mod types;
mod value;

pub(crate) use answer::{AnswerEncoder, Progress};
pub(crate) use connection_string::ConnectionString;
pub(crate) use error::SqlError;
pub(crate) use headers::{ALLOWED_HEADERS, CONNECTION_STRING, RequestHeaders};
pub(crate) use request::decode;
pub(crate) use types::Types;

#[cfg(test)]
mod tests {
    //! Mutated input into everything here that reads what strangers send: an answer or a refusal, and never a panic.

    use std::sync::Arc;

    use bytes::Bytes;
    use onetrip_wire::encoder::Batch;

    use super::value::Shape;
    use super::*;
    use crate::session_settings::SessionSettings;

    /// Xorshift: the same input in each run.
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 % u64::try_from(limit.max(1)).unwrap()).unwrap()
        }

        fn mutated(&mut self, seed: &[u8]) -> Vec<u8> {
            let mut bytes = seed.to_vec();
            for _ in 0..=self.below(5) {
                let at = self.below(bytes.len() + 1);
                match self.below(4) {
                    0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                    1 if at < bytes.len() => drop(bytes.remove(at)),
                    2 => bytes.truncate(at),
                    _ => {
                        let words: [&[u8]; 10] =
                            [b"{", b"}", b"\"", b"\\", b"[", b"%", b",", b"=", b"\0", b"\xff\xff\xff\xff"];
                        let word = words[self.below(words.len())];
                        drop(bytes.splice(at..at, word.iter().copied()));
                    }
                }
            }
            bytes
        }
    }

    #[test]
    fn mutated_requests_are_read_or_refused() {
        let mut random = Random(7);
        let bodies: [&[u8]; 3] = [
            br#"{"query":"select $1","params":["a",1.5,null,[1,["x\"y"]],{"k":[{}]}],"arrayMode":true}"#,
            br#"{"queries":[{"query":"a","params":[]},{"query":"b\u0041","params":[[[]]]}]}"#,
            br#"{"query":"\ud83d\ude00","params":[true,"\\"]}"#,
        ];
        let string = b"postgresql://a%40:b%20@h:5/db%2F?options=-c%20a%3Db\\%20--c-d=e&search_path=x&application_name=y";
        for round in 0..60_000 {
            let body = random.mutated(bodies[round % bodies.len()]);
            let read = decode(&body, &RequestHeaders::default(), SessionSettings::default());
            if let Ok(request) = read {
                let limits = onetrip_wire::Limits::default();
                let parsed = onetrip_wire::request::Request::parse(&request.pipeline.frames, &limits);
                assert!(
                    parsed.is_ok() || request.array_rows.is_empty(),
                    "{}",
                    String::from_utf8_lossy(&body)
                );
            }
            let text = String::from_utf8_lossy(&random.mutated(string)).into_owned();
            if let Ok(parsed) = ConnectionString::parse(&text) {
                assert!(!parsed.role.is_empty() && !parsed.role.contains('\0'));
                let _ = parsed.settings.frames();
            }
        }
    }

    #[test]
    fn mutated_values_become_json_whatever_they_are() {
        let mut random = Random(11);
        let seeds: [&[u8]; 5] = [
            b"{1,NULL,3}",
            b"[0:1][1:2]={{a,\"b\\\"c\"},{\"\",NULL}}",
            b"{(1,1),(0,0);(2,2),(1,1)}",
            b"{t,f}",
            b"1 2 3",
        ];
        // No numbers and no JSON: what PostgreSQL says is one is taken for one.
        for round in 0..60_000 {
            let text = random.mutated(seeds[round % seeds.len()]);
            for type_oid in [1000, 1009, 1020, 30, 1013] {
                let mut out = Vec::new();
                Shape::of_built_in(type_oid).unwrap().write(&text, &mut out);
                let read: Result<serde_json::Value, _> = serde_json::from_slice(&out);
                assert!(read.is_ok(), "{type_oid} {text:?}: {}", String::from_utf8_lossy(&out));
            }
        }
    }

    #[test]
    fn mutated_answers_are_written_or_refused() {
        let mut random = Random(13);
        let mut answer = Vec::new();
        answer.extend_from_slice(
            b"1\0\0\0\x042\0\0\0\x04T\0\0\0\x1a\0\x01n\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0",
        );
        answer.extend_from_slice(b"D\0\0\0\x0b\0\x01\0\0\0\x017C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I");
        for round in 0..30_000u32 {
            let batch = if round % 2 == 0 { Batch::Single } else { Batch::Many };
            let mut encoder = AnswerEncoder::new(batch, vec![round % 3 == 0], false, Arc::default(), 1 << 20);
            if encoder.push(Bytes::from(random.mutated(&answer))).is_ok() {
                encoder.guess_types();
                let _ = encoder.advance();
                encoder.finish();
                let _ = encoder.error().map(SqlError::json);
            }
        }
    }
}
