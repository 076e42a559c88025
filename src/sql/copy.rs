//! `COPY ... TO` and `COPY ... FROM`.

use sqlparser::tokenizer::Token;

use super::error::unsupported;
use super::reader::Reader;
use super::statement::{CopyFrom, CopyTo, Options, RelationOrQuery, Statement};
use crate::base::error::Result;

/// `COPY`.
pub(super) fn copy(reader: &mut Reader) -> Result<Statement> {
    reader.expect(&["COPY"])?;
    if reader.at_parenthesized_query() {
        reader.expect_token(&Token::LParen)?;
        let query = reader.query()?;
        reader.expect_token(&Token::RParen)?;
        reader.expect(&["TO"])?;
        return to(reader, RelationOrQuery::Query(query));
    }
    let start = reader.parser.index();
    let relation = reader.name()?;
    let columns =
        if reader.at_token(&Token::LParen) { reader.in_parentheses(|reader| reader.identifier())? } else { Vec::new() };
    if reader.accept(&["FROM"]) {
        let path = path(reader)?;
        let options = options(reader)?;
        return Ok(Statement::CopyFrom(CopyFrom { relation, columns, path, options }));
    }
    if !reader.accept(&["TO"]) {
        return reader.unexpected("FROM or TO");
    }
    if columns.is_empty() {
        return to(reader, RelationOrQuery::Relation(relation));
    }
    let query = reader.select_columns(start, &columns)?;
    to(reader, RelationOrQuery::Query(query))
}

fn to(reader: &mut Reader, source: RelationOrQuery) -> Result<Statement> {
    let path = path(reader)?;
    let options = options(reader)?;
    Ok(Statement::CopyTo(CopyTo { source, path, options }))
}

fn path(reader: &mut Reader) -> Result<String> {
    if reader.at_any(&["STDIN", "STDOUT", "PROGRAM"]) {
        let what = reader.peek(0).to_ascii_uppercase();
        let error = unsupported(format!("COPY with {what} is not supported"), reader.position());
        return Err(error.with_hint("give the path of a file, for example '/dev/stdin'"));
    }
    reader.string("a path in quotes")
}

/// `[WITH] (key value, ...)`, or PostgreSQL's old words `CSV HEADER`.
fn options(reader: &mut Reader) -> Result<Options> {
    let has_with = reader.accept(&["WITH"]);
    if reader.at_token(&Token::LParen) {
        return reader.options();
    }
    let mut options = Options::new();
    loop {
        if reader.accept(&["HEADER"]) {
            options.insert("header".into(), "true".into());
        } else if reader.accept(&["DELIMITER"]) {
            reader.accept(&["AS"]);
            options.insert("delimiter".into(), reader.string("a character in quotes")?);
        } else if reader.at_any(&["CSV", "PARQUET", "JSON", "NDJSON", "ARROW"]) {
            options.insert("format".into(), reader.identifier()?);
        } else if has_with && options.is_empty() {
            return reader.unexpected("( after WITH");
        } else {
            return Ok(options);
        }
    }
}
