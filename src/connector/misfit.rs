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

/// A value of a column of `data_type`, as its bytes stand in the file.
pub fn misfit(path: impl Display, line: u64, column: &str, value: &[u8], data_type: &DataType) -> Error {
    let place = format!("'{path}', line {line}, column \"{column}\"");
    let name = sql_type_name(data_type).to_lowercase();
    let shown = excerpt(value);
    match is_out_of_range(values::trim(value), data_type) {
        true => {
            Error::data(format!("{place}: value \"{shown}\" is out of range for type {name}")).with_sqlstate("22003")
        }
        false => {
            Error::data(format!("{place}: invalid input syntax for type {name}: \"{shown}\"")).with_sqlstate("22P02")
        }
    }
}

/// Whether a value that is none of the type is a number of that kind.
fn is_out_of_range(value: &[u8], data_type: &DataType) -> bool {
    /// Doubles from here on are whole, and beyond every integer type.
    const WHOLE: f64 = 18_446_744_073_709_551_616.0;
    let is_number = || std::str::from_utf8(value).is_ok_and(|text| decimal::parse(text).is_some());
    match data_type {
        data_type if data_type.is_integer() => {
            values::is_digits(value) || values::double(value).is_some_and(|number| number.abs() >= WHOLE)
        }
        data_type if data_type.is_decimal() || data_type.is_floating() => is_number(),
        _ => false,
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
