//! COPY in both directions: a relation from a file, a file from a relation or query.
//!
//! The readers and writers are `connector`'s; this file hands SQL's options to them.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::base::error::Result;
use crate::base::time::zone::Zone;
use crate::catalog::definitions::Catalog;
use crate::connector::options::{OptionValue, ReadOptions, WriteOptions};
use crate::connector::relation;
use crate::connector::writer;
use crate::db::names::{column_of, writable};
use crate::db::outcome::Outcome;
use crate::db::read::Reader;
use crate::db::session::Session;
use crate::db::statement::dml::Dml;
use crate::db::statement::modify::modify;
use crate::plan::context::Parameters;
use crate::sql::options::Options;
use crate::sql::statement::{CopyFrom, CopyTo};
use crate::sql::type_named;

/// COPY FROM: inserts the rows of a file, read into the types of the columns they are for.
pub fn copy_from(session: &mut Session, from: &CopyFrom, parameters: &Parameters) -> Result<Outcome> {
    let target = target_of(&session.version().catalog, from)?;
    let batches = read_for(session, from, &target, parameters.zone)?;
    modify(session, Dml::Copy(from.relation.clone(), from.columns.clone(), batches), parameters)
}

/// The columns that a file is read for.
fn target_of(catalog: &Catalog, copy: &CopyFrom) -> Result<SchemaRef> {
    let relation = writable(catalog, &copy.relation)?;
    if copy.columns.is_empty() {
        return Ok(relation.schema.clone());
    }
    let columns = copy.columns.iter().map(|name| column_of(&relation, name)).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(relation.schema.project(&columns)?))
}

/// The rows of the file; times without a zone stand in `zone`.
fn read_for(session: &Session, copy: &CopyFrom, target: &SchemaRef, zone: Zone) -> Result<Vec<RecordBatch>> {
    let mut options = ReadOptions::default();
    each(&copy.options, |key, value| options.set(key, value, type_named))?;
    let interrupt = &session.interrupt;
    (options.interrupt, options.zone) = (Some(interrupt.clone()), zone);
    let relation = relation::open_with_schema(&copy.path, None, &options, target, false, &session.shared.access)?;
    relation.read(None, 1 << 16)?.map(|batch| interrupt.check().and(batch)).collect()
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
