//! System tables: what the database says about itself, `eddy.*` and `information_schema.*`.
//!
//! Everything here is read from a version, so it agrees with what queries see. Nothing here is stored.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringViewArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::base::error::Result;
use crate::catalog::relation::{DEAD_LETTERS, Relation, RelationKind};
use crate::db::connectors::Status;
use crate::db::follower::Standing;
use crate::db::pump::bad_records;
use crate::db::sequencer::followers::followers;
use crate::db::settings::Settings;
use crate::db::shared::Shared;
use crate::db::version::{Contents, Version};
use crate::plan::source::{BatchSource, RowSource};
use crate::sql::name::{CATALOG, PUBLIC};

/// The rows of a system table; `None` if there is none of that name.
pub fn table(shared: &Shared, version: &Version, schema: &str, name: &str) -> Option<Arc<dyn RowSource>> {
    let batch = match (schema, name) {
        ("eddy", "tables" | "relations") => relations(version, |relation| !relation.kind.is_follower()),
        ("eddy", "subscriptions") => subscriptions(shared, version, |_| true),
        ("eddy", "views") => views(version),
        ("eddy", "settings") => settings(shared, &Settings::default()),
        ("eddy", "state") => state(version),
        ("eddy", "positions") => positions(version),
        ("eddy", "sources") => sources(shared, version, |_| true),
        ("eddy", "sinks") => sinks(shared, version, |_| true),
        ("eddy", "dead_letters") => return dead_letters(version).ok(),
        ("information_schema", "tables") => information_tables(version),
        ("information_schema", "columns") => columns(version, |relation| !relation.kind.is_follower()),
        _ => return None,
    };
    batch.ok().map(|batch| Arc::new(BatchSource(batch)) as Arc<dyn RowSource>)
}

/// The relations that are wanted, with their kind and size.
pub fn relations(version: &Version, wanted: impl Fn(&Relation) -> bool) -> Result<RecordBatch> {
    let found: Vec<_> = version.catalog.relations().filter(|relation| wanted(relation)).collect();
    Table::new()
        .text("name", found.iter().map(|relation| Some(&relation.name)))
        .text("kind", found.iter().map(|relation| Some(relation.kind.name())))
        .integer("rows", found.iter().map(|relation| rows_of(version, relation)))
        .integer("columns", found.iter().map(|relation| i64::try_from(relation.schema.fields().len()).ok()))
        .build()
}

fn views(version: &Version) -> Result<RecordBatch> {
    let found: Vec<_> = version.catalog.relations().filter(|relation| relation.query.is_some()).collect();
    let failure = |relation: &Relation| {
        version
            .entries
            .get(&relation.id)
            .and_then(|entry| entry.failure.as_ref())
            .map(|failure| failure.message.clone())
    };
    let upkeep = |relation: &Relation| match version.entries.get(&relation.id).map(|entry| &entry.contents) {
        None => "expanded where it is read",
        Some(Contents::Kept(_)) => "maintained",
        Some(Contents::Lazy(_)) => "recomputed when read",
        Some(Contents::Awaited { .. }) => "recomputed when read, until it is filled",
    };
    let state = |relation: &Relation| {
        let entry = version.entries.get(&relation.id)?;
        Some(match (&entry.failure, &entry.contents) {
            (Some(_), _) => "failed",
            (None, Contents::Kept(_)) => "maintained",
            (None, Contents::Lazy(_)) => "lazy",
            (None, Contents::Awaited { .. }) => "rebuilding",
        })
    };
    let percent = |relation: &Relation| {
        let rebuild = version.entries.get(&relation.id)?.contents.rebuild()?;
        i64::try_from(rebuild.percent()).ok()
    };
    Table::new()
        .text("name", found.iter().map(|relation| Some(&relation.name)))
        .text("kind", found.iter().map(|relation| Some(relation.kind.name())))
        .text("upkeep", found.iter().map(|relation| Some(upkeep(relation))))
        .text("state", found.iter().map(|relation| state(relation)))
        .integer("rebuilt_percent", found.iter().map(|relation| percent(relation)))
        .integer("rows", found.iter().map(|relation| rows_of(version, relation)))
        .text("failure", found.iter().map(|relation| failure(relation)))
        .text("query", found.iter().map(|relation| relation.query.as_ref()))
        .build()
}

/// The subscriptions that are wanted: what they follow, how far they have come, what waits for them.
pub fn subscriptions(shared: &Shared, version: &Version, wanted: impl Fn(&Relation) -> bool) -> Result<RecordBatch> {
    let found = followers(version).filter(|(relation, _)| relation.kind == RelationKind::Subscription);
    let found: Vec<_> = found.filter(|(relation, _)| wanted(relation)).collect();
    let waiting = |relation: &Relation| Some(shared.followers.get(relation.id)?.queue().waiting());
    let followed = |relation: &Relation| relation.dependencies.first().map(|id| version.name(*id));
    let integer = |number: u64| i64::try_from(number).ok();
    let state = |standing: &Standing| if standing.expired.is_some() { "expired" } else { "active" };
    let options = |relation: &Relation| {
        let options: Vec<String> = relation.options.iter().map(|(key, value)| format!("{key} = '{value}'")).collect();
        options.join(", ")
    };
    Table::new()
        .text("name", found.iter().map(|(relation, _)| Some(&relation.name)))
        .text("relation", found.iter().map(|(relation, _)| followed(relation)))
        .text("state", found.iter().map(|(_, standing)| Some(state(standing))))
        .integer("acknowledged_epoch", found.iter().map(|(_, standing)| integer(standing.acknowledged())))
        .integer("waiting_events", found.iter().map(|(relation, _)| integer(waiting(relation)?.events as u64)))
        .integer("waiting_rows", found.iter().map(|(relation, _)| integer(waiting(relation)?.rows as u64)))
        .text("reason", found.iter().map(|(_, standing)| standing.expired.as_ref().map(|(_, reason)| reason)))
        .text("options", found.iter().map(|(relation, _)| Some(options(relation))))
        .build()
}

fn state(version: &Version) -> Result<RecordBatch> {
    let found: Vec<_> = version.catalog.relations().filter(|relation| !relation.kind.is_follower()).collect();
    let changed = |relation: &Relation| i64::try_from(version.changed(relation.id)).ok();
    Table::new()
        .text("name", found.iter().map(|relation| Some(&relation.name)))
        .integer("rows", found.iter().map(|relation| rows_of(version, relation)))
        .integer("changed_epoch", found.iter().map(|relation| changed(relation)))
        .build()
}

/// The sources that are wanted, and how it goes with each.
pub fn sources(shared: &Shared, version: &Version, wanted: impl Fn(&Relation) -> bool) -> Result<RecordBatch> {
    let found: Vec<_> =
        version.catalog.relations().filter(|relation| relation.is_source() && wanted(relation)).collect();
    let statuses: Vec<Status> = found.iter().map(|relation| shared.connectors.of(relation.id).lock().clone()).collect();
    let state = |(relation, status): (&&Arc<Relation>, &Status)| match relation.is_paused() {
        true => Some("paused"),
        false => Some(status.state.name()),
    };
    let offsets = |relation: &Relation| {
        let splits = version.positions.of(relation.id).filter(|(split, _)| !split.is_empty());
        let splits: Vec<String> = splits.map(|(_, offset)| offset.to_string()).collect();
        Some(format!("[{}]", splits.join(", ")))
    };
    let bad = |relation: &Relation| i64::try_from(bad_records(version.positions.get(relation.id, ""))).ok();
    Table::new()
        .text("name", found.iter().map(|relation| Some(&relation.name)))
        .text("connector", found.iter().map(|relation| relation.options.get("connector")))
        .text("state", found.iter().zip(&statuses).map(state))
        .integer("rows", found.iter().map(|relation| rows_of(version, relation)))
        .integer("bad_records", found.iter().map(|relation| bad(relation)))
        .text("offsets", found.iter().map(|relation| offsets(relation)))
        .text("last_error", statuses.iter().map(|status| status.error.as_ref()))
        .build()
}

/// The sinks that are wanted, how far they have come, and how it goes with each.
pub fn sinks(shared: &Shared, version: &Version, wanted: impl Fn(&Relation) -> bool) -> Result<RecordBatch> {
    let found = followers(version).filter(|(relation, _)| relation.kind == RelationKind::Sink && wanted(relation));
    let found: Vec<_> = found.collect();
    let name = |relation: &Relation, place: usize| relation.dependencies.get(place).map(|id| version.name(*id));
    let status = |relation: &Relation| shared.connectors.of(relation.id).lock().clone();
    let state = |relation: &Relation| match relation.is_paused() {
        true => "paused",
        false => status(relation).state.name(),
    };
    let to = |relation: &Relation| relation.options.get("path").cloned().or_else(|| name(relation, 1));
    let waiting = |relation: &Relation| {
        let waiting = shared.followers.get(relation.id)?.queue().waiting();
        i64::try_from(waiting.rows).ok()
    };
    Table::new()
        .text("name", found.iter().map(|(relation, _)| Some(&relation.name)))
        .text("relation", found.iter().map(|(relation, _)| name(relation, 0)))
        .text("target", found.iter().map(|(relation, _)| to(relation)))
        .text("state", found.iter().map(|(relation, _)| Some(state(relation))))
        .integer("epoch", found.iter().map(|(_, standing)| i64::try_from(standing.acknowledged()).ok()))
        .integer("waiting_rows", found.iter().map(|(relation, _)| waiting(relation)))
        .text("last_error", found.iter().map(|(relation, _)| status(relation).error))
        .build()
}

/// The columns of `eddy.dead_letters`: where a record came from, what is wrong with it, and the record.
pub fn dead_letter_columns() -> SchemaRef {
    let names = ["source", "position", "reason", "raw"];
    Arc::new(Schema::new(names.map(|name| Field::new(name, DataType::Utf8View, false)).to_vec()))
}

/// The records that were no rows.
fn dead_letters(version: &Version) -> Result<Arc<dyn RowSource>> {
    let mut batches = vec![RecordBatch::new_empty(dead_letter_columns())];
    if let Some(stream) = version.catalog.get(DEAD_LETTERS)
        && let Contents::Kept(rows) = &version.entry(stream.id)?.contents
    {
        for chunk in 0..rows.chunks() {
            batches.extend(rows.read_chunk(chunk, None, false)?);
        }
    }
    Ok(Arc::new(BatchSource(concat_batches(&dead_letter_columns(), &batches)?)))
}

fn positions(version: &Version) -> Result<RecordBatch> {
    let found: Vec<_> = version.positions.all().collect();
    Table::new()
        .text("relation", found.iter().map(|position| Some(version.name(position.relation))))
        .text("split", found.iter().map(|position| Some(&position.split)))
        .text("position", found.iter().map(|position| Some(&position.value)))
        .build()
}

/// The settings of a session.
pub fn settings(shared: &Shared, settings: &Settings) -> Result<RecordBatch> {
    let list = settings.list(shared);
    Table::new()
        .text("name", list.iter().map(|(name, _, _)| Some(name)))
        .text("value", list.iter().map(|(_, value, _)| Some(value)))
        .text("description", list.iter().map(|(_, _, meaning)| Some(meaning)))
        .build()
}

fn information_tables(version: &Version) -> Result<RecordBatch> {
    let found: Vec<_> = version.catalog.relations().filter(|relation| !relation.kind.is_follower()).collect();
    let kind = |relation: &Relation| match relation.kind {
        RelationKind::Table | RelationKind::Stream => "BASE TABLE",
        _ => "VIEW",
    };
    Table::new()
        .text("table_catalog", found.iter().map(|_| Some(CATALOG)))
        .text("table_schema", found.iter().map(|_| Some(PUBLIC)))
        .text("table_name", found.iter().map(|relation| Some(&relation.name)))
        .text("table_type", found.iter().map(|relation| Some(kind(relation))))
        .build()
}

/// The columns of the relations that are wanted.
pub fn columns(version: &Version, wanted: impl Fn(&Relation) -> bool) -> Result<RecordBatch> {
    let found: Vec<(&Relation, usize)> = version
        .catalog
        .relations()
        .filter(|relation| wanted(relation))
        .flat_map(|relation| (0..relation.schema.fields().len()).map(move |column| (relation.as_ref(), column)))
        .collect();
    let yes_no = |yes: bool| if yes { "YES" } else { "NO" };
    Table::new()
        .text("table_schema", found.iter().map(|_| Some(PUBLIC)))
        .text("table_name", found.iter().map(|(relation, _)| Some(&relation.name)))
        .text("column_name", found.iter().map(|(relation, n)| Some(relation.schema.field(*n).name())))
        .integer("ordinal_position", found.iter().map(|(_, n)| i64::try_from(n + 1).ok()))
        .text("data_type", found.iter().map(|(r, n)| Some(r.type_name(*n))))
        .text("is_nullable", found.iter().map(|(r, n)| Some(yes_no(r.schema.field(*n).is_nullable()))))
        .text("column_default", found.iter().map(|(r, n)| r.defaults.get(*n).and_then(Option::as_ref)))
        .build()
}

fn rows_of(version: &Version, relation: &Relation) -> Option<i64> {
    match &version.entries.get(&relation.id)?.contents {
        Contents::Kept(snapshot) => i64::try_from(snapshot.num_rows()).ok(),
        Contents::Lazy(cell) | Contents::Awaited { computed: cell, .. } => {
            cell.lock().as_ref().and_then(|snapshot| i64::try_from(snapshot.num_rows()).ok())
        }
    }
}

/// A small table built column by column.
pub struct Table {
    fields: Vec<Field>,
    columns: Vec<ArrayRef>,
}

impl Table {
    /// A table without columns.
    pub fn new() -> Self {
        Table { fields: Vec::new(), columns: Vec::new() }
    }

    /// Adds a column of text.
    pub fn text<T: AsRef<str>>(mut self, name: &str, values: impl IntoIterator<Item = Option<T>>) -> Self {
        self.fields.push(Field::new(name, DataType::Utf8View, true));
        self.columns.push(Arc::new(StringViewArray::from_iter(values)));
        self
    }

    /// Adds a column of integers.
    pub fn integer(mut self, name: &str, values: impl IntoIterator<Item = Option<i64>>) -> Self {
        self.fields.push(Field::new(name, DataType::Int64, true));
        self.columns.push(Arc::new(Int64Array::from_iter(values)));
        self
    }

    /// Adds a column of truth values.
    pub fn boolean(mut self, name: &str, values: impl IntoIterator<Item = bool>) -> Self {
        self.fields.push(Field::new(name, DataType::Boolean, false));
        self.columns.push(Arc::new(BooleanArray::from_iter(values.into_iter().map(Some))));
        self
    }

    /// The table as a batch; an error if its columns are not equally long.
    pub fn build(self) -> Result<RecordBatch> {
        Ok(RecordBatch::try_new(Arc::new(Schema::new(self.fields)), self.columns)?)
    }
}
