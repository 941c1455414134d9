//! The types of one database that PostgreSQL did not number itself: which of them are arrays, and of what.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use onetrip_wire::backend::{Values, tag};
use onetrip_wire::encoder::Batch;
use onetrip_wire::frontend::{self, Format, Parameter, Statement};
use onetrip_wire::representation::Representation;
use onetrip_wire::{Error, Limits, frame};

use super::value::Shape;
use crate::codec::Pipeline;
use crate::session_settings::SessionSettings;

/// How many types are remembered; over it all are forgotten.
const TYPES_LIMIT: usize = 10_000;

/// How long they are remembered: a type that was dropped may leave its OID to another.
const LIFETIME: Duration = Duration::from_secs(600);

/// What is known of one database's types.
#[derive(Default)]
pub(crate) struct Types(RwLock<HashMap<u32, (Shape, Instant)>>);

impl Types {
    /// How values of a type are written; `None` where the database has to be asked.
    pub(crate) fn shape(&self, type_oid: u32) -> Option<Shape> {
        if let Some(shape) = Shape::of_built_in(type_oid) {
            return Some(shape);
        }
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&type_oid).filter(|(_, at)| at.elapsed() < LIFETIME).map(|(shape, _)| *shape)
    }

    /// Asks what `type_oids` are.
    pub(crate) fn question(type_oids: &[u32]) -> Pipeline {
        let list: Vec<String> = type_oids.iter().map(u32::to_string).collect();
        let list = format!("{{{}}}", list.join(","));
        let parameters = [Parameter { type_oid: 0, format: Format::Text, value: Some(list.as_bytes()) }];
        let statement = Statement {
            sql: "select oid, typelem, typdelim from pg_catalog.pg_type \
                  where oid operator(pg_catalog.=) any ($1::pg_catalog.oid[]) \
                  and typcategory operator(pg_catalog.=) 'A' and typelem operator(pg_catalog.<>) 0",
            parameters: &parameters,
            result_format: Format::Text,
        };
        let mut frames = Vec::new();
        frontend::statement(&mut frames, &statement).expect("the SQL is ours and the list is short");
        frontend::sync(&mut frames);
        Pipeline {
            frames: Bytes::from(frames),
            groups: 1,
            script: false,
            batch: Batch::Single,
            representation: Representation::Frames,
            transaction: Bytes::new(),
            settings: SessionSettings::default(),
        }
    }

    /// Reads the answer to [`question`](Self::question). Types that are not in it are no arrays.
    pub(crate) fn learn(&self, type_oids: &[u32], answer: &[u8], limits: &Limits) -> Result<(), Error> {
        let mut shapes: HashMap<u32, Shape> =
            type_oids.iter().map(|type_oid| (*type_oid, Shape::TEXT)).collect();
        let mut rest = answer;
        while let Some(frame) = frame::first(rest, limits)? {
            rest = rest.get(frame.frame_len()..).unwrap_or_default();
            if frame.tag != tag::DATA_ROW {
                continue;
            }
            let values = Values::new(frame.body)?.collect::<Result<Vec<_>, _>>()?;
            let number = |index: usize| -> Option<u32> {
                std::str::from_utf8(values.get(index).copied().flatten()?).ok()?.parse().ok()
            };
            let delimiter = values.get(2).copied().flatten().and_then(|text| text.first().copied());
            if let (Some(array), Some(element), Some(delimiter)) = (number(0), number(1), delimiter) {
                shapes.insert(array, Shape::array_of(element, delimiter));
            }
        }
        self.remember(shapes);
        Ok(())
    }

    fn remember(&self, shapes: HashMap<u32, Shape>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() + shapes.len() > TYPES_LIMIT {
            known.clear();
        }
        let now = Instant::now();
        known.extend(shapes.into_iter().map(|(type_oid, shape)| (type_oid, (shape, now))));
    }
}
