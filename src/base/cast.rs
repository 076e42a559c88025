//! From one type to another, value by value: the conversions of CAST, INSERT and COPY where Arrow's mean something
//! else.
//!
//! Arrow cuts fractions off, lets a DOUBLE overflow to infinity, divides doubles out of decimals digit by digit, and
//! reads numbers from text by other rules. Here numbers are rounded: decimals halves away from zero, floats halves to
//! even (PostgreSQL does both), a DOUBLE becomes the DECIMAL that its shortest text says, and what does not fit is an
//! error (22003) or, where asked for, NULL. Text is read as PostgreSQL reads it (22P02). Lists and structs are cast
//! value by value, the fields of structs by name; one that is missing is NULL; their text is that of `nested_text`. All
//! other conversions are Arrow's.

mod nested_text;

use std::cell::Cell;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryViewArray, ListArray, PrimitiveArray, StringViewArray,
    StructArray, new_null_array,
};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};

use super::bytes;
use super::decimal::{self, DecimalType, power_of_ten, rescale};
use super::error::{Error, Result};
use super::types::sql_type_name;

/// What becomes of a value that the target type cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnFailure {
    /// The whole conversion is an error.
    Error,
    /// That value is NULL.
    Null,
}

/// Whether values of `from` become values of `to` by the rules of this file rather than by Arrow's.
pub fn is_ours(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    if from == to {
        return false;
    }
    match (from, to) {
        (T::List(_) | T::Struct(_), to) if to.is_string() => true,
        (from, T::List(_)) if from.is_string() => true,
        (T::List(from), T::List(to)) => is_ours(from.data_type(), to.data_type()),
        // Fields are matched by name where they have names in common, else by position, as Arrow does.
        (T::Struct(from), T::Struct(to)) => from.iter().any(|field| to.find(field.name()).is_some()),
        (from, to) if from.is_string() => is_number(to) || is_binary(to),
        (from, to) if is_binary(from) => to.is_string(),
        (T::Float64, T::Float32) => true,
        (from, to) if from.is_floating() => to.is_integer() || is_decimal(to),
        (from, to) if is_decimal(from) && to.is_floating() => true,
        (from, to) if is_exact(from) && is_exact(to) => !always_fits(from, to),
        _ => false,
    }
}

/// `array` as `to`.
pub fn cast_values(array: &ArrayRef, to: &DataType, on_failure: OnFailure) -> Result<ArrayRef> {
    if !is_ours(array.data_type(), to) {
        let options = CastOptions { safe: on_failure == OnFailure::Null, ..Default::default() };
        return Ok(cast_with_options(array, to, &options)?);
    }
    let from = array.data_type().clone();
    match (&from, to) {
        (DataType::List(_) | DataType::Struct(_), to) if to.is_string() => Ok(cast(&nested_text::write(array)?, to)?),
        (from, DataType::List(item)) if from.is_string() => {
            let texts = cast(array, &DataType::Utf8View)?;
            nested_text::read(texts.as_string_view(), item, on_failure, |text| invalid(text, to))
        }
        (DataType::List(_), DataType::List(field)) => {
            let list = array.as_list::<i32>();
            let values = cast_values(list.values(), field.data_type(), on_failure)?;
            let list = ListArray::try_new(field.clone(), list.offsets().clone(), values, list.nulls().cloned())?;
            Ok(Arc::new(list))
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let array = array.as_struct();
            let columns = fields.iter().map(|field| match array.column_by_name(field.name()) {
                Some(column) => cast_values(column, field.data_type(), on_failure),
                None => Ok(new_null_array(field.data_type(), array.len())),
            });
            let columns = columns.collect::<Result<Vec<_>>>()?;
            Ok(Arc::new(StructArray::try_new(fields.clone(), columns, array.nulls().cloned())?))
        }
        (from, _) if from.is_string() => text_as(array, to, on_failure),
        (from, _) if is_binary(from) => {
            let values = cast(array, &DataType::BinaryView)?;
            let text: StringViewArray = values.as_binary_view().iter().map(|value| value.map(bytes::to_text)).collect();
            Ok(cast(&text, to)?)
        }
        _ => number_as(array, to, on_failure),
    }
}

fn is_decimal(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal128(_, _))
}

fn is_exact(data_type: &DataType) -> bool {
    data_type.is_integer() || is_decimal(data_type)
}

fn is_number(data_type: &DataType) -> bool {
    is_exact(data_type) || matches!(data_type, DataType::Float32 | DataType::Float64)
}

fn is_binary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

/// Whether every value of `from` is one of `to`, so that nothing is rounded and nothing overflows.
fn always_fits(from: &DataType, to: &DataType) -> bool {
    if from.is_integer() && to.is_integer() {
        let (from_bytes, to_bytes) = (from.primitive_width(), to.primitive_width());
        return match (from.is_signed_integer(), to.is_signed_integer()) {
            (true, false) => false,
            (false, true) => from_bytes < to_bytes,
            _ => from_bytes <= to_bytes,
        };
    }
    match (DecimalType::of(from), DecimalType::of(to)) {
        (Some(from), Some(to_digits)) if is_decimal(to) => from.common(to_digits) == Some(to_digits),
        _ => false,
    }
}

/// The error for a value that `to` cannot hold.
pub fn out_of_range(value: impl std::fmt::Display, to: &DataType) -> Error {
    let name = sql_type_name(to).to_lowercase();
    Error::data(format!("value {value} is out of range for type {name}")).with_sqlstate("22003")
}

fn invalid(text: &str, to: &DataType) -> Error {
    let name = sql_type_name(to).to_lowercase();
    Error::data(format!("invalid input syntax for type {name}: \"{text}\"")).with_sqlstate("22P02")
}

// ---- numbers ----

fn number_as(array: &ArrayRef, to: &DataType, on_failure: OnFailure) -> Result<ArrayRef> {
    match (array.data_type().clone(), to) {
        (DataType::Float64, DataType::Float32) => {
            let values = array.as_primitive::<Float64Type>();
            convert::<_, Float32Type>(values, to, on_failure, |value| {
                let narrow = value as f32;
                (narrow.is_finite() || !value.is_finite()).then_some(narrow)
            })
        }
        (from, DataType::Decimal128(precision, scale)) if from.is_floating() => {
            let target = DecimalType { precision: *precision, scale: *scale };
            let values = cast(array, &DataType::Float64)?;
            let single = from != DataType::Float64;
            let values = values.as_primitive::<Float64Type>();
            convert::<_, Decimal128Type>(values, to, on_failure, |value| float_to_decimal(value, single, target))
        }
        (from, _) if from.is_floating() => {
            let values = cast(array, &DataType::Float64)?;
            let values = values.as_primitive::<Float64Type>();
            integers(values, to, on_failure, |value| {
                let rounded = value.round_ties_even();
                // 2^64 is beyond every integer type, and all doubles below it are exact in 128 bits.
                (rounded.abs() <= 18_446_744_073_709_551_616.0).then_some(rounded as i128)
            })
        }
        (DataType::Decimal128(_, scale), DataType::Float32 | DataType::Float64) => {
            let values = array.as_primitive::<Decimal128Type>();
            let doubles = convert::<_, Float64Type>(values, &DataType::Float64, on_failure, |value| {
                Some(decimal_to_double(value, scale))
            })?;
            if *to == DataType::Float64 { Ok(doubles) } else { cast_values(&doubles, to, on_failure) }
        }
        (DataType::Decimal128(_, from), DataType::Decimal128(precision, scale)) => {
            let target = DecimalType { precision: *precision, scale: *scale };
            let values = array.as_primitive::<Decimal128Type>();
            convert::<_, Decimal128Type>(values, to, on_failure, |value| {
                rescale(value, from, target.scale).and_then(|value| target.checked(value))
            })
        }
        (DataType::Decimal128(_, scale), _) => {
            let values = array.as_primitive::<Decimal128Type>();
            integers(values, to, on_failure, |value| rescale(value, scale, 0))
        }
        (from, DataType::Decimal128(precision, scale)) => {
            let target = DecimalType { precision: *precision, scale: *scale };
            // Twenty digits hold every integer.
            let values = cast(array, &DataType::Decimal128(20, 0))?;
            debug_assert!(from.is_integer());
            convert::<_, Decimal128Type>(values.as_primitive::<Decimal128Type>(), to, on_failure, |value| {
                rescale(value, 0, target.scale).and_then(|value| target.checked(value))
            })
        }
        _ => {
            let values = cast(array, &DataType::Decimal128(20, 0))?;
            integers(values.as_primitive::<Decimal128Type>(), to, on_failure, Some)
        }
    }
}

/// Values by `narrow`, which tells with `None` what does not fit.
fn convert<F: ArrowPrimitiveType, T: ArrowPrimitiveType>(
    values: &PrimitiveArray<F>,
    to: &DataType,
    on_failure: OnFailure,
    narrow: impl Fn(F::Native) -> Option<T::Native>,
) -> Result<ArrayRef> {
    let converted: PrimitiveArray<T> = match on_failure {
        OnFailure::Null => values.unary_opt(narrow),
        OnFailure::Error => {
            let failed = Cell::new(None);
            let converted = values.try_unary(|value| {
                narrow(value).ok_or_else(|| {
                    failed.set(Some(value));
                    arrow::error::ArrowError::ComputeError(String::new())
                })
            });
            match (converted, failed.get()) {
                (Ok(converted), _) => converted,
                (Err(_), Some(value)) => {
                    let one = PrimitiveArray::<F>::from_iter_values([value]).with_data_type(values.data_type().clone());
                    return Err(out_of_range(display(&one), to));
                }
                (Err(error), None) => return Err(error.into()),
            }
        }
    };
    Ok(Arc::new(converted.with_data_type(to.clone())))
}

fn display(value: &dyn Array) -> String {
    arrow::util::display::array_value_to_string(value, 0).unwrap_or_default()
}

fn integers<F: ArrowPrimitiveType>(
    values: &PrimitiveArray<F>,
    to: &DataType,
    on_failure: OnFailure,
    round: impl Fn(F::Native) -> Option<i128>,
) -> Result<ArrayRef> {
    macro_rules! narrow {
        ($t:ty) => {
            convert::<F, $t>(values, to, on_failure, |value| round(value)?.try_into().ok())
        };
    }
    match to {
        DataType::Int8 => narrow!(Int8Type),
        DataType::Int16 => narrow!(Int16Type),
        DataType::Int32 => narrow!(Int32Type),
        DataType::Int64 => narrow!(Int64Type),
        DataType::UInt8 => narrow!(UInt8Type),
        DataType::UInt16 => narrow!(UInt16Type),
        DataType::UInt32 => narrow!(UInt32Type),
        DataType::UInt64 => narrow!(UInt64Type),
        other => Err(Error::internal(format!("no integer type: {other}"))),
    }
}

/// The decimal that the shortest text of a float says; `single` for a REAL, whose text is shorter.
fn float_to_decimal(value: f64, single: bool, target: DecimalType) -> Option<i128> {
    if !value.is_finite() {
        return None;
    }
    let text = if single { format!("{:e}", value as f32) } else { format!("{value:e}") };
    decimal::parse(&text)?.at_scale(target.scale).and_then(|value| target.checked(value))
}

/// The double nearest to a decimal.
pub fn decimal_to_double(value: i128, scale: i8) -> f64 {
    const EXACT: u128 = 1 << 53;
    // Both the digits and powers of ten up to 10^22 are exact doubles, so the division is the only rounding.
    if value.unsigned_abs() <= EXACT && (0..=22).contains(&scale) {
        return value as f64 / power_of_ten(scale.unsigned_abs().into()) as f64;
    }
    f64::from_str(&format!("{value}e{}", -i32::from(scale))).unwrap_or(f64::NAN)
}

// ---- text ----

fn text_as(array: &ArrayRef, to: &DataType, on_failure: OnFailure) -> Result<ArrayRef> {
    let text = cast(array, &DataType::Utf8View)?;
    let text = text.as_string_view();
    macro_rules! parse {
        ($t:ty, $read:expr) => {{
            let values = parsed(text, to, on_failure, $read)?;
            let values: PrimitiveArray<$t> = values.into_iter().collect();
            Ok(Arc::new(values.with_data_type(to.clone())))
        }};
    }
    match to {
        DataType::Int8 => parse!(Int8Type, integer),
        DataType::Int16 => parse!(Int16Type, integer),
        DataType::Int32 => parse!(Int32Type, integer),
        DataType::Int64 => parse!(Int64Type, integer),
        DataType::UInt8 => parse!(UInt8Type, integer),
        DataType::UInt16 => parse!(UInt16Type, integer),
        DataType::UInt32 => parse!(UInt32Type, integer),
        DataType::UInt64 => parse!(UInt64Type, integer),
        DataType::Float32 => parse!(Float32Type, |text| float(text, |value: &f32| value.is_infinite())),
        DataType::Float64 => parse!(Float64Type, |text| float(text, |value: &f64| value.is_infinite())),
        DataType::Decimal128(precision, scale) => {
            let target = DecimalType { precision: *precision, scale: *scale };
            parse!(Decimal128Type, |text| {
                let spread = without_separators(text);
                let number = decimal::parse(spread.as_deref().unwrap_or(text)).ok_or(Unread::Invalid)?;
                let value = number.at_scale(target.scale).and_then(|value| target.checked(value));
                value.ok_or(Unread::OutOfRange)
            })
        }
        _ => {
            let values = parsed(text, to, on_failure, |text| bytes::from_text(text).ok_or(Unread::Invalid))?;
            Ok(cast(&values.into_iter().collect::<BinaryViewArray>(), to)?)
        }
    }
}

/// Why a text is not a value.
enum Unread {
    Invalid,
    OutOfRange,
}

fn parsed<V>(
    text: &StringViewArray,
    to: &DataType,
    on_failure: OnFailure,
    read: impl Fn(&str) -> Result<V, Unread>,
) -> Result<Vec<Option<V>>> {
    let values = text.iter().map(|text| {
        let Some(text) = text else { return Ok(None) };
        match (read(text), on_failure) {
            (Ok(value), _) => Ok(Some(value)),
            (Err(_), OnFailure::Null) => Ok(None),
            (Err(Unread::Invalid), OnFailure::Error) => Err(invalid(text, to)),
            (Err(Unread::OutOfRange), OnFailure::Error) => Err(out_of_range(format!("\"{text}\""), to)),
        }
    });
    values.collect()
}

fn integer<V: FromStr + TryFrom<i128>>(text: &str) -> Result<V, Unread> {
    let text = text.trim();
    if let Ok(value) = text.parse::<V>() {
        return Ok(value);
    }
    let spread = without_separators(text);
    let text = spread.as_deref().unwrap_or(text);
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let value = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => i128::from_str_radix(&digits[2..], 16),
        Some("0o") => i128::from_str_radix(&digits[2..], 8),
        Some("0b") => i128::from_str_radix(&digits[2..], 2),
        _ if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            // Minus zero is no text of an unsigned integer to Rust.
            digits.parse().or(Ok(i128::MAX))
        }
        _ => return Err(Unread::Invalid),
    };
    let value = value.map_err(|_| Unread::Invalid)?;
    let value = if text.starts_with('-') { -value } else { value };
    V::try_from(value).map_err(|_| Unread::OutOfRange)
}

/// The text without the underscores between its digits, if there are such: `1_000`.
fn without_separators(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let is_between = |at: usize| {
        let is_digit = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_hexdigit());
        is_digit(at.checked_sub(1).and_then(|at| bytes.get(at))) && is_digit(bytes.get(at + 1))
    };
    let mut at = text.match_indices('_').map(|(at, _)| at).peekable();
    at.peek()?;
    at.all(is_between).then(|| text.replace('_', ""))
}

fn float<V: FromStr>(text: &str, is_infinite: impl Fn(&V) -> bool) -> Result<V, Unread> {
    let text = text.trim();
    let value: V = text.parse().map_err(|_| Unread::Invalid)?;
    match is_infinite(&value) && text.bytes().any(|byte| byte.is_ascii_digit()) {
        true => Err(Unread::OutOfRange),
        false => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Decimal128Array, Float64Array, Int64Array, StringArray};

    fn doubles(values: &[f64]) -> ArrayRef {
        Arc::new(Float64Array::from(values.to_vec()))
    }

    fn decimals(values: &[i128], precision: u8, scale: i8) -> ArrayRef {
        let array = Decimal128Array::from(values.to_vec());
        Arc::new(array.with_precision_and_scale(precision, scale).expect("a valid type"))
    }

    fn one<T: ArrowPrimitiveType>(array: ArrayRef, to: DataType) -> Result<T::Native, String> {
        let cast = cast_values(&array, &to, OnFailure::Error).map_err(|error| error.sqlstate().to_string())?;
        assert_eq!(cast.data_type(), &to);
        Ok(cast.as_primitive::<T>().value(0))
    }

    #[test]
    fn floats_round_to_even_and_decimals_away_from_zero() {
        for (value, rounded) in [(0.5, 0), (1.5, 2), (2.5, 2), (-0.5, 0), (-1.5, -2), (2.6, 3), (-2.4, -2)] {
            assert_eq!(one::<Int32Type>(doubles(&[value]), DataType::Int32), Ok(rounded), "{value}");
        }
        for (value, rounded) in [(5, 1), (15, 2), (25, 3), (-5, -1), (-25, -3), (24, 2)] {
            assert_eq!(one::<Int64Type>(decimals(&[value], 5, 1), DataType::Int64), Ok(rounded), "{value}");
        }
        assert_eq!(one::<Int8Type>(doubles(&[127.4]), DataType::Int8), Ok(127));
        for bad in [127.5, -129.0, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(one::<Int8Type>(doubles(&[bad]), DataType::Int8), Err("22003".into()), "{bad}");
        }
    }

    #[test]
    fn doubles_become_the_decimals_they_look_like() {
        let to = DataType::Decimal128(8, 2);
        assert_eq!(one::<Decimal128Type>(doubles(&[1.005]), to.clone()), Ok(101));
        assert_eq!(one::<Decimal128Type>(doubles(&[-0.125]), to.clone()), Ok(-13));
        assert_eq!(one::<Decimal128Type>(doubles(&[1e6]), to.clone()), Err("22003".into()));
        assert_eq!(one::<Decimal128Type>(doubles(&[f64::NAN]), to), Err("22003".into()));
        let wide = DataType::Decimal128(38, 0);
        assert_eq!(one::<Decimal128Type>(doubles(&[1e37]), wide), Ok(10i128.pow(37)));
        assert_eq!(one::<Float64Type>(decimals(&[1], 38, 38), DataType::Float64), Ok(1e-38));
        assert_eq!(
            one::<Float64Type>(decimals(&[1_234_567_890_123_456_789], 19, 19), DataType::Float64),
            Ok(0.123_456_789_012_345_68)
        );
    }

    #[test]
    fn narrowing_fails_or_gives_null() {
        let array: ArrayRef = Arc::new(Int64Array::from(vec![Some(300), Some(7), None]));
        let error = cast_values(&array, &DataType::Int8, OnFailure::Error).expect_err("300 does not fit");
        assert_eq!((error.sqlstate(), error.message()), ("22003", "value 300 is out of range for type tinyint"));
        let cast = cast_values(&array, &DataType::Int8, OnFailure::Null).expect("a cast");
        assert_eq!(cast.as_primitive::<Int8Type>().iter().collect::<Vec<_>>(), [None, Some(7), None]);
        assert_eq!(one::<Decimal128Type>(decimals(&[9995], 6, 3), DataType::Decimal128(3, 2)), Err("22003".into()));
        assert_eq!(one::<Decimal128Type>(decimals(&[9994], 6, 3), DataType::Decimal128(3, 2)), Ok(999));
    }

    #[test]
    fn text_is_read_as_postgresql_reads_it() {
        let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
        assert_eq!(one::<Int32Type>(text(" 42 "), DataType::Int32), Ok(42));
        assert_eq!(one::<Int32Type>(text("-0x1F"), DataType::Int32), Ok(-31));
        assert_eq!(one::<UInt8Type>(text("-0"), DataType::UInt8), Ok(0));
        assert_eq!(one::<Int32Type>(text("4.5"), DataType::Int32), Err("22P02".into()));
        assert_eq!(one::<Int32Type>(text(""), DataType::Int32), Err("22P02".into()));
        assert_eq!(one::<Int32Type>(text("3000000000"), DataType::Int32), Err("22003".into()));
        assert_eq!(one::<Float64Type>(text(" -Infinity "), DataType::Float64), Ok(f64::NEG_INFINITY));
        assert_eq!(one::<Float64Type>(text("1e400"), DataType::Float64), Err("22003".into()));
        assert_eq!(one::<Decimal128Type>(text("1.005"), DataType::Decimal128(8, 2)), Ok(101));
        assert_eq!(one::<Decimal128Type>(text("1e3"), DataType::Decimal128(4, 0)), Ok(1000));
        assert_eq!(one::<Decimal128Type>(text("1e3"), DataType::Decimal128(3, 0)), Err("22003".into()));
        assert_eq!(one::<Decimal128Type>(text("x"), DataType::Decimal128(3, 0)), Err("22P02".into()));
    }
}
