//! The types of time in Arrow, and as far as they are told apart here.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

/// A type as far as functions of time tell types apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// NULL alone.
    Null,
    /// TEXT.
    Text,
    /// Whole numbers.
    Integer,
    /// DECIMAL.
    Decimal,
    /// DOUBLE and REAL.
    Double,
    /// DATE.
    Date,
    /// TIME.
    Time,
    /// TIMESTAMP.
    Timestamp,
    /// TIMESTAMPTZ.
    TimestampTz,
    /// INTERVAL.
    Interval,
    /// All else.
    Other,
}

impl Kind {
    /// The kind of a type.
    pub fn of(data_type: &DataType) -> Kind {
        match data_type {
            DataType::Null => Kind::Null,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Kind::Text,
            integer if integer.is_integer() => Kind::Integer,
            decimal if decimal.is_decimal() => Kind::Decimal,
            float if float.is_floating() => Kind::Double,
            DataType::Date32 | DataType::Date64 => Kind::Date,
            DataType::Time32(_) | DataType::Time64(_) => Kind::Time,
            DataType::Timestamp(_, None) => Kind::Timestamp,
            DataType::Timestamp(_, Some(_)) => Kind::TimestampTz,
            DataType::Interval(_) | DataType::Duration(_) => Kind::Interval,
            DataType::Dictionary(_, values) => Kind::of(values),
            _ => Kind::Other,
        }
    }

    /// Whether values of the kind are dates, times, timestamps or intervals.
    pub fn is_time(self) -> bool {
        matches!(self, Kind::Date | Kind::Time | Kind::Timestamp | Kind::TimestampTz | Kind::Interval)
    }

    /// Whether values of the kind are numbers.
    pub fn is_number(self) -> bool {
        matches!(self, Kind::Integer | Kind::Decimal | Kind::Double)
    }
}

/// DATE's canonical type.
pub const DATE: DataType = DataType::Date32;
/// TIME's canonical type.
pub const TIME: DataType = DataType::Time64(TimeUnit::Microsecond);
/// TIMESTAMP's canonical type.
pub const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
/// INTERVAL's canonical type.
pub const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

/// TIMESTAMPTZ's canonical type.
pub fn timestamptz() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The canonical type of a kind.
pub fn type_of(kind: Kind) -> DataType {
    match kind {
        Kind::Null => DataType::Null,
        Kind::Text => DataType::Utf8View,
        Kind::Integer => DataType::Int64,
        Kind::Double | Kind::Decimal => DataType::Float64,
        Kind::Date => DATE,
        Kind::Time => TIME,
        Kind::Timestamp => TIMESTAMP,
        Kind::TimestampTz => timestamptz(),
        Kind::Interval => INTERVAL,
        Kind::Other => DataType::Null,
    }
}
