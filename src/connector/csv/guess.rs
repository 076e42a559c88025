//! The type of a column, from all its values.
//!
//! A guess starts with every type possible and each value takes away those it does not fit; so the order of values
//! does not matter, one misfit after a million rows widens the type, and no value is ever lost: BIGINT to DOUBLE to
//! TEXT, DATE to TIMESTAMP to TEXT. Whole numbers beyond 64 bits make a column TEXT, because DOUBLE would change them
//! silently; so do words such as `nan` on their own.

use arrow::datatypes::{DataType, TimeUnit};

use crate::connector::csv::build::Reading;
use crate::connector::values;

const BOOLEAN: u8 = 1;
const INTEGER: u8 = 2;
const DOUBLE: u8 = 4;
const DATE: u8 = 8;
const TIMESTAMP: u8 = 16;
const ZONED: u8 = 32;
const ALL: u8 = 63;

/// What is known of one column.
#[derive(Debug, Clone, Copy)]
pub struct Guess {
    possible: u8,
    /// A value decided for one of the types (and did not merely allow it).
    decided: bool,
    /// A number with a fraction or exponent was seen.
    fractional: bool,
    /// A whole number beyond 64 bits was seen.
    beyond: bool,
}

impl Default for Guess {
    fn default() -> Self {
        Guess { possible: ALL, decided: false, fractional: false, beyond: false }
    }
}

impl Guess {
    /// Takes account of one field.
    #[inline]
    pub fn observe(&mut self, field: &[u8], quoted: bool, reading: &Reading) {
        if self.possible == 0 || reading.is_null(field, quoted, false) {
            return;
        }
        let text = values::trim(field);
        if self.possible & INTEGER != 0 && values::integer(text).is_some() {
            self.possible &= INTEGER | DOUBLE;
            self.decided = true;
            return;
        }
        self.possible &= self.classify(text, reading);
    }

    /// Whether the column is TEXT whatever follows.
    pub fn is_text(&self) -> bool {
        self.possible == 0
    }

    /// Whether a value was seen.
    pub fn is_decided(&self) -> bool {
        self.decided
    }

    /// The type of the column; TEXT where nothing was seen.
    pub fn data_type(&self) -> DataType {
        if !self.decided {
            return DataType::Utf8View;
        }
        let has = |type_: u8| self.possible & type_ != 0;
        if has(BOOLEAN) {
            DataType::Boolean
        } else if has(INTEGER) {
            DataType::Int64
        } else if has(DOUBLE) && (self.fractional || !self.beyond) {
            DataType::Float64
        } else if has(DATE) {
            DataType::Date32
        } else if has(TIMESTAMP) {
            DataType::Timestamp(TimeUnit::Microsecond, None)
        } else if has(ZONED) {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        } else {
            DataType::Utf8View
        }
    }

    /// The types a value that is not a whole number of 64 bits fits.
    fn classify(&mut self, text: &[u8], reading: &Reading) -> u8 {
        let mut fits = 0;
        if let (Some(first), true) = (text.first(), self.possible & (DATE | TIMESTAMP | ZONED) != 0)
            && (first.is_ascii_digit() || reading.has_formats())
        {
            fits |= self.classify_time(text, reading);
        }
        if self.possible & BOOLEAN != 0 && values::boolean_word(text).is_some() {
            fits |= BOOLEAN;
            self.decided = true;
        }
        if self.possible & DOUBLE != 0 && fits == 0 && values::double(text).is_some() {
            fits |= DOUBLE;
            if values::is_digits(text) {
                self.beyond |= values::integer(text).is_none();
                self.decided = true;
            } else if text.iter().any(u8::is_ascii_digit) {
                self.fractional = true;
                self.decided = true;
            }
        }
        fits
    }

    fn classify_time(&mut self, text: &[u8], reading: &Reading) -> u8 {
        let mut fits = 0;
        if reading.date(text).is_some() {
            fits |= DATE;
            // A date counts as its midnight in a column of timestamps, unless the user said how either is written.
            if !reading.has_formats() {
                fits |= TIMESTAMP;
            }
        }
        if fits & TIMESTAMP == 0 {
            match reading.timestamp(text) {
                Some((_, true)) => fits |= ZONED,
                Some((_, false)) => fits |= TIMESTAMP,
                None => {}
            }
        }
        self.decided |= fits != 0;
        fits
    }
}
