//! CREATE SOURCE: a stream that a connector feeds.
//!
//! Everything that can be known to be wrong is refused here: connectors and options that do not exist, values that mean
//! nothing, directories that are not there or not allowed. What goes wrong later is seen in `eddy.sources`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::create::{define_relation, replaced};
use super::{Definer, Proposal, options};
use crate::base::error::{Error, Result};
use crate::catalog::delta::{CatalogChange, CatalogDelta};
use crate::catalog::relation::{DEAD_LETTERS, Relation, RelationKind};
use crate::connector::file::options::{FileSourceOptions, Format};
use crate::db::pump::connect;
use crate::db::system::dead_letter_columns;
use crate::db::version::Version;
use crate::sql::statement::{CreateKind, CreateRelation};

impl Definer {
    pub(super) fn create_source(&self, version: &Arc<Version>, create: &CreateRelation) -> Result<Proposal> {
        refuse_what_has_no_place(create)?;
        let name = create.name.in_main()?;
        let mut file = connect::checked(&create.options, &options::STREAM)?;
        let old = version.catalog.get(name);
        if old.is_some() && create.if_not_exists {
            return Ok(Proposal::notice(format!("\"{}\" exists already", create.name)));
        }
        if !create.or_replace {
            version.catalog.expect_free(name)?;
        }
        let access = &self.shared.access;
        let waits = connect::look(&file, access).map_err(|error| create.options.locate("path", error))?;
        file.read.zone = self.parameters.zone;
        let columns = match create.columns.is_empty() {
            true => Some((self.columns_of(&file)?, Vec::new())),
            false => None,
        };
        let mut relation = define_relation(create, columns, self.shared.new_relation_id())?;
        check_text(&file, &relation).map_err(|error| create.options.locate("format", error))?;
        if !file.is_stdin() {
            // It is read from wherever the database is opened next.
            let path = std::path::absolute(&file.path)?;
            relation.options.insert("path".to_string(), path.to_string_lossy().into_owned());
        }
        relation.settings = self.settings.clone();
        let mut changes = Vec::new();
        if version.catalog.get(DEAD_LETTERS).is_none() {
            let id = self.shared.new_relation_id();
            let stream = Relation::new(id, DEAD_LETTERS, RelationKind::Stream, dead_letter_columns());
            changes.push(CatalogChange::Define(Arc::new(stream)));
        }
        if let Some(old) = old {
            changes.push(replaced(version, old, relation.kind)?);
        }
        changes.push(CatalogChange::Define(Arc::new(relation)));
        let mut notices: Vec<String> = waits.into_iter().collect();
        if let Some(key) = options::STREAM.into_iter().find(|key| create.options.get(key).is_some()) {
            notices.push(format!("the option {key} of \"{name}\" is kept but does nothing yet"));
        }
        Ok(Proposal { delta: CatalogDelta::from(changes), notices, ..Proposal::default() })
    }

    /// The columns of the files; lines of text are one.
    fn columns_of(&self, file: &FileSourceOptions) -> Result<SchemaRef> {
        let line = || Arc::new(Schema::new(vec![Field::new("line", DataType::Utf8View, true)]));
        Ok(connect::columns(file, &self.shared.access)?.unwrap_or_else(line))
    }
}

/// A record has one place only: in the columns that it names, whatever came before it.
fn refuse_what_has_no_place(create: &CreateRelation) -> Result<()> {
    let refuse = |what: &str, hint: &str| Err(Error::unsupported(format!("{what} a source")).with_hint(hint));
    if create.kind == CreateKind::Table {
        let hint = "CREATE SOURCE makes a stream; a connector that deletes rows does not exist yet";
        return Err(Error::unsupported("a table cannot be fed by a connector").with_hint(hint));
    }
    if create.query.is_some() {
        return refuse("AS and a query do not make", "CREATE MATERIALIZED VIEW .. AS keeps a query over a source");
    }
    if !create.primary_key.is_empty() || !create.unique.is_empty() {
        let hint = "a record that repeats a key would have no place; a view with DISTINCT ON keeps one of each";
        return refuse("keys are not enforced on", hint);
    }
    match create.columns.iter().find(|column| column.default.is_some()) {
        Some(column) => {
            let error = Error::unsupported("a column of a source has no DEFAULT");
            let error = error.with_hint("what a record lacks is NULL: use coalesce in a view over the source");
            Err(match column.position {
                Some(position) => error.at(position),
                None => error,
            })
        }
        None => Ok(()),
    }
}

/// Lines of text have one column to go to.
fn check_text(file: &FileSourceOptions, relation: &Relation) -> Result<()> {
    let fields = relation.schema.fields();
    match file.format == Format::Text && (fields.len() != 1 || *fields[0].data_type() != DataType::Utf8View) {
        true => {
            let error = Error::invalid("a source of text has one column, of type TEXT").with_sqlstate("22023");
            Err(error.with_hint("format = 'csv' or 'ndjson' reads lines into several columns"))
        }
        false => Ok(()),
    }
}
