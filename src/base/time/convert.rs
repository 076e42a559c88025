//! Columns of one type as columns of another, where one of them is of time.
//!
//! [`convert`] does it for columns of any type; where neither side is of time it is Arrow's cast. What text means
//! depends on the type it becomes, what a TIMESTAMPTZ shows on the zone.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, ListArray, PrimitiveArray, StringViewArray, StructArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};

use super::calendar::split;
use super::display::formatter;
use super::interval::{self, Interval, Unit};
use super::kind::{DATE, INTERVAL, Kind, TIME, TIMESTAMP, timestamptz, type_of};
use super::text::Fraction;
use super::zone::Zone;
use super::{DAY, out_of_range, parse};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::types::sql_type_name;

/// Whether a cast between these types is one of ours.
pub fn is_of_time(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (DataType::List(from), DataType::List(to)) => is_of_time(from.data_type(), to.data_type()),
        (DataType::Struct(from), DataType::Struct(to)) if from.len() == to.len() => {
            from.iter().zip(to).any(|(from, to)| is_of_time(from.data_type(), to.data_type()))
        }
        _ => {
            let (from, to) = (Kind::of(from), Kind::of(to));
            from != to && (from.is_time() || to.is_time()) && from != Kind::Null && to != Kind::Null
        }
    }
}

/// The error for types between which there is no cast.
pub fn no_cast(from: &DataType, to: &DataType) -> Error {
    let message = format!("cannot cast {} to {}", sql_type_name(from), sql_type_name(to));
    let error = Error::new(ErrorKind::Type, message).with_sqlstate("42846");
    match (Kind::of(from), Kind::of(to)) {
        (from, Kind::Timestamp | Kind::TimestampTz | Kind::Date) if from.is_number() => {
            error.with_hint("to_timestamp(seconds) makes a timestamp of a number")
        }
        (from, to) if from.is_time() && to.is_number() => {
            error.with_hint("extract(epoch FROM ..) gives seconds as a number")
        }
        _ => error,
    }
}

/// Whether values of one type can become those of another.
pub fn has_cast(from: &DataType, to: &DataType) -> bool {
    use Kind::{Date, Interval, Text, Time, Timestamp, TimestampTz};
    match (from, to) {
        (DataType::List(from), DataType::List(to)) => has_cast(from.data_type(), to.data_type()),
        (DataType::Struct(_), DataType::Struct(_)) => true,
        _ => match (Kind::of(from), Kind::of(to)) {
            (from, to) if from == to => true,
            (Kind::Null, _) | (_, Kind::Null) => true,
            (Text, Date | Time | Timestamp | TimestampTz | Interval) => true,
            (Date | Time | Timestamp | TimestampTz | Interval, Text) => true,
            (Date | Timestamp | TimestampTz, Date | Timestamp | TimestampTz) => true,
            (Timestamp | TimestampTz | Interval, Time) | (Time, Interval) => true,
            (from, to) => !from.is_time() && !to.is_time(),
        },
    }
}

/// `array` in another type. A value that does not become one is an error, or NULL if `safe`.
pub fn convert(array: &ArrayRef, target: &DataType, zone: &Zone, safe: bool) -> Result<ArrayRef> {
    let options = CastOptions { safe, ..Default::default() };
    let arrow = |array: &ArrayRef, target: &DataType| -> Result<ArrayRef> {
        if array.data_type() == target { Ok(array.clone()) } else { Ok(cast_with_options(array, target, &options)?) }
    };
    if !is_of_time(array.data_type(), target) {
        return arrow(array, target);
    }
    if !has_cast(array.data_type(), target) {
        return Err(no_cast(array.data_type(), target));
    }
    match (array.data_type(), target) {
        (DataType::List(_), DataType::List(field)) => {
            let list = array.as_list::<i32>();
            let values = convert(list.values(), field.data_type(), zone, safe)?;
            return Ok(Arc::new(ListArray::try_new(
                field.clone(),
                list.offsets().clone(),
                values,
                list.nulls().cloned(),
            )?));
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let from = array.as_struct();
            let columns =
                from.columns().iter().zip(fields).map(|(column, field)| convert(column, field.data_type(), zone, safe));
            let columns = columns.collect::<Result<Vec<_>>>()?;
            let nulls = from.nulls().cloned();
            return Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, from.len())?));
        }
        _ => {}
    }
    // Both sides in canonical types; what is finer or coarser is Arrow's matter.
    let (from, to) = (Kind::of(array.data_type()), Kind::of(target));
    let array = arrow(array, &type_of(from))?;
    let result = match from {
        Kind::Text => from_text(array.as_string_view(), to, zone, safe)?,
        _ if to == Kind::Text => to_text(&array, zone)?,
        _ => between(&array, from, to, zone, safe)?,
    };
    arrow(&result, target)
}

fn from_text(texts: &StringViewArray, to: Kind, zone: &Zone, safe: bool) -> Result<ArrayRef> {
    match to {
        Kind::Date => parsed::<Date32Type>(texts, &DATE, safe, parse::date),
        Kind::Time => parsed::<Time64MicrosecondType>(texts, &TIME, safe, parse::time),
        Kind::Timestamp => parsed::<TimestampMicrosecondType>(texts, &TIMESTAMP, safe, parse::timestamp),
        Kind::TimestampTz => {
            let read = |text: &str| parse::timestamptz(text, zone);
            parsed::<TimestampMicrosecondType>(texts, &timestamptz(), safe, read)
        }
        _ => {
            let read = |text: &str| interval::parse(text, Unit::Second).and_then(Interval::to_arrow);
            parsed::<IntervalMonthDayNanoType>(texts, &INTERVAL, safe, read)
        }
    }
}

fn parsed<T: ArrowPrimitiveType>(
    texts: &StringViewArray,
    data_type: &DataType,
    safe: bool,
    parse: impl Fn(&str) -> Result<T::Native>,
) -> Result<ArrayRef> {
    let values = texts.iter().map(|text| match text.map(&parse) {
        Some(Err(_)) if safe => Ok(None),
        value => value.transpose(),
    });
    let array: PrimitiveArray<T> = values.collect::<Result<Vec<_>>>()?.into_iter().collect();
    Ok(Arc::new(array.with_data_type(data_type.clone())))
}

fn to_text(array: &ArrayRef, zone: &Zone) -> Result<ArrayRef> {
    let write = formatter(array.as_ref(), *zone, Fraction::Short);
    let write = write.ok_or_else(|| Error::internal("a value of time was expected"))?;
    let texts = (0..array.len()).map(|row| {
        array.is_valid(row).then(|| {
            let mut out = String::new();
            write(row, &mut out);
            out
        })
    });
    Ok(Arc::new(StringViewArray::from_iter(texts)))
}

/// Among dates, times, timestamps and intervals.
fn between(array: &ArrayRef, from: Kind, to: Kind, zone: &Zone, safe: bool) -> Result<ArrayRef> {
    let local = |micros: i64| zone.to_local(micros).ok_or_else(|| out_of_range("timestamp"));
    let utc = |micros: i64| zone.to_utc(micros).ok_or_else(|| out_of_range("timestamp"));
    let midnight = |day: i32| i64::from(day).checked_mul(DAY).ok_or_else(|| out_of_range("date"));
    let day = |micros: i64| i32::try_from(split(micros).0).map_err(|_| out_of_range("date"));
    type Timestamps = TimestampMicrosecondType;
    match (from, to) {
        (Kind::Date, Kind::Timestamp) => mapped::<Date32Type, Timestamps>(array, &TIMESTAMP, safe, midnight),
        (Kind::Date, Kind::TimestampTz) => {
            mapped::<Date32Type, Timestamps>(array, &timestamptz(), safe, |day| utc(midnight(day)?))
        }
        (Kind::Timestamp, Kind::Date) => mapped::<Timestamps, Date32Type>(array, &DATE, safe, day),
        (Kind::TimestampTz, Kind::Date) => mapped::<Timestamps, Date32Type>(array, &DATE, safe, |at| day(local(at)?)),
        (Kind::Timestamp, Kind::TimestampTz) => mapped::<Timestamps, Timestamps>(array, &timestamptz(), safe, utc),
        (Kind::TimestampTz, Kind::Timestamp) => mapped::<Timestamps, Timestamps>(array, &TIMESTAMP, safe, local),
        (Kind::Timestamp, Kind::Time) => {
            mapped::<Timestamps, Time64MicrosecondType>(array, &TIME, safe, |at| Ok(split(at).1))
        }
        (Kind::TimestampTz, Kind::Time) => {
            mapped::<Timestamps, Time64MicrosecondType>(array, &TIME, safe, |at| Ok(split(local(at)?).1))
        }
        (Kind::Interval, Kind::Time) => {
            mapped::<IntervalMonthDayNanoType, Time64MicrosecondType>(array, &TIME, safe, |value| {
                Ok(Interval::from_arrow(value).micros.rem_euclid(DAY))
            })
        }
        (Kind::Time, Kind::Interval) => {
            mapped::<Time64MicrosecondType, IntervalMonthDayNanoType>(array, &INTERVAL, safe, |micros| {
                Interval { micros, ..Default::default() }.to_arrow()
            })
        }
        _ => Err(no_cast(array.data_type(), &type_of(to))),
    }
}

fn mapped<A: ArrowPrimitiveType, B: ArrowPrimitiveType>(
    array: &ArrayRef,
    data_type: &DataType,
    safe: bool,
    value: impl Fn(A::Native) -> Result<B::Native>,
) -> Result<ArrayRef> {
    let values = array.as_primitive::<A>().iter().map(|from| match from.map(&value) {
        Some(Err(_)) if safe => Ok(None),
        value => value.transpose(),
    });
    let result: PrimitiveArray<B> = values.collect::<Result<Vec<_>>>()?.into_iter().collect();
    Ok(Arc::new(result.with_data_type(data_type.clone())))
}
