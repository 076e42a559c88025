//! The entry points: a script becomes statements, a text of the catalog becomes a query or expression again.
//!
//! Everything runs on a stack of its own size, so that neither a deep tree nor a thread with a small stack matters.

use arrow::datatypes::DataType;
use sqlparser::ast;
use sqlparser::tokenizer::{Location, TokenWithSpan};

use super::dialect::EddyDialect;
use super::limits::{self, TEXT_BYTES_MAX, TOKENS_MAX};
use super::reader::Reader;
use super::source::{Source, advance};
use super::split::{Open, Piece, pieces};
use super::statement::statement;
use super::{suggest, tokens};
use crate::base::error::{Error, ErrorKind, Position, Result};
use crate::sql::error::{position, syntax, too_complex};
use crate::sql::name::Name;
use crate::sql::statement::Statement;
use crate::sql::types::column_type;

/// The stack on which texts are parsed, in bytes.
const STACK_BYTES: usize = 64 << 20;

/// A statement with its own text.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedStatement {
    /// What it says.
    pub statement: Statement,
    /// Its own text, without the semicolon.
    pub text: String,
    /// Where `text` starts in the script, in bytes.
    pub offset: usize,
    /// The parameters in it, without the dollar sign and without repetition, numbers first; each `?` has a number.
    pub parameters: Vec<String>,
}

/// The statements of a script.
///
/// # Contract
///
/// Positions of errors and spans within trees count from the start of `text`, not of the statement. The first error
/// ends it: either all statements are given or none. Any text ends in a result, on any thread, without a panic.
pub fn parse(text: &str) -> Result<Vec<ParsedStatement>> {
    with_large_stack(|| {
        check_size(text)?;
        let mut statements = Vec::new();
        let (mut start, mut at) = (Location { line: 1, column: 1 }, 0);
        for piece in pieces(text) {
            start = advance(text, start, at, piece.span.start);
            at = piece.span.start;
            statements.push(parse_piece(&piece, start, statement)?);
        }
        Ok(statements)
    })
}

/// The query of a text that the catalog keeps, without `EMIT`.
pub fn parse_query(text: &str) -> Result<Box<ast::Query>> {
    parse_one(text, |reader| reader.query())
}

/// The expression of a text that the catalog keeps.
pub fn parse_expression(text: &str) -> Result<ast::Expr> {
    parse_one(text, |reader| reader.expression())
}

/// The name of a type in a text.
pub fn parse_type(text: &str) -> Result<ast::DataType> {
    parse_one(text, |reader| Ok(reader.parser.parse_data_type()?))
}

/// The type that a text names, as options of file readers do.
pub fn type_named(text: &str) -> Result<DataType> {
    column_type(&parse_type(text)?)
}

/// The name of a relation as a program gives it: `orders`, `main.orders`, `"Orders"`.
pub fn parse_name(text: &str) -> Result<Name> {
    parse_one(text, |reader| reader.name())
}

fn parse_one<T>(text: &str, read: impl Fn(&mut Reader) -> Result<T>) -> Result<T> {
    with_large_stack(|| {
        check_size(text)?;
        let start = Location { line: 1, column: 1 };
        let piece = Piece::whole(text);
        read_piece(&piece, start, &read).map(|(read, _)| read)
    })
}

fn with_large_stack<T>(run: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(STACK_BYTES / 2, STACK_BYTES, run)
}

fn check_size(text: &str) -> Result<()> {
    if text.len() > TEXT_BYTES_MAX {
        let message = format!("the text of {} bytes is longer than {TEXT_BYTES_MAX} bytes", text.len());
        return Err(too_complex(message, None, "load data with COPY or an appender"));
    }
    Ok(())
}

fn parse_piece(
    piece: &Piece,
    start: Location,
    read: impl Fn(&mut Reader) -> Result<Statement>,
) -> Result<ParsedStatement> {
    let (statement, parameters) = read_piece(piece, start, &read)?;
    Ok(ParsedStatement { statement, text: piece.span.text.to_string(), offset: piece.span.start, parameters })
}

/// Reads a piece of a script that starts at `start`; gives also the names of its parameters.
fn read_piece<T>(piece: &Piece, start: Location, read: &impl Fn(&mut Reader) -> Result<T>) -> Result<(T, Vec<String>)> {
    if let Some((open, at)) = piece.open {
        let at = advance(piece.span.text, start, 0, at.saturating_sub(piece.span.start));
        return Err(unterminated(open, position(at)));
    }
    if piece.tokens > TOKENS_MAX {
        let message = format!("the statement has more than {TOKENS_MAX} tokens");
        return Err(too_complex(message, position(start), "load data with COPY or an appender"));
    }
    let dialect = EddyDialect::new(piece.tokens);
    let tokens = tokens::tokenize(piece.span.text, start, &dialect)?;
    let unclosed = limits::check(&tokens)?;
    let (tokens, parameters) = tokens::prepare(tokens)?;
    let source = Source::new(piece.span.text, start);
    let mut reader = Reader::new(tokens, &source, &dialect);
    let result = read(&mut reader).and_then(|read| reader.expect_end().map(|()| read));
    match result {
        Ok(read) => Ok((read, parameters)),
        Err(_) if dialect.is_exhausted() => {
            let message = "the statement is too complicated to parse";
            Err(too_complex(message, position(start), "name the inner queries of nested joins with WITH"))
        }
        Err(error) => {
            let end = advance(piece.span.text, start, 0, piece.span.text.len());
            let tokens = reader.parser.into_tokens();
            Err(explain(error, unclosed, position(source.start()), position(end), &tokens))
        }
    }
}

fn unterminated(open: Open, at: Option<Position>) -> Error {
    let what = match open {
        Open::String => "unterminated string",
        Open::QuotedIdentifier => "unterminated quoted identifier",
        Open::DollarQuote => "unterminated dollar quote",
        Open::Comment => "unterminated comment",
    };
    syntax(what, at)
}

/// Gives a syntax error a place and a hint.
fn explain(
    error: Error,
    unclosed: Option<Position>,
    start: Option<Position>,
    end: Option<Position>,
    tokens: &[TokenWithSpan],
) -> Error {
    let is_at_end = error.kind() == ErrorKind::Syntax && error.message().ends_with("found end of statement");
    match (unclosed, error.position()) {
        (Some(open), _) if is_at_end => error.at(open).with_hint("this bracket is never closed"),
        (_, Some(_)) => suggest::suggest(error, tokens),
        _ => match if is_at_end { end } else { start } {
            Some(at) => error.at(at),
            None => error,
        },
    }
}
