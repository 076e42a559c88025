//! `COPY ... TO` and `COPY ... FROM`.

use sqlparser::tokenizer::Token;

use super::reader::Reader;
use crate::base::error::Result;
use crate::sql::error::{syntax, unsupported};
use crate::sql::options::Options;
use crate::sql::statement::{CopyFrom, CopyTo, RelationOrQuery, Statement};

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
    if reader.at_string() {
        let source = reader.relation_or_query()?;
        reader.expect(&["TO"])?;
        return to(reader, source);
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
        return Err(error.with_hint(match what.as_str() {
            "STDIN" => "give the path of a file: '/dev/stdin' is one",
            "STDOUT" => {
                "give the path of a file: '/dev/stdout' is one; or run the query, the shell prints CSV: --format csv"
            }
            _ => "run the program outside, and give the path of a file or pipe",
        }));
    }
    reader.string("a path in quotes")
}

/// `[WITH] (key value, ...)`, or PostgreSQL's old words `CSV HEADER`.
fn options(reader: &mut Reader) -> Result<Options> {
    let has_with = reader.accept(&["WITH"]);
    if reader.at_token(&Token::LParen) {
        return reader.options();
    }
    let mut options = Options::default();
    loop {
        let at = reader.position();
        let (key, value) = if reader.accept(&["HEADER"]) {
            ("header", "true".to_string())
        } else if reader.accept(&["DELIMITER"]) {
            reader.accept(&["AS"]);
            ("delimiter", reader.string("a character in quotes")?)
        } else if reader.at_any(&["CSV", "PARQUET", "JSON", "NDJSON", "ARROW"]) {
            ("format", reader.identifier()?)
        } else if has_with && options.is_empty() {
            return reader.unexpected("( after WITH");
        } else {
            return Ok(options);
        };
        if !options.insert(key, value, at) {
            return Err(syntax(&format!("option \"{key}\" is given twice"), at));
        }
    }
}
