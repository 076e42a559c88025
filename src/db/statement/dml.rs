//! INSERT, UPDATE, DELETE, TRUNCATE and COPY FROM: from a statement to plain writes.
//!
//! [`Modification::writes`] is a pure function of a version (and an open transaction's overlay), so the door can run
//! it again when what it read has changed. It never touches state.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use roaring::RoaringTreemap;
use sqlparser::ast::{self, Spanned};

use crate::base::access::PathKind;
use crate::base::change::Weights;
use crate::base::error::{Error, Result};
use crate::base::limits::Interrupt;
use crate::base::time::zone::Zone;
use crate::batch::scan::Snapshots;
use crate::catalog::definitions::Catalog;
use crate::catalog::relation::{Relation, RelationId};
use crate::db::commit::Payload;
use crate::db::names::{column_of, mutable, writable};
use crate::db::read::Reader;
use crate::db::rows::first_row_ids;
use crate::db::shared::Shared;
use crate::db::statement::copy::read_for;
use crate::db::statement::literals;
use crate::db::table::not_null_violation;
use crate::db::transaction::Overlays;
use crate::db::value::assign_in;
use crate::db::version::Version;
use crate::db::write::{Replacer, Upsert, Write};
use crate::plan::context::Parameters;
use crate::sql;
use crate::sql::error::{located, position};
use crate::sql::name::Name;
use crate::sql::statement::{
    Assignment, ConflictAction, CopyFrom, Delete, Insert, InsertSource, OnConflict, Update, is_default,
};
use crate::sql::walk::{expressions_mut, relations};
use crate::state::row_arena::RowArena;
use crate::storage::spool::{Rows, Spool};

/// A statement that changes rows.
#[derive(Clone)]
pub enum Dml {
    /// INSERT.
    Insert(Insert),
    /// UPDATE.
    Update(Box<Update>),
    /// DELETE.
    Delete(Delete),
    /// TRUNCATE.
    Truncate(Vec<Name>),
    /// COPY FROM.
    Copy(Box<CopyFrom>),
}

/// A statement that changes rows, with all it needs to run again.
#[derive(Clone)]
pub struct Modification {
    /// The database.
    pub shared: Arc<Shared>,
    pub statement: Dml,
    pub parameters: Parameters,
    pub interrupt: Interrupt,
    /// The time of the statement, or of its transaction: what `now()` is, also when it is run again.
    pub time_us: i64,
}

/// What a modification comes to, for one version.
pub struct Modified {
    /// The writes, one a relation.
    pub writes: Vec<Write>,
    /// The relations read on the way.
    pub reads: BTreeSet<RelationId>,
    /// Rows the statement reports as changed; `None` where only the door knows.
    pub rows: Option<u64>,
}

impl Modified {
    /// What a commit does with it.
    pub fn payload(self) -> Payload {
        Payload::rows_of(self.writes)
    }
}

impl Modification {
    /// The writes this statement makes of `version` with `overlays` on top.
    pub fn writes(&self, version: &Arc<Version>, overlays: &Overlays) -> Result<Modified> {
        let reader = Reader::new(&self.shared, version.clone(), overlays.clone(), &self.parameters, &self.interrupt)
            .at(self.time_us.max(version.time_us));
        let modified = self.modified_by(&reader)?;
        // What a view was asked is an answer of the relations below it.
        Ok(Modified { reads: version.catalog.bases(modified.reads), ..modified })
    }

    /// Whether it would find again what it is given: a pipe is read once.
    pub fn can_run_again(&self) -> bool {
        let Dml::Copy(from) = &self.statement else { return true };
        !matches!(self.shared.access.kind(Path::new(&from.path)), Ok(PathKind::Stream))
    }

    fn modified_by(&self, reader: &Reader<'_>) -> Result<Modified> {
        match &self.statement {
            Dml::Insert(insert) => self.insert(insert, reader),
            Dml::Update(update) => self.update(update, reader),
            Dml::Delete(delete) => self.delete(delete, reader),
            Dml::Truncate(names) => self.truncate(names, reader),
            Dml::Copy(from) => self.copy(from, reader),
        }
    }

    fn insert(&self, insert: &Insert, reader: &Reader<'_>) -> Result<Modified> {
        let relation = writable(&reader.version.catalog, &insert.relation)?;
        let of_column =
            |error, query: &ast::Query| literals::of_column(error, query, &insert.columns, &relation, reader);
        let (planned, width, query) = match &insert.source {
            InsertSource::DefaultValues => (None, 0, None),
            InsertSource::Query(query) => {
                let query = self.with_defaults(query, insert, &relation)?;
                let planned = reader.plan(&query).map_err(|error| of_column(error, &query))?;
                let width = planned.schema.fields().len();
                (Some(planned), width, Some(query))
            }
        };
        let explicit = match &planned {
            None => Some(Vec::new()),
            Some(planned) if insert.by_name => {
                Some(planned.schema.fields().iter().map(|field| field.name().clone()).collect())
            }
            Some(_) if insert.columns.is_empty() => None,
            Some(_) => Some(insert.columns.clone()),
        };
        let shape = self.shape(&relation, explicit.as_deref(), width, reader)?;
        let mut rows = Vec::new();
        let mut spool = self.shared.spool(&relation);
        let mut take = |batch: RecordBatch| match &insert.on_conflict {
            None => spool.push(shape.apply(&batch)?),
            Some(_) => {
                rows.push(shape.apply(&batch)?);
                Ok(())
            }
        };
        let reads = match (&planned, &query) {
            (Some(planned), Some(query)) => {
                let stream = reader.stream(planned).map_err(|error| of_column(error, query))?;
                for batch in stream {
                    take(batch.map_err(|error| of_column(error, query))?)?;
                }
                planned.relations.clone()
            }
            _ => {
                let options = RecordBatchOptions::new().with_row_count(Some(1));
                take(RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)?)?;
                BTreeSet::new()
            }
        };
        match &insert.on_conflict {
            None => inserted(&relation, spool, reads),
            Some(on_conflict) => {
                let write = self.upsert(&relation, on_conflict, rows)?;
                Ok(Modified { writes: vec![write], reads, rows: None })
            }
        }
    }

    /// VALUES with the keyword DEFAULT replaced by what it stands for, and literals in the types of their columns.
    fn with_defaults(&self, query: &ast::Query, insert: &Insert, relation: &Relation) -> Result<ast::Query> {
        let mut query = query.clone();
        let ast::SetExpr::Values(values) = query.body.as_mut() else { return Ok(query) };
        let column_at = |position: usize| match insert.columns.get(position) {
            Some(name) => column_of(relation, name),
            None => Ok(position),
        };
        for row in &mut values.rows {
            let row: &mut Vec<ast::Expr> = row.as_mut();
            for (position, value) in row.iter_mut().enumerate().filter(|(_, value)| is_default(value)) {
                *value = default_of(relation, column_at(position)?)?;
            }
        }
        let width = values.rows.first().map_or(0, |row| row.content.len());
        for position in 0..width {
            if let Some(field) = relation.schema.fields().get(column_at(position)?) {
                literals::type_column(values, position, field.data_type());
            }
        }
        Ok(query)
    }

    /// Result columns as whole rows of `relation`: named columns in their places, defaults in the others.
    fn shape<'a>(
        &'a self,
        relation: &'a Relation,
        names: Option<&[String]>,
        given: usize,
        reader: &Reader<'_>,
    ) -> Result<Shape<'a>> {
        let fields = relation.schema.fields();
        let wanted = names.map_or(fields.len(), <[_]>::len);
        if given != wanted {
            let more = if given > wanted { "more" } else { "fewer" };
            let error = Error::invalid(format!(
                "INSERT into \"{}\" has {more} values than columns: {given} for {wanted}",
                relation.name
            ))
            .with_sqlstate("42601");
            return Err(match (names, fields.get(..given)) {
                (None, Some(first)) if given > 0 => {
                    let first: Vec<_> = first.iter().map(|field| field.name().as_str()).collect();
                    error.with_hint(format!(
                        "name the columns that have values, the others take their defaults: INSERT INTO {} ({}) ...",
                        relation.name,
                        first.join(", ")
                    ))
                }
                _ => error,
            });
        }
        let mut sources = vec![None; fields.len()];
        for place in 0..wanted {
            let column = names.map_or(Ok(place), |names| column_of(relation, &names[place]))?;
            if sources[column].replace(place).is_some() {
                return Err(Error::invalid(format!("column \"{}\" is named twice", fields[column].name()))
                    .with_sqlstate("42701"));
            }
        }
        let defaults = self.defaults(relation, &sources, reader)?;
        Ok(Shape { relation, sources, defaults, zone: &self.parameters.zone })
    }

    /// One-row arrays for the columns that are not given.
    fn defaults(
        &self,
        relation: &Relation,
        sources: &[Option<usize>],
        reader: &Reader<'_>,
    ) -> Result<Vec<Option<ArrayRef>>> {
        let missing = |column: usize| sources[column].is_none();
        (0..sources.len())
            .map(|column| match relation.defaults.get(column).and_then(Option::as_ref) {
                Some(text) if missing(column) => reader.constant(text).map(Some),
                _ => Ok(None),
            })
            .collect()
    }

    fn update(&self, update: &Update, reader: &Reader<'_>) -> Result<Modified> {
        let relation = mutable(&reader.version.catalog, &update.relation)?;
        let mut update = update.clone();
        for assignment in &mut update.assignments {
            let column = column_of(&relation, &assignment.column).map_err(|error| match assignment.position {
                Some(position) => error.at(position),
                None => error,
            })?;
            if is_default(&assignment.value) {
                assignment.value = default_of(&relation, column)?;
            }
        }
        let planned = reader.plan_update(&relation, &update)?;
        let (mut deletes, mut spool) = (RoaringTreemap::new(), self.shared.spool(&relation));
        let width = relation.schema.fields().len();
        let behind: Vec<_> = (1..=width).map(Some).collect();
        for batch in reader.stream(&planned)? {
            let batch = batch?;
            let ids = first_row_ids(&batch)?;
            let before = deletes.len();
            deletes.extend(ids.values().iter().copied());
            if deletes.len() - before < ids.len() as u64 {
                return Err(Error::invalid(format!("UPDATE of \"{}\" matches a row more than once", relation.name))
                    .with_sqlstate("21000")
                    .with_hint("make the FROM relation unique in the columns of the join"));
            }
            spool.push(shape_batch(&relation, &batch, &behind, &vec![None; width], &self.parameters.zone)?)?;
        }
        Ok(modified(&relation, deletes, spool.finish()?, planned.relations))
    }

    fn delete(&self, delete: &Delete, reader: &Reader<'_>) -> Result<Modified> {
        let relation = mutable(&reader.version.catalog, &delete.relation)?;
        let planned = reader.plan_delete(&relation, delete)?;
        let mut deletes = RoaringTreemap::new();
        for batch in reader.stream(&planned)? {
            deletes.extend(first_row_ids(&batch?)?.values().iter().copied());
        }
        Ok(modified(&relation, deletes, Vec::new(), planned.relations))
    }

    fn truncate(&self, names: &[Name], reader: &Reader<'_>) -> Result<Modified> {
        let mut all = Modified { writes: Vec::new(), reads: BTreeSet::new(), rows: Some(0) };
        for name in names {
            let relation = mutable(&reader.version.catalog, name)?;
            if all.writes.iter().any(|write| write.relation == relation.id) {
                continue;
            }
            let delete = Delete { relation: name.clone(), alias: None, using: Vec::new(), selection: None };
            let one = self.delete(&delete, reader)?;
            all.writes.extend(one.writes);
            all.reads.extend(one.reads);
            all.rows = all.rows.zip(one.rows).map(|(all, one)| all + one);
        }
        Ok(all)
    }

    fn copy(&self, from: &CopyFrom, reader: &Reader<'_>) -> Result<Modified> {
        let relation = writable(&reader.version.catalog, &from.relation)?;
        let names = (!from.columns.is_empty()).then_some(from.columns.as_slice());
        let (width, batches) = read_for(&self.shared, from, &relation, self.parameters.zone, &self.interrupt)?;
        let shape = self.shape(&relation, names, width, reader)?;
        let mut spool = self.shared.spool(&relation);
        for batch in batches {
            self.interrupt.check()?;
            spool.push(shape.apply(&batch?)?)?;
        }
        inserted(&relation, spool, BTreeSet::new())
    }

    fn upsert(&self, relation: &Arc<Relation>, clause: &OnConflict, rows: Vec<RecordBatch>) -> Result<Write> {
        let columns = clause.columns.iter().map(|name| column_of(relation, name)).collect::<Result<Vec<_>>>()?;
        let update = match &clause.action {
            ConflictAction::Nothing => None,
            ConflictAction::Update { assignments, selection } => {
                Some(self.replacer(relation, assignments, selection.as_ref())?)
            }
        };
        let rows = compute::concat_batches(&relation.schema, &rows)?;
        let columns = match columns.is_empty() && update.is_some() {
            true => relation.primary_key.clone(),
            false => columns,
        };
        Ok(Write { upsert: Some(Upsert { columns, rows, update }), ..Write::inserts(relation, Vec::new()) })
    }

    /// `DO UPDATE SET ..` as a query over the existing rows with the offered ones beside them.
    fn replacer(
        &self,
        relation: &Arc<Relation>,
        assignments: &[Assignment],
        selection: Option<&ast::Expr>,
    ) -> Result<Replacer> {
        let beside = Arc::new(beside(relation));
        let mut catalog = Catalog::default();
        catalog.insert(beside.clone())?;
        let query = conflict_query(relation, assignments, selection)?;
        let (shared, parameters, interrupt) = (self.shared.clone(), self.parameters.clone(), self.interrupt.clone());
        let relation = relation.clone();
        Ok(Arc::new(move |existing: &RecordBatch, offered: &RecordBatch| {
            let mut arena = RowArena::new(beside.schema.clone());
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..existing.num_rows() as i64));
            let columns = existing.columns().iter().chain(offered.columns()).cloned().chain([numbers]).collect();
            arena.append(RecordBatch::try_new(beside.schema.clone(), columns)?, &Weights::Ones)?;
            let mut version = Version::empty(shared.version().time_us);
            version.catalog = Arc::new(catalog.clone());
            let reader = Reader::new(&shared, Arc::new(version), Overlays::new(), &parameters, &interrupt)
                .over(Snapshots { kept: [(beside.id, arena.snapshot(0))].into() });
            let planned = reader.plan(&query)?;
            let batches = reader.collect(&planned)?;
            let all = compute::concat_batches(&planned.schema, &batches)?;
            split_conflict_result(&relation, &all, &parameters.zone)
        }))
    }
}

/// The pseudo relation of an upsert: the relation's columns, the offered ones as `__excluded_x`, a row number.
fn beside(relation: &Relation) -> Relation {
    let own = relation.schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let offered = relation
        .schema
        .fields()
        .iter()
        .map(|field| Field::new(format!("__excluded_{}", field.name()), field.data_type().clone(), true));
    let number = Field::new("__row", DataType::Int64, false);
    let fields: Vec<Field> = own.chain(offered).chain([number]).collect();
    let schema = Arc::new(Schema::new(fields));
    Relation::new(RelationId(u64::MAX), &relation.name, relation.kind, schema)
}

/// `SELECT new columns.., keep, row number FROM relation`, with `excluded.x` resolved.
fn conflict_query(
    relation: &Relation,
    assignments: &[Assignment],
    selection: Option<&ast::Expr>,
) -> Result<ast::Query> {
    let mut values: Vec<ast::Expr> = relation
        .schema
        .fields()
        .iter()
        .map(|field| ast::Expr::Identifier(ast::Ident::with_quote('"', field.name().as_str())))
        .collect();
    for assignment in assignments {
        let column = column_of(relation, &assignment.column)?;
        values[column] = match is_default(&assignment.value) {
            true => default_of(relation, column)?,
            false => assignment.value.clone(),
        };
    }
    values.push(selection.cloned().map_or_else(|| sql::parse_expression("true"), Ok)?);
    // The query is one over the rows in conflict alone: it would not see other rows, nor other relations.
    if let ControlFlow::Break(at) = relations(&values, |name| ControlFlow::Break(name.span().start)) {
        let error = Error::unsupported("subqueries that read relations are not supported in ON CONFLICT DO UPDATE");
        let error = error.with_hint("compute the value in the query that is inserted, and take it from excluded");
        return Err(located(error, position(at)));
    }
    values.push(sql::parse_expression("__row")?);
    expressions_mut(&mut values, |expr| {
        if let ast::Expr::CompoundIdentifier(parts) = expr
            && let [scope, column] = parts.as_slice()
            && scope.value.eq_ignore_ascii_case("excluded")
        {
            let name = if column.quote_style.is_some() { column.value.clone() } else { column.value.to_lowercase() };
            *expr = ast::Expr::Identifier(ast::Ident::with_quote('"', format!("__excluded_{name}")));
        }
    });
    let mut query = sql::parse_query(&format!("SELECT 1 FROM \"{}\"", relation.name.replace('"', "\"\"")))?;
    if let ast::SetExpr::Select(select) = query.body.as_mut() {
        select.projection = values
            .into_iter()
            .enumerate()
            .map(|(n, expr)| ast::SelectItem::ExprWithAlias { expr, alias: ast::Ident::new(format!("c{n}")) })
            .collect();
    }
    Ok(*query)
}

/// The result of [`conflict_query`] in row order: new rows, and which of them replace.
fn split_conflict_result(relation: &Relation, all: &RecordBatch, zone: &Zone) -> Result<(RecordBatch, BooleanArray)> {
    let width = relation.schema.fields().len();
    let order = compute::sort_to_indices(all.column(width + 1).as_primitive::<Int64Type>(), None, None)?;
    let all = compute::take_record_batch(all, &order)?;
    let keep = compute::cast(all.column(width), &DataType::Boolean)?.as_boolean().clone();
    let keep = if keep.null_count() > 0 { compute::prep_null_mask_filter(&keep) } else { keep };
    let rows = shape_batch(relation, &all, &(0..width).map(Some).collect::<Vec<_>>(), &vec![None; width], zone)?;
    Ok((rows, keep))
}

/// What a statement comes to that deletes rows and inserts others in their place.
fn modified(
    relation: &Relation,
    mut deletes: RoaringTreemap,
    inserts: Vec<Rows>,
    mut reads: BTreeSet<RelationId>,
) -> Modified {
    reads.insert(relation.id);
    let rows = Some(deletes.len());
    deletes.optimize();
    Modified { writes: vec![Write { deletes, ..Write::of(relation, inserts) }], reads, rows }
}

/// What a statement comes to that inserts rows.
fn inserted(relation: &Relation, spool: Spool, reads: BTreeSet<RelationId>) -> Result<Modified> {
    let rows = spool.finish()?;
    let count = rows.iter().map(|rows| rows.len() as u64).sum();
    Ok(Modified { writes: vec![Write::of(relation, rows)], reads, rows: Some(count) })
}

/// How rows of a relation are made of what a statement gives.
struct Shape<'a> {
    relation: &'a Relation,
    /// Where each column stands in what is given.
    sources: Vec<Option<usize>>,
    /// One-row arrays for the others.
    defaults: Vec<Option<ArrayRef>>,
    zone: &'a Zone,
}

impl Shape<'_> {
    fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        shape_batch(self.relation, batch, &self.sources, &self.defaults, self.zone)
    }
}

/// Takes columns from their places in `batch`, in the types of `relation`; times without a zone stand in `zone`.
fn shape_batch(
    relation: &Relation,
    batch: &RecordBatch,
    sources: &[Option<usize>],
    defaults: &[Option<ArrayRef>],
    zone: &Zone,
) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let columns = relation
        .schema
        .fields()
        .iter()
        .enumerate()
        .map(|(column, field)| match (sources[column], &defaults[column]) {
            (Some(place), _) => assign_in(batch.column(place), field.data_type(), relation.domain(column), zone)
                .map_err(|error| error.context(format!("column \"{}\"", field.name()))),
            (None, Some(default)) => {
                let one = assign_in(default, field.data_type(), relation.domain(column), zone)
                    .map_err(|error| error.context(format!("default of column \"{}\"", field.name())))?;
                Ok(compute::take(&one, &UInt32Array::from(vec![0; rows]), None)?)
            }
            (None, None) => Ok(arrow::array::new_null_array(field.data_type(), rows)),
        })
        .collect::<Result<Vec<_>>>()?;
    for (field, column) in relation.schema.fields().iter().zip(&columns) {
        if !field.is_nullable() && column.null_count() > 0 {
            return Err(not_null_violation(relation, field.name()));
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(relation.schema.clone(), columns, &options)?)
}

/// What the keyword DEFAULT stands for in a column.
fn default_of(relation: &Relation, column: usize) -> Result<ast::Expr> {
    sql::parse_expression(relation.defaults.get(column).and_then(Option::as_deref).unwrap_or("NULL"))
}
