//! Changes of the catalog: CREATE, DROP, ALTER, REFRESH.
//!
//! Each is a commit of its own, made on the sequencer's thread from the catalog as it is there. What takes long
//! (running the query of CREATE TABLE AS, filling a new view's circuit) happens before, on the caller's thread, from a
//! version; the sequencer then only carries over what has changed since.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::base::change::Weights;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::time::zone::Zone;
use crate::base::types::canonical_schema;
use crate::catalog::definitions::Catalog;
use crate::catalog::relation::{Relation, RelationId, RelationKind, Watermark};
use crate::continuous::circuit::StepContext;
use crate::continuous::lower::lower;
use crate::continuous::spec::CircuitSpec;
use crate::db::connection::Connection;
use crate::db::dml::{column_of, resolve};
use crate::db::read::{Reader, recompute};
use crate::db::sequencer::{Sequencer, Target};
use crate::db::table::{TableState, Write};
use crate::db::transaction::Overlays;
use crate::db::value::assign_in;
use crate::db::version::{Contents, Version};
use crate::db::view::{Changes, Maintained, Upkeep, ViewState};
use crate::sql;
use crate::sql::statement::{
    AlterAddColumn, CreateIndex, CreateKind, CreateRelation, CreateView, Drop, DropKind, Emit, Name, Statement,
};
use crate::state::row_arena::RowArena;
use crate::state::snapshot::Snapshot;
use crate::storage::log::{LogRecord, RelationWrite};

/// Runs a DDL statement.
pub fn run(connection: &Connection, statement: &Statement, text: &str) -> Result<()> {
    match statement {
        Statement::CreateRelation(create) => create_relation(connection, create, text),
        Statement::CreateView(create) => create_view(connection, create, text),
        Statement::CreateIndex(create) => create_index(connection, create, text),
        Statement::Drop(drop) => drop_relations(connection, drop, text),
        Statement::AlterAddColumn(alter) => add_column(connection, alter, text),
        Statement::Refresh { name } => refresh(connection, name, text),
        _ => Err(Error::unsupported("this statement does not run yet")),
    }
}

/// `EMIT ON WINDOW CLOSE` needs watermarks that move.
pub fn refuse_emit(emit: Option<Emit>) -> Result<()> {
    match emit {
        None => Ok(()),
        Some(_) => Err(Error::unsupported("EMIT ON WINDOW CLOSE does not exist yet: watermarks do not move")
            .with_hint("without EMIT the view is current after every commit")),
    }
}

fn create_relation(connection: &Connection, create: &CreateRelation, text: &str) -> Result<()> {
    let version = connection.version();
    if create.kind == CreateKind::Source || create.options.contains_key("connector") {
        return Err(Error::unsupported("sources do not exist yet")
            .with_hint("CREATE STREAM and feed it with INSERT, COPY or an Appender"));
    }
    if version.catalog.get(&create.name.name).is_some() {
        match (create.if_not_exists, create.or_replace) {
            (true, _) => {
                connection.notice(format!("\"{}\" exists already", create.name));
                return Ok(());
            }
            (false, false) => Catalog::insert(&mut version.catalog.as_ref().clone(), placeholder(&create.name.name))?,
            (false, true) => {}
        }
    }
    let (query_schema, rows) = match &create.query {
        Some(query) => connection.with_reader(&connection.no_parameters(), |reader| {
            let planned = reader.plan(query)?;
            Ok((Some(planned.schema.clone()), reader.collect(&planned)?))
        })?,
        None => (None, Vec::new()),
    };
    let relation = define_relation(create, query_schema.as_ref())?;
    if relation.watermark.is_some() {
        connection.notice(format!(
            "the watermark of \"{}\" is kept but does not move yet: no row is late, no window closes",
            relation.name
        ));
    }
    let zone = connection.no_parameters().zone;
    let rows = rows.iter().map(|batch| conform(batch, &relation.schema, &zone)).collect::<Result<Vec<_>>>()?;
    let (text, or_replace) = (text.to_string(), create.or_replace);
    connection.database.sequencer.task(move |sequencer| {
        let mut catalog = sequencer.catalog();
        if or_replace && let Some(old) = catalog.get(&relation.name).cloned() {
            expect_kind(&old, &[relation.kind])?;
            sequencer.take_out(&mut catalog, &old, false)?;
        }
        let relation = Arc::new(Relation { id: sequencer.next_relation(), ..relation });
        catalog.insert(relation.clone())?;
        let table = TableState::new(relation.clone())?;
        let writes = vec![table.admit(Write::inserts(relation.id, rows))?];
        sequencer.tables.insert(relation.id, table);
        sequencer.commit_ddl(text, catalog, writes, Changes::new())
    })
}

/// A relation of that name, only to be refused by a catalog that has one.
fn placeholder(name: &str) -> Arc<Relation> {
    Arc::new(Relation::new(RelationId(0), name, RelationKind::Table, Arc::new(Schema::empty())))
}

fn define_relation(create: &CreateRelation, query: Option<&SchemaRef>) -> Result<Relation> {
    let kind = if create.kind == CreateKind::Table { RelationKind::Table } else { RelationKind::Stream };
    let fields: Vec<Field> = match (query, create.columns.is_empty()) {
        (Some(schema), true) => schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect(),
        (Some(schema), false) if schema.fields().len() != create.columns.len() => {
            return Err(Error::invalid(format!(
                "\"{}\" declares {} columns but its query has {}",
                create.name,
                create.columns.len(),
                schema.fields().len()
            )));
        }
        _ => create
            .columns
            .iter()
            .map(|column| Field::new(&column.name, column.data_type.clone(), column.nullable))
            .collect(),
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
    let mut relation = Relation::new(RelationId(0), &create.name.name, kind, canonical_schema(&Schema::new(fields)));
    relation.defaults = create.columns.iter().map(|c| c.default.as_ref().map(|text| text.text.clone())).collect();
    relation.defaults.resize(relation.schema.fields().len(), None);
    relation.primary_key = columns_of(&relation, &create.primary_key)?;
    for columns in &create.unique {
        let name = format!("{}_{}_key", relation.name, columns.join("_"));
        relation.unique.push((name, columns_of(&relation, columns)?));
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
    relation.options = create.options.clone();
    let fields: Vec<Field> = relation
        .schema
        .fields()
        .iter()
        .enumerate()
        .map(|(n, f)| f.as_ref().clone().with_nullable(f.is_nullable() && !required.contains(&n)))
        .collect();
    relation.schema = Arc::new(Schema::new(fields));
    Ok(relation)
}

fn columns_of(relation: &Relation, names: &[String]) -> Result<Vec<usize>> {
    names.iter().map(|name| column_of(relation, name)).collect()
}

/// A query's batch as rows of a relation of the same width.
fn conform(batch: &RecordBatch, schema: &SchemaRef, zone: &Zone) -> Result<RecordBatch> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(array, field)| assign_in(array, field.data_type(), zone));
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns.collect::<Result<_>>()?, &options)
        .map_err(|error| Error::new(ErrorKind::Constraint, error.to_string()).with_sqlstate("23502"))
}

/// A view planned and, if it is kept, built, waiting for the sequencer.
struct Prepared {
    relation: Relation,
    spec: Option<Arc<CircuitSpec>>,
    built: Option<Built>,
}

/// A circuit filled from a version.
pub struct Built {
    /// The circuit and its result.
    pub maintained: Maintained,
    /// What it was filled from.
    pub from: Vec<(RelationId, Snapshot)>,
}

fn create_view(connection: &Connection, create: &CreateView, text: &str) -> Result<()> {
    refuse_emit(create.emit)?;
    if create.refresh_every.is_some() {
        return Err(Error::unsupported("REFRESH EVERY does not exist yet")
            .with_hint("without it the view is current after every commit"));
    }
    let version = connection.version();
    let kind = if create.materialized { RelationKind::MaterializedView } else { RelationKind::View };
    let existing = version.catalog.get(&create.name.name).cloned();
    match &existing {
        Some(old) if create.or_replace => expect_kind(old, &[kind])?,
        Some(_) if create.if_not_exists => {
            connection.notice(format!("\"{}\" exists already", create.name));
            return Ok(());
        }
        Some(_) => Catalog::insert(&mut version.catalog.as_ref().clone(), placeholder(&create.name.name))?,
        None => {}
    }
    let prepared = prepare_view(connection, &version, create, kind)?;
    if let Some(old) = &existing {
        check_replacement(&version, old, &prepared.relation)?;
    }
    let text = text.to_string();
    let read = prepared.relation.dependencies.clone();
    connection.database.sequencer.task(move |sequencer| {
        let mut catalog = sequencer.catalog();
        for id in &read {
            if catalog.by_id(*id).is_none() {
                return Err(Error::new(ErrorKind::Conflict, "a relation the view reads was dropped meanwhile"));
            }
        }
        let old = catalog.get(&prepared.relation.name).cloned();
        if old.as_ref().map(|old| old.id) != existing.as_ref().map(|old| old.id) {
            return Err(Error::new(ErrorKind::Conflict, "the view was created or dropped by another connection"));
        }
        let id = old.as_ref().map_or_else(|| sequencer.next_relation(), |old| old.id);
        let relation = Arc::new(Relation { id, ..prepared.relation });
        catalog.replace(relation.clone());
        let mut changes = Changes::new();
        if let Some(spec) = prepared.spec {
            let change = sequencer.attach(relation, spec, prepared.built)?;
            if !change.is_empty() {
                changes.insert(id, change);
            }
        }
        sequencer.commit_ddl(text, catalog, Vec::new(), changes)
    })
}

fn prepare_view(
    connection: &Connection,
    version: &Arc<Version>,
    create: &CreateView,
    kind: RelationKind,
) -> Result<Prepared> {
    let none = connection.no_parameters();
    let reader =
        Reader::new(&connection.database.shared, version.clone(), Overlays::new(), &none, &connection.interrupt);
    // Directly read relations are dependencies, also those that the continuous plan expands.
    let direct = reader.plan(&create.query)?;
    if !direct.parameters.is_empty() {
        return Err(Error::invalid("a view cannot have parameters").with_sqlstate("42P02"));
    }
    if direct.external {
        return Err(Error::unsupported("a view cannot read files or system tables: they change without a commit")
            .with_hint("CREATE TABLE .. AS SELECT * FROM 'file' brings the rows in"));
    }
    let schema = rename(&direct.schema, &create.columns)?;
    let mut relation = Relation::new(RelationId(0), &create.name.name, kind, schema);
    relation.query = Some(with_columns(&create.query_text, &create.columns, &relation.schema));
    relation.options = create.options.clone();
    relation.keep_zone(connection.settings().zone);
    relation.dependencies = dependencies(&reader, &create.query)?;
    let width = |id: &RelationId| Some((*id, version.catalog.by_id(*id)?.schema.fields().len()));
    relation.columns_read = relation.dependencies.iter().filter_map(width).collect();
    if kind == RelationKind::View {
        return Ok(Prepared { relation, spec: None, built: None });
    }
    if let Some(function) = direct.volatile.as_ref() {
        return Err(Error::invalid(format!("{function}() gives another value each time: a view cannot keep it"))
            .with_sqlstate("0A000")
            .with_hint("compute the value when the row is inserted"));
    }
    let text = relation.query.as_deref().unwrap_or_default();
    let planned = reader.continuous().plan(sql::parse_query(text)?.as_ref())?;
    let spec = Arc::new(lower(&planned)?);
    // What others read change by change is kept whatever it costs.
    let read = version.catalog.get(&relation.name).and_then(|old| version.catalog.dependents(old.id).next());
    let built = match (spec.is_recomputed_whole() || planned.uses_now) && read.is_none() {
        true => None,
        false => Some(build(connection, version, &relation, &spec)?),
    };
    Ok(Prepared { relation, spec: Some(spec), built })
}

/// Fills a view's circuit from a version, on this thread, while commits go on.
pub fn build(
    connection: &Connection,
    version: &Arc<Version>,
    relation: &Relation,
    spec: &CircuitSpec,
) -> Result<Built> {
    let from = snapshots_of(version, spec)?;
    let shared = &connection.database.shared;
    let kept = || crate::db::read::Snapshots { kept: from.iter().cloned().collect() };
    let run = |plan: &_| recompute(shared, kept(), version.time_us, plan);
    let cx = StepContext { now_us: version.time_us, recompute: &run };
    let maintained = Maintained::build(spec, relation, &from, &cx, version.epoch)?;
    Ok(Built { maintained, from })
}

/// What a circuit reads, as of a version.
pub fn snapshots_of(version: &Version, spec: &CircuitSpec) -> Result<Vec<(RelationId, Snapshot)>> {
    spec.inputs()
        .into_iter()
        .map(|id| match &version.entry(id)?.contents {
            Contents::Kept(snapshot) => Ok((id, snapshot.clone())),
            Contents::Lazy(_) => Err(Error::internal("a continuous plan reads a view that is not kept")),
        })
        .collect()
}

/// The relations and views that a query names, plain views included.
fn dependencies(reader: &Reader<'_>, query: &sqlparser::ast::Query) -> Result<Vec<RelationId>> {
    let mut found = BTreeSet::new();
    let _ = sqlparser::ast::visit_relations(query, |name| {
        if let Some(last) = name.0.last().and_then(|part| part.as_ident()) {
            let text = if last.quote_style.is_some() { last.value.clone() } else { last.value.to_lowercase() };
            if let Some(relation) = reader.version.catalog.get(&text) {
                found.insert(relation.id);
            }
        }
        std::ops::ControlFlow::<()>::Continue(())
    });
    // What the plan reads stays a dependency even where the text hides it.
    found.extend(reader.plan(query)?.relations);
    Ok(found.into_iter().collect())
}

fn rename(schema: &SchemaRef, names: &[String]) -> Result<SchemaRef> {
    if names.len() > schema.fields().len() {
        return Err(Error::invalid(format!("{} names for {} columns", names.len(), schema.fields().len()))
            .with_sqlstate("42601"));
    }
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(n, field)| match names.get(n) {
            Some(name) => field.as_ref().clone().with_name(name),
            None => field.as_ref().clone(),
        })
        .collect();
    Ok(Arc::new(Schema::new(fields)))
}

/// The text of a view's query with its column names.
fn with_columns(text: &str, names: &[String], schema: &Schema) -> String {
    if names.is_empty() {
        return text.to_string();
    }
    let quoted: Vec<String> =
        schema.fields().iter().map(|field| format!("\"{}\"", field.name().replace('"', "\"\""))).collect();
    format!("SELECT * FROM ({text}) AS q({})", quoted.join(", "))
}

/// Whether `new` may take the place of `old` under the views that read it.
fn check_replacement(version: &Version, old: &Relation, new: &Relation) -> Result<()> {
    let catalog = &version.catalog;
    let same = old.schema.fields().len() == new.schema.fields().len()
        && old
            .schema
            .fields()
            .iter()
            .zip(new.schema.fields())
            .all(|(old, new)| old.name() == new.name() && old.data_type() == new.data_type());
    if reaches(catalog, new, old.id) {
        return Err(Error::invalid(format!("\"{}\" would read itself", old.name)));
    }
    let expanded = version.entries.get(&old.id).is_none_or(|entry| matches!(entry.contents, Contents::Lazy(_)));
    if expanded && let Some(reader) = materialized_reader(catalog, old.id) {
        // Its circuit runs the old text; it would have to be built anew in the same epoch.
        return Err(Error::new(
            ErrorKind::Dependency,
            format!("materialized view \"{}\" runs the query of \"{}\" as its own", reader.name, old.name),
        )
        .with_hint("drop it first and create it again afterwards"));
    }
    match catalog.dependents(old.id).next() {
        Some(reader) if !same => Err(Error::new(
            ErrorKind::Dependency,
            format!("\"{}\" reads \"{}\", whose columns would change", reader.name, old.name),
        )
        .with_hint("names, types and number of its columns must stay, or drop the reader first")),
        _ => Ok(()),
    }
}

/// A materialized view that reads `id`, through any number of views.
fn materialized_reader(catalog: &Catalog, id: RelationId) -> Option<&Arc<Relation>> {
    catalog.dependents(id).find_map(|reader| match reader.kind {
        RelationKind::MaterializedView => Some(reader),
        _ => materialized_reader(catalog, reader.id),
    })
}

fn reaches(catalog: &Catalog, from: &Relation, target: RelationId) -> bool {
    from.dependencies
        .iter()
        .any(|id| *id == target || catalog.by_id(*id).is_some_and(|relation| reaches(catalog, relation, target)))
}

fn expect_kind(relation: &Relation, kinds: &[RelationKind]) -> Result<()> {
    match kinds.contains(&relation.kind) {
        true => Ok(()),
        false => {
            Err(Error::invalid(format!("\"{}\" is a {}", relation.name, relation.kind.name())).with_sqlstate("42809"))
        }
    }
}

fn create_index(connection: &Connection, create: &CreateIndex, text: &str) -> Result<()> {
    let (create, text) = (create.clone(), text.to_string());
    connection.database.sequencer.task(move |sequencer| {
        let mut catalog = sequencer.catalog();
        let mut relation = resolve(&catalog, &create.relation)?.as_ref().clone();
        expect_kind(&relation, &[RelationKind::Table, RelationKind::Stream, RelationKind::MaterializedView])?;
        let names: Vec<String> = create.columns.iter().map(|column| column.name.clone()).collect();
        let columns = columns_of(&relation, &names)?;
        let name = create.name.unwrap_or_else(|| format!("{}_{}_idx", relation.name, names.join("_")));
        let taken = catalog.relations().any(|r| r.indexes.iter().chain(&r.unique).any(|(other, _)| *other == name));
        match (taken, create.if_not_exists) {
            (true, true) => return Ok(()),
            (true, false) => {
                return Err(Error::new(ErrorKind::AlreadyExists, format!("index \"{name}\" already exists")));
            }
            _ => {}
        }
        if create.unique {
            let table = sequencer.tables.get_mut(&relation.id);
            let table = table.ok_or_else(|| Error::invalid("a UNIQUE index needs a table or stream"))?;
            table.add_unique(name.clone(), columns.clone())?;
            relation.unique.push((name, columns));
        } else {
            relation.indexes.push((name, columns));
        }
        let relation = Arc::new(relation);
        if let Some(table) = sequencer.tables.get_mut(&relation.id) {
            table.relation = relation.clone();
        }
        catalog.replace(relation);
        sequencer.commit_ddl(text, catalog, Vec::new(), Changes::new())
    })
}

fn drop_relations(connection: &Connection, drop: &Drop, text: &str) -> Result<()> {
    let (drop, text) = (drop.clone(), text.to_string());
    let notices = connection.database.sequencer.task(move |sequencer| {
        let mut catalog = sequencer.catalog();
        let mut notices = Vec::new();
        let mut gone = Vec::new();
        for name in &drop.names {
            if drop.kind == DropKind::Index {
                drop_index(sequencer, &mut catalog, name, drop.if_exists)?;
                continue;
            }
            match catalog.get(&name.name).cloned() {
                Some(relation) => {
                    expect_kind(&relation, droppable(drop.kind)?)?;
                    gone.extend(plan_drop(&catalog, &relation, drop.cascade, &drop.names)?);
                }
                None if drop.if_exists => notices.push(format!("\"{name}\" does not exist")),
                None => return Err(resolve(&catalog, name).err().unwrap_or_else(|| catalog.not_found(&name.name))),
            }
        }
        for relation in gone {
            if catalog.by_id(relation.id).is_some() {
                sequencer.take_out(&mut catalog, &relation, true)?;
            }
        }
        sequencer.commit_ddl(text, catalog, Vec::new(), Changes::new())?;
        Ok(notices)
    })?;
    notices.into_iter().for_each(|notice| connection.notice(notice));
    Ok(())
}

fn droppable(kind: DropKind) -> Result<&'static [RelationKind]> {
    Ok(match kind {
        DropKind::Table => &[RelationKind::Table],
        DropKind::Stream | DropKind::Source => &[RelationKind::Stream],
        DropKind::View => &[RelationKind::View, RelationKind::MaterializedView],
        DropKind::MaterializedView => &[RelationKind::MaterializedView],
        DropKind::Index | DropKind::Sink => return Err(Error::unsupported("sinks do not exist yet")),
    })
}

/// A relation and, with CASCADE, all that reads it, readers first.
fn plan_drop(catalog: &Catalog, relation: &Arc<Relation>, cascade: bool, named: &[Name]) -> Result<Vec<Arc<Relation>>> {
    let mut gone = Vec::new();
    for reader in catalog.dependents(relation.id) {
        let named_too = named.iter().any(|name| name.name == reader.name);
        if !cascade && !named_too {
            return Err(Error::new(
                ErrorKind::Dependency,
                format!("{} \"{}\" reads \"{}\"", reader.kind.name(), reader.name, relation.name),
            )
            .with_hint("drop it first, or use CASCADE"));
        }
        gone.extend(plan_drop(catalog, reader, cascade, named)?);
    }
    gone.push(relation.clone());
    Ok(gone)
}

fn drop_index(sequencer: &mut Sequencer, catalog: &mut Catalog, name: &Name, if_exists: bool) -> Result<()> {
    let found = catalog.relations().find(|r| r.indexes.iter().chain(&r.unique).any(|(n, _)| *n == name.name)).cloned();
    let Some(relation) = found else {
        return match if_exists {
            true => Ok(()),
            false => {
                Err(Error::new(ErrorKind::NotFound, format!("index \"{name}\" does not exist")).with_sqlstate("42704"))
            }
        };
    };
    let mut relation = relation.as_ref().clone();
    relation.indexes.retain(|(n, _)| *n != name.name);
    relation.unique.retain(|(n, _)| *n != name.name);
    let relation = Arc::new(relation);
    if let Some(table) = sequencer.tables.get_mut(&relation.id) {
        table.relation = relation.clone();
        table.drop_unique(&name.name);
    }
    catalog.replace(relation);
    Ok(())
}

fn add_column(connection: &Connection, alter: &AlterAddColumn, text: &str) -> Result<()> {
    let version = connection.version();
    let relation = match resolve(&version.catalog, &alter.relation) {
        Ok(relation) => relation,
        Err(_) if alter.if_exists => return Ok(()),
        Err(error) => return Err(error),
    };
    expect_kind(&relation, &[RelationKind::Table, RelationKind::Stream])?;
    if relation.schema.index_of(&alter.column.name).is_ok() {
        if alter.if_not_exists {
            return Ok(());
        }
        return Err(Error::new(
            ErrorKind::AlreadyExists,
            format!("column \"{}\" of \"{}\" already exists", alter.column.name, relation.name),
        )
        .with_sqlstate("42701"));
    }
    let zone = connection.no_parameters().zone;
    let value = match &alter.column.default {
        Some(default) => Some(connection.with_reader(&connection.no_parameters(), |reader| {
            assign_in(&reader.constant_expression(default.expression.clone())?, &alter.column.data_type, &zone)
        })?),
        None => None,
    };
    let (column, text) = (alter.column.clone(), text.to_string());
    connection.database.sequencer.task(move |sequencer| {
        let mut catalog = sequencer.catalog();
        let table = sequencer.tables.get_mut(&relation.id).ok_or_else(|| catalog.not_found(&relation.name))?;
        let mut changed = table.relation.as_ref().clone();
        let mut fields: Vec<Field> = changed.schema.fields().iter().map(|field| field.as_ref().clone()).collect();
        fields.push(Field::new(&column.name, column.data_type.clone(), column.nullable));
        changed.schema = Arc::new(Schema::new(fields));
        changed.defaults.push(column.default.as_ref().map(|default| default.text.clone()));
        let mut arena = RowArena::new(changed.schema.clone());
        let snapshot = table.arena.snapshot(u64::MAX - 1);
        for chunk in 0..snapshot.chunks() {
            let Some(batch) = snapshot.read_chunk(chunk, None, false)? else { continue };
            let rows = batch.num_rows();
            let added = match &value {
                Some(one) => arrow::compute::take(one, &arrow::array::UInt32Array::from(vec![0; rows]), None)?,
                None => arrow::array::new_null_array(&column.data_type, rows),
            };
            let columns = batch.columns().iter().cloned().chain([added]).collect();
            let batch = RecordBatch::try_new(changed.schema.clone(), columns).map_err(|_| {
                Error::new(
                    ErrorKind::Constraint,
                    format!("column \"{}\" is NOT NULL, but the rows there are have no value for it", column.name),
                )
                .with_sqlstate("23502")
                .with_hint("give it a DEFAULT")
            })?;
            arena.append(batch, &Weights::Ones)?;
        }
        let changed = Arc::new(changed);
        table.rebuild(changed.clone(), arena)?;
        catalog.replace(changed.clone());
        sequencer.forget_history();
        sequencer.republish.insert(changed.id);
        sequencer.commit_ddl(text, catalog, Vec::new(), Changes::new())
    })
}

fn refresh(connection: &Connection, name: &Name, text: &str) -> Result<()> {
    let version = connection.version();
    let relation = resolve(&version.catalog, name)?;
    expect_kind(&relation, &[RelationKind::MaterializedView])?;
    let id = relation.id;
    let spec = connection.database.sequencer.task(move |sequencer| {
        let view = sequencer.views.get(&id).ok_or_else(|| Error::internal("a view without state"))?;
        Ok((!matches!(view.upkeep, Upkeep::Lazy)).then(|| view.spec.clone()))
    })?;
    let Some(spec) = spec else { return Ok(()) };
    let built = build(connection, &version, &relation, &spec)?;
    let text = text.to_string();
    connection.database.sequencer.task(move |sequencer| {
        let catalog = sequencer.catalog();
        let relation = catalog.by_id(id).cloned().ok_or_else(|| catalog.not_found(&relation.name))?;
        let change = sequencer.attach(relation, spec, Some(built))?;
        let mut changes = Changes::new();
        if !change.is_empty() {
            changes.insert(id, change);
        }
        sequencer.republish.insert(id);
        sequencer.commit_ddl(text, catalog, Vec::new(), changes)
    })
}

impl Sequencer {
    /// The catalog as of now, to be changed.
    pub fn catalog(&self) -> Catalog {
        self.shared.version().catalog.as_ref().clone()
    }

    /// Logs and publishes a changed catalog, with the rows that came along.
    fn commit_ddl(
        &mut self,
        sql: String,
        catalog: Catalog,
        writes: Vec<RelationWrite>,
        mut changes: Changes,
    ) -> Result<()> {
        let writes = self.replayed_rows().unwrap_or(writes);
        let writes: Vec<_> = writes.into_iter().filter(|write| !write.inserts.is_empty()).collect();
        let epoch = self.shared.version().epoch + 1;
        let time_us = self.time_us();
        self.record(&LogRecord::Ddl { epoch, time_us, sql, writes: writes.clone() })?;
        self.apply(&writes, epoch, &mut changes)?;
        self.sort_views(&catalog);
        self.finish(&mut changes, epoch, time_us, Some(catalog))
    }

    /// Takes a view's circuit into the step loop; returns how its contents differ from what it showed before.
    fn attach(
        &mut self,
        relation: Arc<Relation>,
        spec: Arc<CircuitSpec>,
        built: Option<Built>,
    ) -> Result<Vec<crate::base::change::ChangeBatch>> {
        let epoch = self.shared.version().epoch + 1;
        let before = self.views.remove(&relation.id);
        let upkeep = match built {
            None => Upkeep::Lazy,
            Some(mut built) => {
                self.catch_up(&mut built, epoch)?;
                Upkeep::Maintained(Box::new(built.maintained))
            }
        };
        let change = match (&before, &upkeep) {
            (Some(ViewState { upkeep: Upkeep::Maintained(old), .. }), Upkeep::Maintained(new)) => {
                if same_types(&old.contents.arena().snapshot(epoch).schema(), &relation.schema) {
                    difference(old, new, epoch)?
                } else {
                    self.end_subscriptions(relation.id, "has other columns now");
                    Vec::new()
                }
            }
            _ => Vec::new(),
        };
        self.republish.insert(relation.id);
        self.views.insert(relation.id, ViewState { relation, spec, upkeep });
        Ok(change)
    }

    /// Hands a circuit that was built from a version what has been committed since.
    pub fn catch_up(&self, built: &mut Built, epoch: u64) -> Result<()> {
        let time_us = self.time_us();
        let now = self.snapshots(epoch);
        let mut inputs = Vec::new();
        for (id, before) in &built.from {
            let after = now.kept.get(id).ok_or_else(|| Error::new(ErrorKind::Conflict, "a relation was dropped"))?;
            let changes = after.changes_since(before)?;
            if !changes.is_empty() {
                inputs.push((*id, changes));
            }
        }
        if inputs.is_empty() {
            return Ok(());
        }
        let run = |plan: &_| recompute(&self.shared, self.snapshots(epoch), time_us, plan);
        let cx = StepContext { now_us: time_us, recompute: &run };
        built.maintained.step(&inputs, &cx, epoch).map(drop)
    }

    /// Removes a relation and its state.
    fn take_out(&mut self, catalog: &mut Catalog, relation: &Arc<Relation>, dependents_checked: bool) -> Result<()> {
        if !dependents_checked && let Some(reader) = catalog.dependents(relation.id).next() {
            return Err(Error::new(
                ErrorKind::Dependency,
                format!("{} \"{}\" reads \"{}\"", reader.kind.name(), reader.name, relation.name),
            )
            .with_hint("drop it first, or use CASCADE"));
        }
        catalog.remove(relation.id);
        self.tables.remove(&relation.id);
        self.views.remove(&relation.id);
        self.end_subscriptions(relation.id, "was dropped");
        Ok(())
    }

    /// Ends what follows a relation.
    fn end_subscriptions(&mut self, id: RelationId, reason: &str) {
        let name = self.shared.version().name(id);
        self.subscribers.retain(|subscriber| {
            let follows = match &subscriber.target {
                Target::Relation(followed) => *followed == id,
                Target::Query { spec, .. } => spec.inputs().contains(&id),
            };
            if follows {
                subscriber.queue.end(&format!("\"{name}\" {reason}"));
            }
            !follows
        });
    }

    /// Puts each view behind those it reads.
    fn sort_views(&mut self, catalog: &Catalog) {
        let mut order = Vec::new();
        let mut done = BTreeSet::new();
        for relation in catalog.relations() {
            visit(catalog, relation, &mut done, &mut order);
        }
        order.retain(|id| self.views.contains_key(id));
        self.order = order;
    }
}

fn visit(catalog: &Catalog, relation: &Relation, done: &mut BTreeSet<RelationId>, order: &mut Vec<RelationId>) {
    if !done.insert(relation.id) {
        return;
    }
    for below in relation.dependencies.iter().filter_map(|id| catalog.by_id(*id)) {
        visit(catalog, below, done, order);
    }
    order.push(relation.id);
}

/// Whether rows of one schema can stand beside rows of the other.
fn same_types(one: &Schema, other: &Schema) -> bool {
    one.fields().iter().map(|field| field.data_type()).eq(other.fields().iter().map(|field| field.data_type()))
}

/// What turns one view's contents into another's.
fn difference(old: &Maintained, new: &Maintained, epoch: u64) -> Result<Vec<crate::base::change::ChangeBatch>> {
    let mut batches = Vec::new();
    for (contents, sign) in [(&old.contents, -1), (&new.contents, 1)] {
        let snapshot = contents.arena().snapshot(epoch);
        for chunk in 0..snapshot.chunks() {
            if let Some(rows) = snapshot.read_chunk(chunk, None, false)? {
                let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
                let schema = new.contents.arena().snapshot(epoch).schema();
                let rows = RecordBatch::try_new_with_options(schema, rows.columns().to_vec(), &options)?;
                batches.push(match sign {
                    1 => crate::base::change::ChangeBatch::inserts(rows),
                    _ => crate::base::change::ChangeBatch::deletes(rows),
                });
            }
        }
    }
    crate::state::consolidate::consolidate(&batches)
}
