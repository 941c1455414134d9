//! A pipeline of frames as the JSON of `POST /sql`.

use onetrip_wire::Limits;
use onetrip_wire::request::Request as Pipeline;
use postgres_types::{Kind as TypeKind, Type};
use serde::Serialize;

use crate::text;

/// What was asked, as far as the answer depends on it.
pub(super) struct Asked {
    statements: Vec<Query>,
    /// The statement that begins the transaction, where it has options; COMMIT then ends it.
    begin: Option<String>,
}

#[derive(Serialize)]
struct Query {
    query: String,
    params: Vec<Option<String>>,
}

#[derive(Serialize)]
struct Queries<'a> {
    queries: &'a [Query],
}

impl Asked {
    /// Reads the client's own frames.
    pub(super) fn read(frames: &[u8]) -> Result<Asked, String> {
        let pipeline = Pipeline::parse(frames, &Limits::default().frame_bytes(usize::MAX));
        let groups = match pipeline.map_err(|error| error.to_string())? {
            Pipeline::Script => {
                let sql = frames.get(5..frames.len() - 1).unwrap_or_default();
                let query = String::from_utf8_lossy(sql).into_owned();
                let statements = vec![Query { query, params: Vec::new() }];
                return Ok(Asked { statements, begin: None });
            }
            Pipeline::Pipeline(groups) => groups,
        };
        let mut statements = Vec::new();
        for statement in groups.iter().flat_map(|group| &group.statements) {
            let sql = frames.get(statement.sql.clone()).unwrap_or_default();
            let bind = frames.get(statement.bind.clone()).unwrap_or_default();
            let types = frames.get(statement.parameter_types.clone()).unwrap_or_default();
            let params = params(bind, types).ok_or("the parameters cannot be read")??;
            statements.push(Query { query: String::from_utf8_lossy(sql).into_owned(), params });
        }
        // The client puts options of a transaction around it, and nothing else begins like this.
        let is_framed = statements.first().is_some_and(|first| first.query.starts_with("begin "))
            && statements.last().is_some_and(|last| last.query == "commit");
        let begin = if is_framed {
            statements.pop();
            Some(statements.remove(0).query)
        } else {
            None
        };
        Ok(Asked { statements, begin })
    }

    /// How many statements there are, and whether a BEGIN and a COMMIT stand around them.
    pub(super) fn shape(&self) -> (usize, bool) {
        (self.statements.len(), self.begin.is_some())
    }

    /// Whether the answer is one of several results.
    pub(super) fn is_batch(&self) -> bool {
        self.begin.is_some() || self.statements.len() > 1
    }

    pub(super) fn body(&self) -> Result<Vec<u8>, serde_json::Error> {
        match self.statements.as_slice() {
            [only] if !self.is_batch() => serde_json::to_vec(only),
            queries => serde_json::to_vec(&Queries { queries }),
        }
    }

    /// The options of the transaction.
    pub(super) fn headers(&self) -> Vec<(&'static str, String)> {
        let Some(begin) = &self.begin else { return Vec::new() };
        let mut headers = Vec::new();
        for (words, name, value) in [
            ("read uncommitted", "neon-batch-isolation-level", "ReadUncommitted"),
            ("read committed", "neon-batch-isolation-level", "ReadCommitted"),
            ("repeatable read", "neon-batch-isolation-level", "RepeatableRead"),
            ("serializable", "neon-batch-isolation-level", "Serializable"),
            ("read only", "neon-batch-read-only", "true"),
            ("read write", "neon-batch-read-only", "false"),
        ] {
            if begin.contains(words) {
                headers.push((name, value.to_owned()));
            }
        }
        if begin.contains("deferrable") {
            headers.push(("neon-batch-deferrable", (!begin.contains("not deferrable")).to_string()));
        }
        headers
    }
}

/// The parameters of a Bind frame as text. `None` where the frame is corrupt, which the client's own never is.
fn params(bind: &[u8], types: &[u8]) -> Option<Result<Vec<Option<String>>, String>> {
    fn u16(rest: &mut &[u8]) -> Option<u16> {
        let (first, after) = rest.split_first_chunk()?;
        *rest = after;
        Some(u16::from_be_bytes(*first))
    }
    // Tag, length, and the empty names of portal and statement.
    let mut rest = bind.get(7..)?;
    let formats: Vec<u16> = (0..u16(&mut rest)?).map(|_| u16(&mut rest)).collect::<Option<_>>()?;
    let count = u16(&mut rest)?;
    let mut params = Vec::with_capacity(count.into());
    for index in 0..usize::from(count) {
        let (len, after) = rest.split_first_chunk()?;
        let Ok(len) = usize::try_from(i32::from_be_bytes(*len)) else {
            rest = after;
            params.push(None);
            continue;
        };
        let (value, after) = after.split_at_checked(len)?;
        rest = after;
        let oid = types.get(4 * index..)?.first_chunk().map(|oid| u32::from_be_bytes(*oid))?;
        let is_text = formats.get(index).or(formats.first()).is_none_or(|format| *format == 0);
        let text = match Type::from_oid(oid) {
            _ if is_text => std::str::from_utf8(value).ok().map(str::to_owned),
            Some(type_) => text::text(&type_, value),
            // A type that the client was told of; what is derived for an enum writes its label.
            None => {
                let label = Type::new(String::new(), oid, TypeKind::Enum(Vec::new()), String::new());
                text::text(&label, value).filter(|label| !label.contains('\0'))
            }
        };
        match text {
            Some(text) => params.push(Some(text)),
            None => {
                return Some(Err(format!(
                    "parameter ${} has no text form, which this endpoint needs: send it as text",
                    index + 1
                )));
            }
        }
    }
    Some(Ok(params))
}
