//! From text to statements.
//!
//! ```text
//! script --split--> pieces --tokens--> tokens --limits--> bounded tokens --parser--> Statement
//! ```
//!
//! sqlparser reads queries, expressions and types; the statements around them are ours, one file per family, and what
//! a file reads it asks of the [`reader`]. [`parser`] holds the entry points, [`statement`] the first word of every
//! statement. A tree goes through [`crate::sql::rewrite`] as soon as it is read.

mod alter;
mod control;
mod copy;
mod create;
mod dialect;
mod drop;
mod insert;
mod limits;
mod numbers;
mod operand;
mod parser;
mod reader;
mod reserved;

mod source;
mod split;
mod statement;
mod subscribe;
mod suggest;
mod tokens;
mod update;

pub use parser::{ParsedStatement, parse, parse_expression, parse_name, parse_query, parse_type, type_named};
pub use split::{StatementSpan, split};
