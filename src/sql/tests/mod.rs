//! Tests of the whole layer, by topic.

mod errors;
mod keywords;
mod limits;
mod rewrite;
mod statements;

use super::ParsedStatement;
use super::parse;
use super::statement::Statement;

/// The one statement of a text.
fn one(text: &str) -> Statement {
    parsed(text).statement
}

/// The one statement of a text, with what is known about it.
fn parsed(text: &str) -> ParsedStatement {
    let mut statements = parse(text).unwrap_or_else(|error| panic!("{}", error.render(text)));
    assert_eq!(statements.len(), 1, "{text}");
    statements.remove(0)
}

/// A query after the rewrites, as text.
fn query(text: &str) -> String {
    match one(text) {
        Statement::Query { query, emit: None } => query.to_string(),
        other => panic!("{text} is {other:?}"),
    }
}

/// The error of a text: message and `line:column`.
fn error(text: &str) -> (String, String) {
    let error = parse(text).expect_err(text);
    let at = error.position().map_or("none".to_string(), |at| format!("{}:{}", at.line, at.column));
    (error.message().to_string(), at)
}

/// The hint of a text's error.
fn hint(text: &str) -> String {
    parse(text).expect_err(text).hint().unwrap_or_default().to_string()
}
