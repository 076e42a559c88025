//! From SQL text to statements: PostgreSQL's SQL, DuckDB's friendliness, and the words for time and change.
//!
//! ```text
//! script --split--> statements --tokens--> tokens --limits--> bounded tokens
//!        --parser (create, insert, ...) and sqlparser--> Statement --friendly--> Statement
//! ```
//!
//! [`parse`] turns a script into [`ParsedStatement`]s; [`parse_query`] and [`parse_expression`] read again what the
//! catalog keeps as text, [`parse_name`] what a program gives. No text makes them panic, overflow the stack or run long: size, nesting and chains are
//! bounded before a syntax tree exists. Nothing here knows what exists: names are resolved by `plan`.

mod aggregates;
mod alter;
mod control;
mod copy;
mod create;
mod dialect;
mod drop;
mod error;
mod friendly;
mod insert;
mod limits;
pub mod name;
pub mod options;
mod parser;
mod reader;
mod reserved;
mod source;
mod split;
pub mod statement;
mod subscribe;
mod suggest;
#[cfg(test)]
mod tests;
mod tokens;
pub mod types;
mod update;
pub mod walk;
mod window_call;

pub use parser::{parse, parse_expression, parse_name, parse_query, parse_type, type_named};
pub use split::{StatementSpan, split};
