//! What the database says about itself: SHOW, DESCRIBE, SUMMARIZE, `eddy.*` and `information_schema.*`.
//!
//! Everything here is read from a version, so it agrees with what queries see. Nothing here is stored.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema};
use sqlparser::ast;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::types::sql_type_name;
use crate::catalog::relation::{Relation, RelationKind};
use crate::db::read::Reader;
use crate::db::settings::Settings;
use crate::db::shared::Shared;
use crate::db::statement::dml::resolve;
use crate::db::version::{Contents, Version};
use crate::plan::source::{BatchSource, RowSource};
use crate::sql;
use crate::sql::name::{CATALOG, Name, PUBLIC, SchemaName};
use crate::sql::statement::{RelationOrQuery, Show, ShowWhat};

/// A small table built column by column.
struct Table {
    fields: Vec<Field>,
    columns: Vec<ArrayRef>,
}

impl Table {
    fn new() -> Self {
        Table { fields: Vec::new(), columns: Vec::new() }
    }

    fn text<T: AsRef<str>>(mut self, name: &str, values: impl IntoIterator<Item = Option<T>>) -> Self {
        self.fields.push(Field::new(name, DataType::Utf8View, true));
        self.columns.push(Arc::new(StringViewArray::from_iter(values)));
        self
    }

    fn integer(mut self, name: &str, values: impl IntoIterator<Item = Option<i64>>) -> Self {
        self.fields.push(Field::new(name, DataType::Int64, true));
        self.columns.push(Arc::new(Int64Array::from_iter(values)));
        self
    }

    fn boolean(mut self, name: &str, values: impl IntoIterator<Item = bool>) -> Self {
        self.fields.push(Field::new(name, DataType::Boolean, false));
        self.columns.push(Arc::new(BooleanArray::from_iter(values.into_iter().map(Some))));
        self
    }

    fn build(self) -> Result<RecordBatch> {
        Ok(RecordBatch::try_new(Arc::new(Schema::new(self.fields)), self.columns)?)
    }
}

/// The rows of a system table; `None` if there is none of that name.
pub fn table(shared: &Arc<Shared>, version: &Version, schema: &str, name: &str) -> Option<Arc<dyn RowSource>> {
    let batch = match (schema, name) {
        ("eddy", "tables" | "relations") => relations(version, |_| true),
        ("eddy", "views") => views(version),
        ("eddy", "settings") => settings(shared, &Settings::default()),
        ("eddy", "state") => state(version),
        ("information_schema", "tables") => information_tables(version),
        ("information_schema", "columns") => columns(version, |_| true),
        _ => return None,
    };
    batch.ok().map(|batch| Arc::new(BatchSource(batch)) as Arc<dyn RowSource>)
}

/// SHOW.
pub fn show(shared: &Arc<Shared>, version: &Version, settings_of: &Settings, show: &Show) -> Result<RecordBatch> {
    let like = |name: &str| show.like.as_deref().is_none_or(|pattern| matches_like(pattern, name));
    let of = |kinds: &'static [RelationKind]| {
        relations(version, |relation| kinds.contains(&relation.kind) && like(&relation.name))
    };
    match &show.what {
        ShowWhat::Tables => relations(version, |relation| like(&relation.name)),
        ShowWhat::Streams | ShowWhat::Sources => of(&[RelationKind::Stream]),
        ShowWhat::Views => of(&[RelationKind::View, RelationKind::MaterializedView]),
        ShowWhat::MaterializedViews => of(&[RelationKind::MaterializedView]),
        ShowWhat::Sinks => relations(version, |_| false),
        ShowWhat::Indexes(of) => indexes(version, of.as_ref()),
        ShowWhat::Columns(name) => {
            let relation = resolve(&version.catalog, name)?;
            columns(version, |other| other.id == relation.id)
        }
        ShowWhat::Functions => {
            let functions = shared.functions.read().clone();
            let mut names: Vec<(String, &str)> = Vec::new();
            names.extend(functions.scalar_names().into_iter().map(|name| (name, "scalar")));
            names.extend(functions.aggregate_names().into_iter().map(|name| (name, "aggregate")));
            names.extend(functions.window_names().into_iter().map(|name| (name, "window")));
            // What plans are made with is nobody's to call.
            names.retain(|(name, _)| like(name) && !name.starts_with("eddy_"));
            names.sort();
            names.dedup();
            Table::new()
                .text("name", names.iter().map(|(name, _)| Some(name)))
                .text("kind", names.iter().map(|(_, kind)| Some(*kind)))
                .build()
        }
        ShowWhat::Settings => settings(shared, settings_of),
        ShowWhat::Setting(name) => {
            let list = settings_of.list(shared);
            let value = list.iter().find(|(known, _, _)| known == name).map(|(_, value, _)| value.clone());
            let value = value.ok_or_else(|| {
                Error::new(ErrorKind::NotFound, format!("unknown setting \"{name}\""))
                    .with_sqlstate("42704")
                    .with_hint("SHOW SETTINGS lists them")
            })?;
            Table::new().text(name, [Some(value)]).build()
        }
        ShowWhat::Create(name) => {
            let relation = resolve(&version.catalog, name)?;
            Table::new()
                .text("name", [Some(&relation.name)])
                .text("sql", [Some(create_text(version, &relation))])
                .build()
        }
    }
}

/// `LIKE` without escapes: `%` any text, `_` any character.
fn matches_like(pattern: &str, text: &str) -> bool {
    fn matches(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('%', rest)), _) => (0..=text.len()).any(|skip| matches(rest, &text[skip..])),
            (Some(('_', rest)), Some((_, text))) => matches(rest, text),
            (Some((p, rest)), Some((t, text))) => p.eq_ignore_ascii_case(t) && matches(rest, text),
            _ => false,
        }
    }
    matches(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>())
}

fn rows_of(version: &Version, relation: &Relation) -> Option<i64> {
    match &version.entries.get(&relation.id)?.contents {
        Contents::Kept(snapshot) => i64::try_from(snapshot.num_rows()).ok(),
        Contents::Lazy(cell) => cell.lock().as_ref().and_then(|snapshot| i64::try_from(snapshot.num_rows()).ok()),
    }
}

fn relations(version: &Version, wanted: impl Fn(&Relation) -> bool) -> Result<RecordBatch> {
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
    };
    Table::new()
        .text("name", found.iter().map(|relation| Some(&relation.name)))
        .text("kind", found.iter().map(|relation| Some(relation.kind.name())))
        .text("upkeep", found.iter().map(|relation| Some(upkeep(relation))))
        .integer("rows", found.iter().map(|relation| rows_of(version, relation)))
        .text("failure", found.iter().map(|relation| failure(relation)))
        .text("query", found.iter().map(|relation| relation.query.as_ref()))
        .build()
}

fn state(version: &Version) -> Result<RecordBatch> {
    let found: Vec<_> = version.catalog.relations().collect();
    let changed = |relation: &Relation| i64::try_from(version.changed(relation.id)).ok();
    Table::new()
        .text("name", found.iter().map(|relation| Some(&relation.name)))
        .integer("rows", found.iter().map(|relation| rows_of(version, relation)))
        .integer("changed_epoch", found.iter().map(|relation| changed(relation)))
        .build()
}

fn indexes(version: &Version, of: Option<&Name>) -> Result<RecordBatch> {
    let of = of.map(|name| resolve(&version.catalog, name)).transpose()?;
    let mut rows: Vec<(String, String, String, bool)> = Vec::new();
    for relation in version.catalog.relations().filter(|r| of.as_ref().is_none_or(|of| of.id == r.id)) {
        let names = |columns: &[usize]| {
            columns.iter().map(|&c| relation.schema.field(c).name().as_str()).collect::<Vec<_>>().join(", ")
        };
        if !relation.primary_key.is_empty() {
            let name = format!("{}_pkey", relation.name);
            rows.push((name, relation.name.clone(), names(&relation.primary_key), true));
        }
        rows.extend(relation.unique.iter().map(|(n, c)| (n.clone(), relation.name.clone(), names(c), true)));
        rows.extend(relation.indexes.iter().map(|(n, c)| (n.clone(), relation.name.clone(), names(c), false)));
    }
    Table::new()
        .text("name", rows.iter().map(|row| Some(&row.0)))
        .text("relation", rows.iter().map(|row| Some(&row.1)))
        .text("columns", rows.iter().map(|row| Some(&row.2)))
        .boolean("unique", rows.iter().map(|row| row.3))
        .build()
}

fn settings(shared: &Shared, settings: &Settings) -> Result<RecordBatch> {
    let list = settings.list(shared);
    Table::new()
        .text("name", list.iter().map(|(name, _, _)| Some(name)))
        .text("value", list.iter().map(|(_, value, _)| Some(value)))
        .text("description", list.iter().map(|(_, _, meaning)| Some(meaning)))
        .build()
}

fn information_tables(version: &Version) -> Result<RecordBatch> {
    let found: Vec<_> = version.catalog.relations().collect();
    let kind = |relation: &Relation| match relation.kind {
        RelationKind::Table | RelationKind::Stream => "BASE TABLE",
        RelationKind::View | RelationKind::MaterializedView => "VIEW",
    };
    Table::new()
        .text("table_catalog", found.iter().map(|_| Some(CATALOG)))
        .text("table_schema", found.iter().map(|_| Some(PUBLIC)))
        .text("table_name", found.iter().map(|relation| Some(&relation.name)))
        .text("table_type", found.iter().map(|relation| Some(kind(relation))))
        .build()
}

fn columns(version: &Version, wanted: impl Fn(&Relation) -> bool) -> Result<RecordBatch> {
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

/// DESCRIBE: names, types and constraints of columns.
pub fn describe(reader: &Reader<'_>, target: &RelationOrQuery) -> Result<RecordBatch> {
    let relation = match target {
        RelationOrQuery::Relation(name) if matches!(name.resolve()?, (SchemaName::Main, _)) => {
            Some(resolve(&reader.version.catalog, name)?)
        }
        _ => None,
    };
    let schema = match &relation {
        Some(relation) => relation.schema.clone(),
        None => reader.plan(&query_of(reader, target)?)?.schema,
    };
    let key = |column: usize| match &relation {
        Some(relation) if relation.primary_key.contains(&column) => Some("PRI"),
        Some(relation) if relation.unique.iter().any(|(_, columns)| columns == &[column]) => Some("UNI"),
        _ => None,
    };
    let type_name = |column: usize| match &relation {
        Some(relation) => relation.type_name(column),
        None => sql_type_name(schema.field(column).data_type()),
    };
    let default = |column: usize| relation.as_ref().and_then(|r| r.defaults.get(column).cloned().flatten());
    let fields = schema.fields();
    Table::new()
        .text("column_name", fields.iter().map(|field| Some(field.name())))
        .text("column_type", (0..fields.len()).map(|column| Some(type_name(column))))
        .text("null", fields.iter().map(|field| Some(if field.is_nullable() { "YES" } else { "NO" })))
        .text("key", (0..fields.len()).map(key))
        .text("default", (0..fields.len()).map(default))
        .build()
}

/// SUMMARIZE as a query: one row a column of the target.
pub fn summarize(reader: &Reader<'_>, target: &RelationOrQuery) -> Result<ast::Query> {
    let query = query_of(reader, target)?;
    let schema = reader.plan(&query)?.schema;
    let parts: Vec<String> = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(position, field)| summary_of(position, field.name(), field.data_type()))
        .collect();
    let names: Vec<String> = (0..schema.fields().len()).map(|n| format!("c{n}")).collect();
    let text = format!(
        "WITH s({}) AS (SELECT 1) SELECT column_name, column_type, min, max, approx_unique, avg, std, count, \
         null_percentage FROM ({}) AS q ORDER BY position",
        names.join(", "),
        parts.join(" UNION ALL ")
    );
    let mut summary = sql::parse_query(&text)?;
    if let Some(with) = summary.with.as_mut()
        && let Some(table) = with.cte_tables.first_mut()
    {
        *table.query = query;
    }
    Ok(*summary)
}

fn summary_of(position: usize, name: &str, data_type: &DataType) -> String {
    let column = format!("c{position}");
    let quoted = name.replace('\'', "''");
    let numeric = data_type.is_numeric();
    let number = |function: &str| match numeric {
        true => format!("CAST({function}(CAST({column} AS DOUBLE)) AS DOUBLE)"),
        false => "CAST(NULL AS DOUBLE)".to_string(),
    };
    let extreme = |function: &str| match data_type {
        DataType::List(_) | DataType::Struct(_) => "CAST(NULL AS TEXT)".to_string(),
        _ => format!("CAST({function}({column}) AS TEXT)"),
    };
    format!(
        "SELECT {position} AS position, '{quoted}' AS column_name, '{}' AS column_type, {} AS min, {} AS max, \
         count(DISTINCT {column}) AS approx_unique, {} AS avg, {} AS std, count(*) AS count, \
         round(100.0e0 * (count(*) - count({column})) / greatest(count(*), 1), 2) AS null_percentage FROM s",
        sql_type_name(data_type).replace('\'', "''"),
        extreme("min"),
        extreme("max"),
        number("avg"),
        number("stddev"),
    )
}

/// The query that reads a target.
pub fn query_of(reader: &Reader<'_>, target: &RelationOrQuery) -> Result<ast::Query> {
    let name = match target {
        RelationOrQuery::Query(query) => return Ok(query.as_ref().clone()),
        RelationOrQuery::Relation(name) => name,
    };
    let quote = |part: &str| format!("\"{}\"", part.replace('"', "\"\""));
    let text = match name.resolve()? {
        (SchemaName::System(schema), table) => format!("{}.{}", quote(schema), quote(table)),
        (SchemaName::Main, _) => quote(&resolve(&reader.version.catalog, name)?.name),
    };
    sql::parse_query(&format!("SELECT * FROM {text}")).map(|query| *query)
}

/// A statement that makes the relation again.
fn create_text(version: &Version, relation: &Relation) -> String {
    let _ = version;
    if let Some(query) = &relation.query {
        return format!("CREATE {} {} AS {query};", relation.kind.name().to_uppercase(), relation.name);
    }
    let mut parts: Vec<String> = relation
        .schema
        .fields()
        .iter()
        .enumerate()
        .map(|(column, field)| {
            let mut text = format!("{} {}", field.name(), relation.type_name(column));
            if !field.is_nullable() {
                text.push_str(" NOT NULL");
            }
            if let Some(Some(default)) = relation.defaults.get(column) {
                text.push_str(&format!(" DEFAULT {default}"));
            }
            text
        })
        .collect();
    let names = |columns: &[usize]| {
        columns.iter().map(|&c| relation.schema.field(c).name().as_str()).collect::<Vec<_>>().join(", ")
    };
    if !relation.primary_key.is_empty() {
        parts.push(format!("PRIMARY KEY ({})", names(&relation.primary_key)));
    }
    parts.extend(relation.unique.iter().map(|(_, columns)| format!("UNIQUE ({})", names(columns))));
    if let Some(watermark) = &relation.watermark {
        let column = relation.schema.field(watermark.column).name();
        parts.push(format!("WATERMARK FOR {column} AS {}", watermark.expression));
    }
    format!("CREATE {} {} ({});", relation.kind.name().to_uppercase(), relation.name, parts.join(", "))
}
