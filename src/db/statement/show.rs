//! SHOW, DESCRIBE and SUMMARIZE: what the database says about itself, one statement at a time.
//!
//! What a system table tells too is asked of [`crate::db::system`].

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use sqlparser::ast;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::types::sql_type_name;
use crate::catalog::relation::RelationKind;
use crate::db::names::resolve;
use crate::db::read::Reader;
use crate::db::settings::Settings;
use crate::db::shared::Shared;
use crate::db::statement::definition::create_text;
use crate::db::system::{Table, columns, relations, settings, sinks, sources, subscriptions};
use crate::db::version::Version;
use crate::sql;
use crate::sql::name::{Name, SchemaName};
use crate::sql::statement::{RelationOrQuery, Show, ShowWhat};

/// SHOW.
pub fn show(shared: &Arc<Shared>, version: &Version, settings_of: &Settings, show: &Show) -> Result<RecordBatch> {
    let like = |name: &str| show.like.as_deref().is_none_or(|pattern| matches_like(pattern, name));
    let of = |kinds: &'static [RelationKind]| {
        relations(version, |relation| kinds.contains(&relation.kind) && like(&relation.name))
    };
    match &show.what {
        ShowWhat::Tables => relations(version, |relation| !relation.kind.is_follower() && like(&relation.name)),
        ShowWhat::Streams => of(&[RelationKind::Stream]),
        ShowWhat::Sources => sources(shared, version, |relation| like(&relation.name)),
        ShowWhat::Views => of(&[RelationKind::View, RelationKind::MaterializedView]),
        ShowWhat::MaterializedViews => of(&[RelationKind::MaterializedView]),
        ShowWhat::Subscriptions => subscriptions(shared, version, |relation| like(&relation.name)),
        ShowWhat::Sinks => sinks(shared, version, |relation| like(&relation.name)),
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
                .text("sql", [Some(create_text(&version.catalog, &relation))])
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
        None => reader.plan(&reader.query_of(target)?)?.schema,
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
    let query = reader.query_of(target)?;
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
