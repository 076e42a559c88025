//! `DROP`, `ALTER` and `TRUNCATE`.

use super::create::added_column;
use super::error::unsupported;
use super::reader::Reader;
use super::statement::{AlterAddColumn, Drop, DropKind, Statement};
use crate::base::error::Result;

/// `DROP`.
pub(super) fn drop(reader: &mut Reader) -> Result<Statement> {
    let start = reader.position();
    reader.expect(&["DROP"])?;
    let kinds: &[(&[&str], DropKind)] = &[
        (&["TABLE"], DropKind::Table),
        (&["EXTERNAL", "TABLE"], DropKind::Table),
        (&["STREAM"], DropKind::Stream),
        (&["SOURCE"], DropKind::Source),
        (&["MATERIALIZED", "VIEW"], DropKind::MaterializedView),
        (&["VIEW"], DropKind::View),
        (&["INDEX"], DropKind::Index),
        (&["SINK"], DropKind::Sink),
    ];
    let Some((_, kind)) = kinds.iter().find(|(words, _)| reader.accept(words)) else {
        if reader.at_any(&["SCHEMA", "DATABASE", "FUNCTION", "TYPE", "SEQUENCE", "ROLE", "USER", "TRIGGER"]) {
            let what = reader.peek(0).to_ascii_uppercase();
            return Err(unsupported(format!("DROP {what} is not supported"), start));
        }
        return reader.unexpected("TABLE, STREAM, SOURCE, VIEW, MATERIALIZED VIEW, INDEX or SINK after DROP");
    };
    let if_exists = reader.if_exists();
    let names = reader.list(|reader| reader.name())?;
    let cascade = reader.accept(&["CASCADE"]);
    if !cascade {
        reader.accept(&["RESTRICT"]);
    }
    Ok(Statement::Drop(Drop { kind: *kind, names, if_exists, cascade }))
}

/// `ALTER`.
pub(super) fn alter(reader: &mut Reader) -> Result<Statement> {
    let start = reader.position();
    reader.expect(&["ALTER"])?;
    if !reader.accept_any(&["TABLE", "STREAM", "SOURCE"]) {
        if reader.at_any(&["VIEW", "MATERIALIZED", "INDEX", "SINK"]) {
            let error = unsupported("only tables, streams and sources can be altered", start);
            return Err(error.with_hint("use CREATE OR REPLACE, or drop it and create it again"));
        }
        return reader.unexpected("TABLE, STREAM or SOURCE after ALTER");
    }
    let if_exists = reader.if_exists();
    let relation = reader.name()?;
    if !reader.at(&["ADD"]) || reader.at(&["ADD", "CONSTRAINT"]) || reader.at(&["ADD", "PRIMARY", "KEY"]) {
        if reader.at_any(&["ADD", "DROP", "RENAME", "ALTER", "SET", "MODIFY", "OWNER"]) {
            return Err(unsupported("ALTER can only ADD COLUMN", reader.position())
                .with_hint("create a new relation with CREATE TABLE ... AS SELECT"));
        }
        return reader.unexpected("ADD COLUMN");
    }
    reader.expect(&["ADD"])?;
    reader.accept(&["COLUMN"]);
    let if_not_exists = reader.if_not_exists();
    let column = added_column(reader)?;
    Ok(Statement::AlterAddColumn(Box::new(AlterAddColumn { relation, if_exists, if_not_exists, column })))
}

/// `TRUNCATE`.
pub(super) fn truncate(reader: &mut Reader) -> Result<Statement> {
    reader.expect(&["TRUNCATE"])?;
    reader.accept(&["TABLE"]);
    let relations = reader.list(|reader| reader.name())?;
    reader.accept_any(&["CASCADE", "RESTRICT"]);
    Ok(Statement::Truncate { relations })
}
