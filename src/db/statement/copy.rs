//! COPY in both directions: a relation from a file, a file from a relation or query.
//!
//! The readers and writers are `connector`'s; this file hands SQL's options to them.

use std::sync::Arc;

use crate::base::error::Result;
use crate::base::limits::Interrupt;
use crate::base::time::zone::Zone;
use crate::catalog::relation::Relation;
use crate::connector::options::{OptionValue, ReadOptions, WriteOptions};
use crate::connector::relation;
use crate::connector::writer;
use crate::db::names::column_of;
use crate::db::outcome::Outcome;
use crate::db::read::Reader;
use crate::db::session::Session;
use crate::db::shared::Shared;
use crate::db::statement::dml::Dml;
use crate::db::statement::modify::modify;
use crate::plan::context::Parameters;
use crate::plan::source::RowIterator;
use crate::sql::options::Options;
use crate::sql::statement::{CopyFrom, CopyTo};
use crate::sql::type_named;

/// COPY FROM: inserts the rows of a file, read into the types of the columns they are for.
pub fn copy_from(session: &mut Session, from: &CopyFrom, parameters: &Parameters) -> Result<Outcome> {
    modify(session, Dml::Copy(Box::new(from.clone())), parameters)
}

/// The rows of a file, read for the columns of a relation, and how many columns they have; times without a zone stand
/// in `zone`.
pub fn read_for(
    shared: &Shared,
    copy: &CopyFrom,
    relation: &Relation,
    zone: Zone,
    interrupt: &Interrupt,
) -> Result<(usize, RowIterator)> {
    let target = match copy.columns.is_empty() {
        true => relation.schema.clone(),
        false => {
            let columns = copy.columns.iter().map(|name| column_of(relation, name)).collect::<Result<Vec<_>>>()?;
            Arc::new(relation.schema.project(&columns)?)
        }
    };
    let mut options = ReadOptions::default();
    each(&copy.options, |key, value| options.set(key, value, type_named))?;
    (options.interrupt, options.zone) = (Some(interrupt.clone()), zone);
    let file = relation::open_with_schema(&copy.path, None, &options, &target, false, &shared.access)?;
    Ok((target.fields().len(), file.read(None, 1 << 16)?))
}

/// COPY TO: writes a relation or query to a file; returns the rows.
pub fn copy_to(reader: &Reader<'_>, copy: &CopyTo) -> Result<u64> {
    let planned = reader.plan(&reader.query_of(&copy.source)?)?;
    let mut options = WriteOptions::default();
    each(&copy.options, |key, value| options.set(key, value))?;
    let batches = reader.stream(&planned)?;
    writer::write(&copy.path, None, &options, &planned.schema, batches, &reader.shared.access)
}

/// Sets each option of COPY; an error gets its place.
fn each(options: &Options, mut set: impl FnMut(&str, &OptionValue) -> Result<()>) -> Result<()> {
    options.iter().try_for_each(|(key, value)| {
        set(key, &OptionValue::Text(value.to_string())).map_err(|error| options.locate(key, error))
    })
}
