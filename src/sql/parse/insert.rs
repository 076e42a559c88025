//! `INSERT`, with BY NAME and ON CONFLICT.

use sqlparser::tokenizer::Token;

use super::reader::Reader;
use super::update::{assignments, where_clause};
use crate::base::error::Result;
use crate::sql::error::unsupported;
use crate::sql::statement::{ConflictAction, Insert, InsertSource, OnConflict, Statement};

/// `INSERT`.
pub(super) fn insert(reader: &mut Reader) -> Result<Statement> {
    reader.expect(&["INSERT"])?;
    let or_ignore = reader.accept(&["OR", "IGNORE"]);
    if reader.at(&["OR", "REPLACE"]) {
        return Err(unsupported("INSERT OR REPLACE is not supported", reader.position())
            .with_hint("use INSERT ... ON CONFLICT (key) DO UPDATE SET column = excluded.column"));
    }
    reader.expect(&["INTO"])?;
    let relation = reader.name()?;
    let columns = if reader.at_token(&Token::LParen) && !reader.at_parenthesized_query() {
        reader.in_parentheses(|reader| reader.identifier())?
    } else {
        Vec::new()
    };
    let by_name = reader.accept(&["BY", "NAME"]);
    if !by_name {
        reader.accept(&["BY", "POSITION"]);
    }
    let source = if reader.accept(&["DEFAULT", "VALUES"]) {
        InsertSource::DefaultValues
    } else if reader.at_query() {
        InsertSource::Query(reader.query()?)
    } else {
        return reader.unexpected("VALUES, DEFAULT VALUES or a query");
    };
    let mut on_conflict = on_conflict(reader, relation.own())?;
    if or_ignore && on_conflict.is_none() {
        on_conflict = Some(OnConflict { columns: Vec::new(), action: ConflictAction::Nothing });
    }
    reader.no_returning()?;
    Ok(Statement::Insert(Insert { relation, columns, by_name, source, on_conflict }))
}

fn on_conflict(reader: &mut Reader, target: &str) -> Result<Option<OnConflict>> {
    if !reader.accept(&["ON", "CONFLICT"]) {
        return Ok(None);
    }
    if reader.at(&["ON", "CONSTRAINT"]) {
        return Err(unsupported("ON CONFLICT ON CONSTRAINT is not supported", reader.position())
            .with_hint("name the key's columns: ON CONFLICT (column, ...)"));
    }
    let columns =
        if reader.at_token(&Token::LParen) { reader.in_parentheses(|reader| reader.identifier())? } else { Vec::new() };
    reader.expect(&["DO"])?;
    let action = if reader.accept(&["NOTHING"]) {
        ConflictAction::Nothing
    } else if reader.accept(&["UPDATE", "SET"]) {
        ConflictAction::Update { assignments: assignments(reader, target)?, selection: where_clause(reader)? }
    } else {
        return reader.unexpected("NOTHING or UPDATE SET");
    };
    Ok(Some(OnConflict { columns, action }))
}
