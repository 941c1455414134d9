//! Types that are not built in: what a client knows of them, and the question that finds out.

use std::sync::Arc;

use postgres_types::{Field, Kind as TypeKind, Oid, Type};

use crate::{Client, Error, Row};

/// The types of these names and all that they are made of, with the arrays of each, in one query.
const CLOSURE: &str = "with recursive known(oid) as (
    select to_regtype(name)::oid from unnest($1::text[]) name
    union
    select related.oid from known join pg_catalog.pg_type t on t.oid = known.oid cross join lateral (
        select t.typarray union select t.typelem union select t.typbasetype
        union select r.rngsubtype from pg_catalog.pg_range r where r.rngtypid = t.oid
        union select a.atttypid from pg_catalog.pg_attribute a
            where t.typrelid <> 0 and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
    ) related(oid) where related.oid >= 16384)
select t.oid, t.typname, n.nspname, t.typtype, t.typbasetype, r.rngsubtype,
    case when t.typcategory = 'A' then t.typelem else 0 end,
    array(select e.enumlabel::text from pg_catalog.pg_enum e where e.enumtypid = t.oid order by e.enumsortorder),
    array(select a.attname::text from pg_catalog.pg_attribute a where t.typrelid <> 0 and a.attrelid = t.typrelid
        and a.attnum > 0 and not a.attisdropped order by a.attnum),
    array(select a.atttypid from pg_catalog.pg_attribute a where t.typrelid <> 0 and a.attrelid = t.typrelid
        and a.attnum > 0 and not a.attisdropped order by a.attnum)
from known join pg_catalog.pg_type t on t.oid = known.oid
    join pg_catalog.pg_namespace n on n.oid = t.typnamespace
    left join pg_catalog.pg_range r on r.rngtypid = t.oid";

/// Types do not contain each other deeper than this.
const DEPTH_LIMIT: usize = 32;

/// Asks for the types of these names, as `mood` or `public.mood`, and for what they are made of.
pub(crate) async fn look_up(client: &Client, names: &[&str]) -> Result<Vec<Type>, Error> {
    let (missing, rows) = client
        .transaction()
        .query("select name from unnest($1::text[]) name where to_regtype(name) is null", &[&names])
        .query(CLOSURE, &[&names])
        .commit()
        .await?;
    if let Some(missing) = missing.first() {
        let name: &str = missing.try_get(0)?;
        return Err(Error::usage(format!(
            "there is no type \"{name}\" on the search path of the role; write it as schema.name"
        )));
    }
    let entries = rows.iter().map(Entry::read).collect::<Result<Vec<Entry>, Error>>()?;
    Ok(entries.iter().filter_map(|entry| entry.build(&entries, DEPTH_LIMIT)).collect())
}

/// A type that is known beside the built-in ones. What a `Type` tells by tables of all of them (kilobytes of wasm) is asked
/// once, and only where there is one.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) type_: Arc<Type>,
    pub(crate) oid: Oid,
    pub(crate) is_array: bool,
}

impl Known {
    pub(crate) fn new(type_: Type) -> Known {
        let (oid, is_array) = (type_.oid(), matches!(type_.kind(), TypeKind::Array(_)));
        Known { type_: Arc::new(type_), oid, is_array }
    }
}

/// Known types and others, without those that they replace.
pub(crate) fn merged(known: &[Known], more: impl IntoIterator<Item = Type>) -> Arc<Vec<Known>> {
    let mut types: Vec<Known> = more.into_iter().map(Known::new).collect();
    let is_new = |known: &&Known| {
        let type_ = &known.type_;
        let is_same = |other: &Type| other.name() == type_.name() && other.schema() == type_.schema();
        !types.iter().any(|other| is_same(&other.type_))
    };
    let old: Vec<Known> = known.iter().filter(is_new).cloned().collect();
    types.extend(old);
    Arc::new(types)
}

/// A row of the catalogue.
struct Entry {
    oid: Oid,
    name: String,
    schema: String,
    category: i8,
    base: Oid,
    range_of: Option<Oid>,
    element: Oid,
    labels: Vec<String>,
    fields: Vec<(String, Oid)>,
}

impl Entry {
    fn read(row: &Row) -> Result<Entry, Error> {
        let (names, oids): (Vec<String>, Vec<Oid>) = (row.try_get(8)?, row.try_get(9)?);
        Ok(Entry {
            oid: row.try_get(0)?,
            name: row.try_get(1)?,
            schema: row.try_get(2)?,
            category: row.try_get(3)?,
            base: row.try_get(4)?,
            range_of: row.try_get(5)?,
            element: row.try_get(6)?,
            labels: row.try_get(7)?,
            fields: names.into_iter().zip(oids).collect(),
        })
    }

    /// `None` where it is made of something that is neither built in nor among the entries.
    fn build(&self, entries: &[Entry], depth: usize) -> Option<Type> {
        let part = |oid: Oid| {
            Type::from_oid(oid).or_else(|| {
                entries.iter().find(|entry| entry.oid == oid)?.build(entries, depth.checked_sub(1)?)
            })
        };
        let kind = match self.category.unsigned_abs() {
            b'e' => TypeKind::Enum(self.labels.clone()),
            b'd' => TypeKind::Domain(part(self.base)?),
            b'r' => TypeKind::Range(part(self.range_of?)?),
            b'c' => {
                let fields =
                    self.fields.iter().map(|(name, oid)| Some(Field::new(name.clone(), part(*oid)?)));
                TypeKind::Composite(fields.collect::<Option<_>>()?)
            }
            _ if self.element != 0 => TypeKind::Array(part(self.element)?),
            _ => TypeKind::Simple,
        };
        Some(Type::new(self.name.clone(), self.oid, kind, self.schema.clone()))
    }
}
