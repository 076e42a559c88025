//! `DROP` and `TRUNCATE`.

use super::reader::Reader;
use crate::base::error::Result;
use crate::sql::error::unsupported;
use crate::sql::statement::{Drop, DropKind, Statement};

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
        (&["SUBSCRIPTION"], DropKind::Subscription),
    ];
    let Some((_, kind)) = kinds.iter().find(|(words, _)| reader.accept(words)) else {
        if reader.at_any(&["SCHEMA", "DATABASE", "FUNCTION", "TYPE", "SEQUENCE", "ROLE", "USER", "TRIGGER"]) {
            let what = reader.peek(0).to_ascii_uppercase();
            return Err(unsupported(format!("DROP {what} is not supported"), start));
        }
        return reader
            .unexpected("TABLE, STREAM, SOURCE, VIEW, MATERIALIZED VIEW, INDEX, SINK or SUBSCRIPTION after DROP");
    };
    let if_exists = reader.if_exists();
    let names = reader.list(|reader| reader.name())?;
    let cascade = reader.accept(&["CASCADE"]);
    if !cascade {
        reader.accept(&["RESTRICT"]);
    }
    Ok(Statement::Drop(Drop { kind: *kind, names, if_exists, cascade }))
}

/// `TRUNCATE`.
pub(super) fn truncate(reader: &mut Reader) -> Result<Statement> {
    reader.expect(&["TRUNCATE"])?;
    reader.accept(&["TABLE"]);
    let relations = reader.list(|reader| reader.name())?;
    reader.accept_any(&["CASCADE", "RESTRICT"]);
    Ok(Statement::Truncate { relations })
}
