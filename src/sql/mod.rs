//! From SQL text to statements: PostgreSQL's SQL, DuckDB's friendliness, and the words for time and change.
//!
//! [`parse()`] turns a script into statements with their texts; [`parse_query`] and [`parse_expression`] read again
//! what the catalog keeps as text, [`parse_name`] what a program gives. No text makes them panic, overflow the stack or
//! run long: size, nesting and chains are bounded before a syntax tree exists. Nothing here knows what exists: names
//! are resolved by `plan`.
//!
//! - `parse`: text to tokens to trees.
//! - [`statement`], [`name`], [`options`]: what a statement says.
//! - [`rewrite`]: the one stage that changes trees, from the SQL people type to the SQL that is bound.
//! - [`types`]: the names of types. [`walk`]: walks over trees.

pub(crate) mod error;
pub mod name;
pub mod options;
mod parse;
pub(crate) mod rewrite;
pub mod statement;
#[cfg(test)]
mod tests;
pub mod types;
pub mod walk;

pub use parse::{
    ParsedStatement, StatementSpan, parse, parse_expression, parse_name, parse_query, parse_type, split, type_named,
};
