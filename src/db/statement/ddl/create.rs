//! CREATE TABLE, CREATE STREAM, CREATE INDEX.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::{Definer, Proposal, expect_kind, options};
use crate::base::domain::Domain;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::time::zone::Zone;
use crate::base::types::canonical_schema;
use crate::base::wording::reword;
use crate::catalog::delta::{CatalogChange, CatalogDelta};
use crate::catalog::relation::{Relation, RelationId, RelationKind, Watermark};
use crate::db::names::{column_of, resolve};
use crate::db::table::prepare_keys_of;
use crate::db::value::assign_in;
use crate::db::version::Version;
use crate::db::write::Write;
use crate::sql::statement::{CreateIndex, CreateKind, CreateRelation};

impl Definer {
    pub(super) fn create_relation(&self, version: &Arc<Version>, create: &CreateRelation) -> Result<Proposal> {
        if create.kind == CreateKind::Source || create.options.get("connector").is_some() {
            return self.create_source(version, create);
        }
        let name = create.name.in_main()?;
        let kind = if create.kind == CreateKind::Table { RelationKind::Table } else { RelationKind::Stream };
        let notices = options::check(kind, name, &create.options)?;
        let old = version.catalog.get(name);
        if old.is_some() && create.if_not_exists {
            return Ok(Proposal::notice(format!("\"{}\" exists already", create.name)));
        }
        if !create.or_replace {
            version.catalog.expect_free(name)?;
        }
        let mut proposal = Proposal { notices, ..Proposal::default() };
        let reader = self.reader(version);
        let query = create.query.as_ref().map(|query| reader.plan(query)).transpose()?;
        let columns = query.as_ref().map(|query| (query.schema.clone(), query.domains.clone()));
        let relation = define_relation(create, columns, self.shared.new_relation_id())?;
        for (place, column) in create.columns.iter().enumerate() {
            if let Some(default) = &column.default {
                self.check_default(version, &relation, place, default.expression.clone())?;
            }
        }
        if relation.watermark.is_some() {
            let name = &relation.name;
            proposal.notices.push(format!(
                "the watermark of \"{name}\" is kept but does not move yet: no row is late, no window closes"
            ));
        }
        let mut changes = Vec::new();
        if let Some(old) = old {
            changes.push(replaced(version, old, relation.kind)?);
        }
        if let Some(query) = &query {
            proposal.reads = version.catalog.bases(query.relations.iter().copied());
            let mut spool = self.shared.spool(&relation);
            for batch in reader.stream(query)? {
                spool.push(conform(&batch?, &relation, &self.parameters.zone)?)?;
            }
            let rows = spool.finish()?;
            prepare_keys_of(&relation, &rows, &self.interrupt)?;
            proposal.writes = vec![Write::of(&relation, rows)];
        }
        changes.push(CatalogChange::Define(Arc::new(relation)));
        proposal.delta = CatalogDelta::from(changes);
        Ok(proposal)
    }

    pub(super) fn create_index(&self, version: &Arc<Version>, create: &CreateIndex) -> Result<Proposal> {
        let catalog = &version.catalog;
        let mut relation = resolve(catalog, &create.relation)?.as_ref().clone();
        expect_kind(&relation, &[RelationKind::Table, RelationKind::Stream, RelationKind::MaterializedView])?;
        let names: Vec<String> = create.columns.iter().map(|column| column.name.clone()).collect();
        let columns = columns_of(&relation, &names)?;
        let name = create.name.clone().unwrap_or_else(|| format!("{}_{}_idx", relation.name, names.join("_")));
        let taken = catalog.relations().any(|r| r.indexes.iter().chain(&r.unique).any(|(other, _)| *other == name));
        if taken {
            return match create.if_not_exists {
                true => Ok(Proposal::notice(format!("index \"{name}\" exists already"))),
                false => Err(Error::new(ErrorKind::AlreadyExists, format!("index \"{name}\" already exists"))),
            };
        }
        let mut reads = BTreeSet::new();
        if create.unique {
            if relation.kind == RelationKind::MaterializedView {
                return Err(Error::invalid("a UNIQUE index needs a table or stream").with_sqlstate("42809"));
            }
            relation.unique.push((name, columns));
            reads.insert(relation.id);
        } else {
            relation.indexes.push((name, columns));
        }
        Ok(Proposal { reads, ..Proposal::of(vec![CatalogChange::Define(Arc::new(relation))]) })
    }
}

/// What becomes of a relation in whose place another is created.
pub(super) fn replaced(version: &Version, old: &Relation, kind: RelationKind) -> Result<CatalogChange> {
    expect_kind(old, &[kind])?;
    match version.catalog.dependents(old.id).next() {
        Some(reader) => {
            let (kind, reader) = (reader.kind.name(), &reader.name);
            let message = format!("{kind} \"{reader}\" reads \"{}\"", old.name);
            Err(Error::new(ErrorKind::Dependency, message).with_hint("drop it first"))
        }
        None => Ok(CatalogChange::Drop(old.id)),
    }
}

/// The columns of a query and their rules.
type QueryColumns = (SchemaRef, Vec<Option<Domain>>);

pub(super) fn define_relation(
    create: &CreateRelation,
    query: Option<QueryColumns>,
    id: RelationId,
) -> Result<Relation> {
    let kind = if create.kind == CreateKind::Table { RelationKind::Table } else { RelationKind::Stream };
    let schema = canonical_schema(&Schema::new(fields_of(create, query.as_ref().map(|(schema, _)| schema))?));
    let domains: Vec<Option<Domain>> = match query {
        Some((_, domains)) if create.columns.is_empty() => domains,
        _ => create.columns.iter().map(|column| column.domain).collect(),
    };
    let mut relation = Relation::new(id, create.name.in_main()?, kind, schema).with_domains(domains);
    relation.defaults = create.columns.iter().map(|c| c.default.as_ref().map(|text| text.text.clone())).collect();
    relation.defaults.resize(relation.schema.fields().len(), None);
    relation.primary_key = columns_of(&relation, &create.primary_key)?;
    for columns in &create.unique {
        let columns = columns_of(&relation, columns)?;
        relation.unique.push((relation.key_name(&columns), columns));
    }
    if kind == RelationKind::Stream && !relation.primary_key.is_empty() {
        return Err(Error::invalid(format!("stream \"{}\" cannot have a PRIMARY KEY", relation.name))
            .with_hint("a stream keeps every row it is given; use a TABLE for rows that replace each other"));
    }
    // Rows of the primary key are never NULL, and the event time of a stream is not either.
    let mut required: BTreeSet<usize> = relation.primary_key.iter().copied().collect();
    if let Some(watermark) = &create.watermark {
        let column = column_of(&relation, &watermark.column)?;
        let data_type = relation.schema.field(column).data_type();
        if !matches!(data_type, DataType::Timestamp(..)) {
            return Err(Error::new(
                ErrorKind::Type,
                format!("the watermark column \"{}\" must be a TIMESTAMP", watermark.column),
            ));
        }
        required.insert(column);
        relation.watermark = Some(Watermark { column, expression: watermark.expression.text.clone() });
    }
    relation.options = create.options.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    let fields = relation.schema.fields().iter().enumerate();
    let fields = fields.map(|(n, f)| f.as_ref().clone().with_nullable(f.is_nullable() && !required.contains(&n)));
    relation.schema = Arc::new(Schema::new(fields.collect::<Vec<Field>>()));
    Ok(relation)
}

/// The columns as declared, or the query's where none are.
fn fields_of(create: &CreateRelation, query: Option<&SchemaRef>) -> Result<Vec<Field>> {
    let fields: Vec<Field> = match (query, create.columns.is_empty()) {
        (Some(schema), true) => schema.fields().iter().map(|field| stored(field)).collect(),
        (Some(schema), false) if schema.fields().len() != create.columns.len() => {
            return Err(Error::invalid(format!(
                "\"{}\" declares {} columns but its query has {}",
                create.name,
                create.columns.len(),
                schema.fields().len()
            )));
        }
        _ => create.columns.iter().map(|c| Field::new(&c.name, c.data_type.clone(), c.nullable)).collect(),
    };
    if fields.is_empty() {
        return Err(Error::invalid(format!("\"{}\" has no columns", create.name)).with_sqlstate("42601"));
    }
    for (position, field) in fields.iter().enumerate() {
        if fields[..position].iter().any(|other| other.name() == field.name()) {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("column \"{}\" is declared twice", field.name()))
                .with_sqlstate("42701"));
        }
    }
    Ok(fields)
}

/// A column of a query as one of a relation: what is NULL and nothing else is TEXT, as in PostgreSQL.
fn stored(field: &Field) -> Field {
    let field = field.clone().with_nullable(true);
    if field.data_type().is_null() { field.with_data_type(DataType::Utf8View) } else { field }
}

fn columns_of(relation: &Relation, names: &[String]) -> Result<Vec<usize>> {
    names.iter().map(|name| column_of(relation, name)).collect()
}

/// A query's batch as rows of a relation of the same width.
fn conform(batch: &RecordBatch, relation: &Relation, zone: &Zone) -> Result<RecordBatch> {
    let schema = &relation.schema;
    let columns = batch.columns().iter().zip(schema.fields()).enumerate().map(|(column, (array, field))| {
        let stored = assign_in(array, field.data_type(), relation.domain(column), zone);
        stored.map_err(|error| error.context(format!("column \"{}\"", field.name())))
    });
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns.collect::<Result<_>>()?, &options)
        .map_err(|error| Error::new(ErrorKind::Constraint, reword(&error.to_string())).with_sqlstate("23502"))
}
