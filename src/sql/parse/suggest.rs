//! "Did you mean SELECT?": misspelt keywords.
//!
//! Where the parser stops, the word there or the one before it (a misspelt FROM is first taken for an alias) is
//! compared with the keywords that people type. Only a word that is no keyword itself is ever doubted.

use sqlparser::tokenizer::TokenWithSpan;

use super::reserved::word;
use crate::base::error::{Error, ErrorKind};
use crate::sql::error::position;

/// Words that begin a statement.
const STATEMENTS: &[&str] = &[
    "SELECT",
    "FROM",
    "WITH",
    "VALUES",
    "CREATE",
    "DROP",
    "ALTER",
    "INSERT",
    "UPDATE",
    "DELETE",
    "TRUNCATE",
    "COPY",
    "BEGIN",
    "START",
    "COMMIT",
    "ROLLBACK",
    "ABORT",
    "END",
    "SUBSCRIBE",
    "ACKNOWLEDGE",
    "VERIFY",
    "REFRESH",
    "EXPLAIN",
    "SHOW",
    "DESCRIBE",
    "SUMMARIZE",
    "SET",
    "RESET",
    "PREPARE",
    "EXECUTE",
    "DEALLOCATE",
    "ADVANCE",
    "FLUSH",
    "CHECKPOINT",
    "TABLE",
];

/// Words within a statement.
const CLAUSES: &[&str] = &[
    "FROM",
    "WHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "UNION",
    "JOIN",
    "LEFT",
    "RIGHT",
    "INNER",
    "FULL",
    "CROSS",
    "ASOF",
    "USING",
    "WINDOW",
    "QUALIFY",
    "VALUES",
    "INTO",
    "TABLE",
    "STREAM",
    "VIEW",
    "MATERIALIZED",
    "SOURCE",
    "INDEX",
    "SINK",
    "SUBSCRIPTION",
    "WATERMARK",
    "PRIMARY",
    "UNIQUE",
    "DEFAULT",
    "DISTINCT",
    "BETWEEN",
    "EMIT",
    "CONFLICT",
    "RETURNING",
    "EXISTS",
    "REPLACE",
    "COLUMN",
    "LOCATION",
    "STORED",
    "INTERVAL",
    "SELECT",
    "WITH",
];

/// The error with a hint, if a word near its place looks like a misspelt keyword.
pub(super) fn suggest(error: Error, tokens: &[TokenWithSpan]) -> Error {
    if error.kind() != ErrorKind::Syntax || error.hint().is_some() {
        return error;
    }
    let Some(at) = error.position() else { return error };
    let Some(found) = tokens.iter().position(|token| position(token.span.start) == Some(at)) else { return error };
    let known: &[&[&str]] = if found == 0 { &[STATEMENTS] } else { &[CLAUSES, STATEMENTS] };
    let here = tokens.get(found).and_then(|token| nearest(word(token), known));
    let before = || found.checked_sub(1).and_then(|before| nearest(word(tokens.get(before)?), known));
    match here.or_else(before) {
        Some(keyword) => error.with_hint(format!("did you mean {keyword}?")),
        None => error,
    }
}

/// The keyword that `word` may be a misspelling of.
fn nearest(word: &str, known: &[&[&'static str]]) -> Option<&'static str> {
    let word = word.to_ascii_uppercase();
    if word.len() < 3 || STATEMENTS.contains(&word.as_str()) || CLAUSES.contains(&word.as_str()) {
        return None;
    }
    let distance_max = if word.len() <= 4 { 1 } else { 2 };
    known
        .iter()
        .flat_map(|keywords| keywords.iter())
        .map(|&keyword| (strsim::damerau_levenshtein(&word, keyword), keyword))
        .filter(|(distance, _)| *distance <= distance_max)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, keyword)| keyword)
}
