//! The entry points: a script becomes statements.

use sqlparser::parser::{Parser, ParserOptions};

use super::dialect::EddyDialect;
use super::statement::Statement;
use crate::base::error::{Error, ErrorKind, Result};

/// A statement with its own text.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedStatement {
    /// What it says.
    pub statement: Statement,
    /// Its own text, without the semicolon.
    pub text: String,
    /// Where `text` starts in the script, in bytes.
    pub offset: usize,
    /// The parameters in it, without the dollar sign and without repetition; each `?` has a number.
    pub parameters: Vec<String>,
}

/// The statements of a script.
pub fn parse(text: &str) -> Result<Vec<ParsedStatement>> {
    let dialect = EddyDialect::new(text.len());
    let syntax = |error: sqlparser::parser::ParserError| Error::new(ErrorKind::Syntax, error.to_string());
    let mut parser = Parser::new(&dialect)
        .with_options(ParserOptions::new().with_trailing_commas(true))
        .try_with_sql(text)
        .map_err(syntax)?;
    let query = parser.parse_query().map_err(syntax)?;
    let statement = Statement::Query { query, emit: None };
    Ok(vec![ParsedStatement { statement, text: text.to_string(), offset: 0, parameters: Vec::new() }])
}
