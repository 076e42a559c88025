//! Errors of the parser: in our words, at a place, with a hint.
//!
//! sqlparser says everything in one string, `Expected: .., found: .. at Line: 1, Column: 8`; here it is taken apart.

use sqlparser::ast::Spanned;
use sqlparser::parser::ParserError;
use sqlparser::tokenizer::Location;

use crate::base::error::{Error, ErrorKind, Position};

/// A syntax error.
pub(super) fn syntax(message: &str, at: Option<Position>) -> Error {
    let message = match message {
        "Unterminated string literal" | "Unterminated encoded string literal" => "unterminated string",
        "Unexpected EOF while in a multi-line comment" => "unterminated comment",
        "Expected close delimiter '\"' before EOF." => "unterminated quoted identifier",
        "Unterminated dollar-quoted, expected $" | "Unterminated dollar-quoted string" => "unterminated dollar quote",
        other => other,
    };
    located(Error::new(ErrorKind::Syntax, lower_first(message)), at)
}

/// A form that is recognised and not supported, at its place.
pub(super) fn unsupported(message: impl Into<String>, at: Option<Position>) -> Error {
    located(Error::unsupported(message), at)
}

/// An error of SQLSTATE 54001.
pub(super) fn too_complex(message: impl Into<String>, at: Option<Position>, hint: &str) -> Error {
    let error = Error::new(ErrorKind::Resource, message).with_sqlstate("54001").with_hint(hint);
    located(error, at)
}

/// The error at a place, where there is one.
pub(crate) fn located(error: Error, at: Option<Position>) -> Error {
    match at {
        Some(at) => error.at(at),
        None => error,
    }
}

/// A location as a position; `None` for the location of nothing.
pub(crate) fn position(location: Location) -> Option<Position> {
    (location.line > 0).then_some(Position { line: location.line, column: location.column })
}

/// Where a piece of syntax starts.
pub(super) fn place(node: &impl Spanned) -> Option<Position> {
    position(node.span().start)
}

impl From<ParserError> for Error {
    fn from(error: ParserError) -> Self {
        match error {
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => {
                let (message, at) = take_location(&message);
                let message = message.strip_prefix("sql parser error: ").unwrap_or(message);
                syntax(&reword(message), at)
            }
            ParserError::RecursionLimitExceeded => {
                too_complex("the statement is too complicated to parse", None, "simplify its nested joins")
            }
        }
    }
}

/// Parts `.. at Line: 1, Column: 8` into message and place.
fn take_location(message: &str) -> (&str, Option<Position>) {
    let parsed = message.rsplit_once(" at Line: ").and_then(|(message, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        Some((message, Position { line: line.parse().ok()?, column: column.parse().ok()? }))
    });
    match parsed {
        Some((message, at)) => (message, Some(at)),
        None => (message, None),
    }
}

/// `Expected: X, found: Y` becomes `expected X, found Y`.
fn reword(message: &str) -> String {
    match message.strip_prefix("Expected: ").and_then(|rest| rest.rsplit_once(", found: ")) {
        Some((expected, found)) => {
            let found = if found == "EOF" { "end of statement" } else { found };
            format!("expected {expected}, found {}", shortened(found))
        }
        None => message.to_string(),
    }
}

/// A token as a message shows it.
pub(super) fn shortened(token: &str) -> String {
    const CHARS_MAX: usize = 60;
    match token.char_indices().nth(CHARS_MAX) {
        Some((at, _)) => format!("{}...", &token[..at]),
        None => token.to_string(),
    }
}

fn lower_first(message: &str) -> String {
    let mut chars = message.chars();
    match (chars.next(), chars.clone().next()) {
        // A word in capitals is a keyword and stays.
        (Some(first), Some(second)) if first.is_uppercase() && !second.is_uppercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => message.to_string(),
    }
}
