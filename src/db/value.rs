//! Values: what parameters and rows hold, one at a time.
//!
//! A [`Value`] is a SQL value outside of Arrow. Whole columns should stay in Arrow ([`crate::db::rows::ArrowRows`]);
//! this is for parameters, for single rows and for the row-wise appender. Types without a variant of their own are
//! shown as text.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, NullArray,
    StringViewArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Fields, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::base::cast::{OnFailure, cast_values};
use crate::base::domain::Domain;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::time::convert::{convert, is_of_time};
use crate::base::time::display::formatter;
use crate::base::time::text::Fraction;
use crate::base::time::zone::Zone;
use crate::base::types::{canonical_array, sql_type_name};

/// One SQL value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// NULL.
    Null,
    /// BOOLEAN.
    Boolean(bool),
    /// Any integer but UBIGINT.
    Integer(i64),
    /// UBIGINT.
    Unsigned(u64),
    /// DOUBLE or REAL.
    Double(f64),
    /// DECIMAL: the value is `unscaled / 10^scale`.
    Decimal {
        /// The digits as one integer.
        unscaled: i128,
        /// How many of them stand behind the point.
        scale: i8,
    },
    /// TEXT, and as text whatever has no variant.
    Text(String),
    /// BYTEA.
    Blob(Vec<u8>),
    /// DATE: days since 1970-01-01.
    Date(i32),
    /// TIMESTAMP or TIMESTAMPTZ: microseconds since 1970-01-01 00:00:00 (UTC).
    Timestamp(i64),
}

impl Value {
    /// The value at `row` of a column.
    pub(crate) fn from_array(array: &ArrayRef, row: usize) -> Result<Value> {
        use DataType as T;
        if row >= array.len() {
            return Err(Error::internal(format!("row {row} of {}", array.len())));
        }
        if array.is_null(row) {
            return Ok(Value::Null);
        }
        let one = array.slice(row, 1);
        Ok(match array.data_type() {
            T::Null => Value::Null,
            T::Boolean => Value::Boolean(one.as_boolean().value(0)),
            T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::UInt8 | T::UInt16 | T::UInt32 => {
                Value::Integer(cast(&one, &T::Int64)?.as_primitive::<Int64Type>().value(0))
            }
            T::UInt64 => Value::Unsigned(one.as_primitive::<UInt64Type>().value(0)),
            T::Float16 | T::Float32 | T::Float64 => {
                Value::Double(cast(&one, &T::Float64)?.as_primitive::<Float64Type>().value(0))
            }
            T::Decimal128(_, scale) => {
                Value::Decimal { unscaled: one.as_primitive::<Decimal128Type>().value(0), scale: *scale }
            }
            T::Utf8 | T::LargeUtf8 | T::Utf8View => {
                Value::Text(cast(&one, &T::Utf8View)?.as_string_view().value(0).to_string())
            }
            T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => {
                Value::Blob(cast(&one, &T::BinaryView)?.as_binary_view().value(0).to_vec())
            }
            T::Date32 => Value::Date(one.as_primitive::<Date32Type>().value(0)),
            T::Timestamp(_, zone) => {
                let target = T::Timestamp(TimeUnit::Microsecond, zone.clone());
                Value::Timestamp(cast(&one, &target)?.as_primitive::<TimestampMicrosecondType>().value(0))
            }
            _ => Value::Text(display(array, row)),
        })
    }

    /// The value as an array of one row, in the type nearest to it.
    pub(crate) fn to_array(&self) -> Result<ArrayRef> {
        Ok(match self {
            Value::Null => Arc::new(NullArray::new(1)),
            Value::Boolean(value) => Arc::new(BooleanArray::from(vec![*value])),
            Value::Integer(value) => Arc::new(Int64Array::from(vec![*value])),
            Value::Unsigned(value) => Arc::new(UInt64Array::from(vec![*value])),
            Value::Double(value) => Arc::new(Float64Array::from(vec![*value])),
            Value::Decimal { unscaled, scale } => {
                let digits = unscaled.unsigned_abs().checked_ilog10().map_or(1, |log| log as u8 + 1);
                let precision = digits.max(scale.unsigned_abs());
                Arc::new(Decimal128Array::from(vec![*unscaled]).with_precision_and_scale(precision, *scale)?)
            }
            Value::Text(value) => Arc::new(StringViewArray::from(vec![value.as_str()])),
            Value::Blob(value) => Arc::new(BinaryViewArray::from(vec![value.as_slice()])),
            Value::Date(days) => Arc::new(arrow::array::Date32Array::from(vec![*days])),
            Value::Timestamp(us) => Arc::new(TimestampMicrosecondArray::from(vec![*us])),
        })
    }

    /// The value as an array of one row of type `data_type`, as INSERT would store it.
    pub(crate) fn to_array_of(&self, data_type: &DataType, domain: Option<Domain>) -> Result<ArrayRef> {
        assign(&self.to_array()?, data_type, domain)
    }
}

/// `array` as a column of type `data_type` takes it on INSERT: a value that does not fit is an error.
pub fn assign(array: &ArrayRef, data_type: &DataType, domain: Option<Domain>) -> Result<ArrayRef> {
    assign_in(array, data_type, domain, &Zone::UTC)
}

/// [`assign`] in a session whose time zone is `zone`: texts and timestamps without a zone stand in it.
pub fn assign_in(array: &ArrayRef, data_type: &DataType, domain: Option<Domain>, zone: &Zone) -> Result<ArrayRef> {
    expect_fields(array.data_type(), data_type)?;
    let cast = if array.data_type() == data_type {
        array.clone()
    } else if is_of_time(array.data_type(), data_type) {
        convert(array, data_type, zone, false)?
    } else if data_type.is_nested() && !array.data_type().is_nested() && !array.data_type().is_null() {
        // Arrow would make a list of the one value.
        let (from, to) = (sql_type_name(array.data_type()), sql_type_name(data_type));
        return Err(Error::new(ErrorKind::Type, format!("cannot store {from} as {to}")));
    } else {
        let from = sql_type_name(array.data_type());
        cast_values(array, data_type, OnFailure::Error).map_err(|error| {
            let (kind, sqlstate) = match (error.kind(), arrow::compute::can_cast_types(array.data_type(), data_type)) {
                (_, false) => (ErrorKind::Type, ErrorKind::Type.sqlstate()),
                // The types fit, so it is the value that does not.
                (ErrorKind::Internal, true) => (ErrorKind::Data, "22003"),
                (kind, true) => (kind, error.sqlstate()),
            };
            Error::new(kind, format!("cannot store {from} as {}: {}", sql_type_name(data_type), error.message()))
                .with_sqlstate(sqlstate)
        })?
    };
    match domain {
        Some(domain) => domain.store(&cast),
        None => canonical_array(&cast, data_type),
    }
}

/// Refuses a struct with a field that the column has not. The fields of `row(..)` have no names of their own: these go
/// by their places, and there must be as many.
fn expect_fields(from: &DataType, to: &DataType) -> Result<()> {
    match (from, to) {
        (DataType::List(from), DataType::List(to)) => expect_fields(from.data_type(), to.data_type()),
        (DataType::Struct(from), DataType::Struct(to)) => {
            let unnamed = from.iter().enumerate().all(|(place, field)| *field.name() == format!("c{place}"));
            if unnamed && from.iter().all(|field| to.find(field.name()).is_none()) {
                return match from.len() == to.len() {
                    true => Ok(()),
                    false => Err(other_fields(format!("the row has {} fields for {}", from.len(), to.len()), to)),
                };
            }
            from.iter().try_for_each(|field| match to.find(field.name()) {
                Some((_, own)) => expect_fields(field.data_type(), own.data_type()),
                None => Err(other_fields(format!("the column has no field \"{}\"", field.name()), to)),
            })
        }
        _ => Ok(()),
    }
}

fn other_fields(message: String, to: &Fields) -> Error {
    let names: Vec<String> = to.iter().map(|field| format!("\"{}\"", field.name())).collect();
    let error = Error::new(ErrorKind::Type, message).with_sqlstate("42804");
    error.with_hint(format!("its fields are {}", names.join(", ")))
}

macro_rules! from_values {
    ($($from:ty => $variant:ident as $to:ty),* $(,)?) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Value::$variant(<$to>::from(value))
            }
        }
    )*};
}

from_values! {
    bool => Boolean as bool, i8 => Integer as i64, i16 => Integer as i64, i32 => Integer as i64,
    i64 => Integer as i64, u8 => Integer as i64, u16 => Integer as i64, u32 => Integer as i64,
    u64 => Unsigned as u64, f32 => Double as f64, f64 => Double as f64, &str => Text as String,
    String => Text as String, Vec<u8> => Blob as Vec<u8>,
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

impl<T: Into<Value> + Clone> From<&T> for Value {
    fn from(value: &T) -> Self {
        value.clone().into()
    }
}

/// A Rust type that a [`Value`] can become.
pub trait FromValue: Sized {
    /// The value as this type; an error names what it is instead.
    fn from_value(value: Value) -> Result<Self>;
}

macro_rules! to_values {
    ($($to:ty: $($pattern:pat => $result:expr),+;)*) => {$(
        impl FromValue for $to {
            fn from_value(value: Value) -> Result<Self> {
                match value {
                    $($pattern => Ok($result),)+
                    other => Err(wrong_type(&other, stringify!($to))),
                }
            }
        }
    )*};
}

to_values! {
    bool: Value::Boolean(value) => value;
    f64: Value::Double(value) => value, Value::Integer(value) => value as f64,
         Value::Decimal { unscaled, scale } => unscaled as f64 / 10f64.powi(i32::from(scale));
    String: Value::Text(value) => value;
    Vec<u8>: Value::Blob(value) => value;
}

macro_rules! to_integers {
    ($($to:ty),*) => {$(
        impl FromValue for $to {
            fn from_value(value: Value) -> Result<Self> {
                let fits = match &value {
                    Value::Integer(number) => <$to>::try_from(*number).ok(),
                    Value::Unsigned(number) => <$to>::try_from(*number).ok(),
                    Value::Timestamp(number) => <$to>::try_from(*number).ok(),
                    Value::Date(number) => <$to>::try_from(*number).ok(),
                    _ => None,
                };
                fits.ok_or_else(|| wrong_type(&value, stringify!($to)))
            }
        }
    )*};
}

to_integers!(i8, i16, i32, i64, u8, u16, u32, u64);

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Result<Self> {
        match value {
            Value::Null => Ok(None),
            other => T::from_value(other).map(Some),
        }
    }
}

impl FromValue for Value {
    fn from_value(value: Value) -> Result<Self> {
        Ok(value)
    }
}

fn wrong_type(value: &Value, wanted: &str) -> Error {
    Error::new(ErrorKind::Type, format!("cannot read {value:?} as {wanted}"))
}

/// Parameters of a statement: `()`, [`params!`](crate::params), or a slice of values; `?` and `$1` are the first.
pub trait Params {
    /// The values, first to last.
    fn values(&self) -> Vec<Value>;
}

impl Params for () {
    fn values(&self) -> Vec<Value> {
        Vec::new()
    }
}

impl Params for &[Value] {
    fn values(&self) -> Vec<Value> {
        self.to_vec()
    }
}

impl Params for Vec<Value> {
    fn values(&self) -> Vec<Value> {
        self.clone()
    }
}

impl<const N: usize> Params for [Value; N] {
    fn values(&self) -> Vec<Value> {
        self.to_vec()
    }
}

impl<const N: usize> Params for &[Value; N] {
    fn values(&self) -> Vec<Value> {
        self.to_vec()
    }
}

/// The parameters of a statement, of any types that [`Value`] can be made from.
///
/// ```
/// # fn main() -> eddydb::Result<()> {
/// let connection = eddydb::Database::in_memory()?.connect()?;
/// let sum: i64 = connection.query_row("SELECT CAST($1 + $2 AS BIGINT)", eddydb::params![1, 2], |row| row.get(0))?;
/// assert_eq!(sum, 3);
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { [$($crate::Value::from($value)),*] };
}

/// One value as text, for messages.
pub fn display(array: &ArrayRef, row: usize) -> String {
    if array.is_valid(row)
        && let Some(write) = formatter(array.as_ref(), Zone::UTC, Fraction::Short)
    {
        let mut text = String::new();
        write(row, &mut text);
        return text;
    }
    let options = FormatOptions::default().with_null("NULL").with_display_error(true);
    match ArrayFormatter::try_new(array.as_ref(), &options) {
        Ok(formatter) => formatter.value(row).to_string(),
        Err(_) => "?".into(),
    }
}
