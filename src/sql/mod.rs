//! From SQL text to statements: PostgreSQL's SQL, DuckDB's friendliness, and the words for time and change.
//!
//! [`parse`] turns a script into [`ParsedStatement`]s; [`parse_query`] and [`parse_expression`] read again what the
//! catalog keeps as text. No text makes them panic, overflow the stack or run long: size, nesting and chains are
//! bounded before a syntax tree exists. Nothing here knows what exists: names are resolved by `plan`.

mod dialect;
mod parser;
pub mod statement;

pub use parser::{ParsedStatement, parse};
