//! The error for a value of a file that its column does not take.
//!
//! It names the file, the line and the column, and says of the value what a cast of it would: a number that the type
//! cannot hold is out of range (22003), all else is no value of the type (22P02).

use std::fmt::Display;

use arrow::datatypes::DataType;

use crate::base::decimal;
use crate::base::error::Error;
use crate::base::types::sql_type_name;
use crate::connector::values;

/// A value of a column of `data_type`; `value` is its text, perhaps cut.
pub fn misfit(path: impl Display, line: u64, column: &str, value: &str, data_type: &DataType) -> Error {
    let place = format!("'{path}', line {line}, column \"{column}\"");
    let name = sql_type_name(data_type).to_lowercase();
    let is_number = match data_type {
        data_type if data_type.is_integer() => values::is_digits(values::trim(value.as_bytes())),
        data_type if data_type.is_decimal() => decimal::parse(value.trim()).is_some(),
        _ => false,
    };
    match is_number {
        true => {
            Error::data(format!("{place}: value \"{value}\" is out of range for type {name}")).with_sqlstate("22003")
        }
        false => {
            Error::data(format!("{place}: invalid input syntax for type {name}: \"{value}\"")).with_sqlstate("22P02")
        }
    }
}

/// The text of a value for an error message, cut where it is long.
pub fn excerpt(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short.escape_debug().to_string()
}
