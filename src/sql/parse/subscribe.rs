//! The words for continuous queries: SUBSCRIBE, ACKNOWLEDGE, VERIFY, REFRESH, ADVANCE WATERMARK and FLUSH.

use sqlparser::tokenizer::Token;

use super::reader::Reader;
use crate::base::error::Result;
use crate::sql::error::{syntax, unsupported};
use crate::sql::statement::{Statement, Subscribe};

/// `SUBSCRIBE`.
pub(super) fn subscribe(reader: &mut Reader) -> Result<Statement> {
    reader.expect(&["SUBSCRIBE"])?;
    reader.accept(&["TO"]);
    if names_subscription(reader) {
        reader.expect(&["SUBSCRIPTION"])?;
        return Ok(Statement::Resume { name: reader.name()? });
    }
    let mut statement = target(reader)?;
    loop {
        let at = reader.position();
        if reader.at(&["EMIT"]) && statement.emit.is_none() {
            statement.emit = reader.emit()?;
        } else if reader.accept(&["AS", "OF"]) {
            if statement.as_of.replace(reader.unsigned("the number of an epoch")?).is_some() {
                return Err(syntax("AS OF is given twice", at));
            }
        } else if reader.at(&["WITH"]) {
            options(reader, &mut statement)?;
        } else {
            return Ok(Statement::Subscribe(statement));
        }
    }
}

/// Whether a subscription is named, rather than a relation whose name is that word.
fn names_subscription(reader: &Reader) -> bool {
    let next = &reader.parser.peek_nth_token_ref(1).token;
    let clause = |word: &str| ["AS", "WITH", "EMIT"].iter().any(|known| word.eq_ignore_ascii_case(known));
    reader.at(&["SUBSCRIPTION"])
        && matches!(next, Token::Word(word) if word.quote_style.is_some() || !clause(&word.value))
}

/// `ACKNOWLEDGE SUBSCRIPTION name UP TO epoch`.
pub(super) fn acknowledge(reader: &mut Reader) -> Result<Statement> {
    reader.expect(&["ACKNOWLEDGE"])?;
    reader.accept(&["SUBSCRIPTION"]);
    let name = reader.name()?;
    reader.expect(&["UP", "TO"])?;
    Ok(Statement::Acknowledge { name, epoch: reader.unsigned("the number of an epoch")? })
}

fn target(reader: &mut Reader) -> Result<Subscribe> {
    let (query, query_text, relation, emit);
    if reader.at_parenthesized_query() {
        reader.expect_token(&Token::LParen)?;
        (query, query_text) = reader.query_text()?;
        emit = reader.emit()?;
        reader.expect_token(&Token::RParen)?;
        relation = None;
    } else if reader.at_query() {
        (query, query_text) = reader.query_text()?;
        emit = reader.emit()?;
        relation = None;
    } else {
        let start = reader.parser.index();
        let name = reader.name()?;
        query = reader.select_columns(start, &[])?;
        query_text = format!("SELECT * FROM {}", reader.text_since(start));
        emit = reader.emit()?;
        relation = Some(name);
    }
    Ok(Subscribe { query, query_text, relation, emit, snapshot: None, progress: None, as_of: None })
}

fn options(reader: &mut Reader, statement: &mut Subscribe) -> Result<()> {
    if reader.parser.peek_nth_token_ref(1).token != Token::LParen {
        return reader.unexpected("WITH (snapshot = ..., progress = ...)");
    }
    let options = reader.with_options()?;
    options.expect_known("SUBSCRIBE", &["snapshot", "progress"])?;
    statement.snapshot = options.truth("snapshot")?;
    statement.progress = options.truth("progress")?;
    Ok(())
}

/// `VERIFY [MATERIALIZED VIEW] name`.
pub(super) fn verify(reader: &mut Reader) -> Result<Statement> {
    reader.expect(&["VERIFY"])?;
    reader.accept(&["MATERIALIZED", "VIEW"]);
    Ok(Statement::Verify { name: reader.name()? })
}

/// `REFRESH [MATERIALIZED VIEW] name`.
pub(super) fn refresh(reader: &mut Reader) -> Result<Statement> {
    reader.expect(&["REFRESH"])?;
    if reader.accept(&["MATERIALIZED", "VIEW"]) && reader.at(&["CONCURRENTLY"]) {
        return Err(unsupported("CONCURRENTLY is not supported", reader.position())
            .with_hint("leave it out: a refresh never blocks readers"));
    }
    Ok(Statement::Refresh { name: reader.name()? })
}

/// `ADVANCE WATERMARK OF relation TO expression`.
pub(super) fn advance_watermark(reader: &mut Reader) -> Result<Statement> {
    reader.expect(&["ADVANCE", "WATERMARK"])?;
    if !reader.accept_any(&["OF", "FOR"]) {
        return reader.unexpected("OF");
    }
    let relation = reader.name()?;
    reader.expect(&["TO"])?;
    Ok(Statement::AdvanceWatermark { relation, to: reader.expression()? })
}

/// `FLUSH relation`.
pub(super) fn flush(reader: &mut Reader) -> Result<Statement> {
    reader.expect(&["FLUSH"])?;
    reader.accept_kind();
    Ok(Statement::Flush { relation: reader.name()? })
}
