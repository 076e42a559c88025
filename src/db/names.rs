//! From names in SQL to relations and columns, or to an error that says where the name stands and what was meant.

use std::sync::Arc;

use sqlparser::ast;

use crate::base::error::{Error, ErrorKind, Result};
use crate::catalog::definitions::Catalog;
use crate::catalog::relation::{Relation, RelationKind};
use crate::catalog::suggest::nearest;
use crate::db::table::append_only;
use crate::sql;
use crate::sql::name::Name;

/// The relation of that name, with the place in the error.
pub fn resolve(catalog: &Catalog, name: &Name) -> Result<Arc<Relation>> {
    catalog.expect(name.in_main()?).cloned().map_err(|error| match name.position {
        Some(position) => error.at(position),
        None => error,
    })
}

/// A relation that takes inserts.
pub fn writable(catalog: &Catalog, name: &Name) -> Result<Arc<Relation>> {
    let relation = resolve(catalog, name)?;
    match relation.kind {
        RelationKind::Table | RelationKind::Stream => Ok(relation),
        kind => Err(Error::invalid(format!("\"{}\" is a {}: it cannot be written", relation.name, kind.name()))
            .with_sqlstate("42809")
            .with_hint("write to the relations its query reads")),
    }
}

/// A relation whose rows can be changed.
pub fn mutable(catalog: &Catalog, name: &Name) -> Result<Arc<Relation>> {
    let relation = writable(catalog, name)?;
    match relation.kind {
        RelationKind::Stream => Err(append_only(&relation.name)),
        _ => Ok(relation),
    }
}

/// The position of a column of `relation`, or an error with the nearest name.
pub fn column_of(relation: &Relation, name: &str) -> Result<usize> {
    relation.schema.index_of(name).map_err(|_| {
        let error =
            Error::new(ErrorKind::NotFound, format!("column \"{name}\" of \"{}\" does not exist", relation.name))
                .with_sqlstate("42703");
        match nearest(name, relation.schema.fields().iter().map(|field| field.name().as_str())) {
            Some(near) => error.with_hint(format!("did you mean \"{near}\"?")),
            None => error,
        }
    })
}

/// A name as SQL reads it back: in quotes where it is not a plain word in lower case.
pub fn quoted(name: &str) -> String {
    let is_plain = name.starts_with(|char: char| char.is_ascii_lowercase() || char == '_')
        && name.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_')
        && matches!(sql::parse_expression(name), Ok(ast::Expr::Identifier(_)));
    if is_plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
