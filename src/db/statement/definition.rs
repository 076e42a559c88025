//! Definitions as SQL: a text that makes a relation again.

use crate::catalog::definitions::Catalog;
use crate::catalog::relation::{CHANGES, Relation, RelationKind};
use crate::db::follower::ON_FULL;
use crate::db::names::quoted;

/// Statements that make the relation again, its indexes among them.
pub fn create_text(catalog: &Catalog, relation: &Relation) -> String {
    let (kind, name) = (relation.kind.name().to_uppercase(), quoted(&relation.name));
    if relation.kind.is_follower() {
        let followed = relation.dependencies.first().and_then(|id| catalog.by_id(*id));
        let followed = followed.map(|relation| quoted(&relation.name)).unwrap_or_default();
        // What follows from what is followed is not said.
        let decided: &[&str] = if relation.kind == RelationKind::Sink { &[CHANGES, ON_FULL] } else { &[] };
        let options: Vec<_> = relation
            .options
            .iter()
            .filter(|(key, _)| !decided.contains(&key.as_str()))
            .map(|(key, value)| format!("{key} = '{}'", value.replace('\'', "''")))
            .collect();
        let with = if options.is_empty() { String::new() } else { format!(" WITH ({})", options.join(", ")) };
        let into = relation.dependencies.get(1).and_then(|id| catalog.by_id(*id));
        return match (relation.kind, into) {
            (RelationKind::Sink, Some(into)) => {
                format!("CREATE SINK {name} INTO {} FROM {followed}{with};", quoted(&into.name))
            }
            (RelationKind::Sink, None) => format!("CREATE SINK {name} FROM {followed}{with};"),
            _ => format!("CREATE {kind} {name} ON {followed}{with};"),
        };
    }
    if let Some(query) = &relation.query {
        let columns: Vec<_> = relation.schema.fields().iter().map(|field| quoted(field.name())).collect();
        return match relation.kind {
            RelationKind::MaterializedView | RelationKind::View => {
                format!("CREATE {kind} {name} ({}) AS {query};", columns.join(", "))
            }
            _ => format!("CREATE {kind} {name} AS {query};"),
        };
    }
    let column = |(place, field): (usize, &std::sync::Arc<arrow::datatypes::Field>)| {
        let mut text = format!("{} {}", quoted(field.name()), relation.type_name(place));
        if !field.is_nullable() {
            text.push_str(" NOT NULL");
        }
        if let Some(Some(default)) = relation.defaults.get(place) {
            text.push_str(&format!(" DEFAULT {default}"));
        }
        text
    };
    let mut parts: Vec<String> = relation.schema.fields().iter().enumerate().map(column).collect();
    if !relation.primary_key.is_empty() {
        parts.push(format!("PRIMARY KEY ({})", names(relation, &relation.primary_key)));
    }
    let is_plain = |(key, at): &&(String, Vec<usize>)| *key == relation.key_name(at);
    let unique = relation.unique.iter().filter(is_plain);
    parts.extend(unique.map(|(_, at)| format!("UNIQUE ({})", names(relation, at))));
    if let Some(watermark) = &relation.watermark {
        let column = relation.schema.field(watermark.column).name();
        parts.push(format!("WATERMARK FOR {} AS {}", quoted(column), watermark.expression));
    }
    let (kind, options) = match relation.is_source() {
        true => ("SOURCE".to_string(), with_options(relation)),
        false => (kind, String::new()),
    };
    let mut text = format!("CREATE {kind} {name} ({}){options};", parts.join(", "));
    let index = |what: &str, (key, at): &(String, Vec<usize>)| {
        format!("\nCREATE {what} {} ON {name} ({});", quoted(key), names(relation, at))
    };
    let named = relation.unique.iter().filter(|key| !is_plain(key));
    named.for_each(|key| text.push_str(&index("UNIQUE INDEX", key)));
    relation.indexes.iter().for_each(|key| text.push_str(&index("INDEX", key)));
    text
}

fn with_options(relation: &Relation) -> String {
    let option = |(key, value): (&String, &String)| format!("{} = '{}'", quoted(key), value.replace('\'', "''"));
    format!(" WITH ({})", relation.options.iter().map(option).collect::<Vec<_>>().join(", "))
}

fn names(relation: &Relation, columns: &[usize]) -> String {
    let name = |&column: &usize| quoted(relation.schema.field(column).name());
    columns.iter().map(name).collect::<Vec<_>>().join(", ")
}
