//! How the values of an array of times read.

use arrow::array::{Array, ArrayRef, AsArray, DurationMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, IntervalMonthDayNanoType, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};

use super::interval::Interval;
use super::kind::{Kind, type_of};
use super::text::{Fraction, write_date, write_time, write_timestamp, write_timestamptz};
use super::zone::Zone;

/// Appends the text of the value in a row, which is not NULL.
pub type Formatter<'a> = Box<dyn Fn(usize, &mut String) + 'a>;

/// How the dates, times, timestamps or intervals of an array read, as clocks in `zone` show them; none for other
/// types, and for values of other units that have no microseconds.
pub fn formatter<'a>(array: &dyn Array, zone: Zone, fraction: Fraction) -> Option<Formatter<'a>> {
    let kind = Kind::of(array.data_type());
    if !kind.is_time() {
        return None;
    }
    if matches!(array.data_type(), DataType::Duration(_)) {
        return durations(array, fraction);
    }
    let given = array.null_count();
    let array: ArrayRef = cast(array, &type_of(kind)).ok().filter(|cast| cast.null_count() == given)?;
    Some(match kind {
        Kind::Date => {
            let values = array.as_primitive::<Date32Type>().clone();
            Box::new(move |row, out| write_date(out, values.value(row).into()))
        }
        Kind::Time => {
            let values = array.as_primitive::<Time64MicrosecondType>().clone();
            Box::new(move |row, out| write_time(out, values.value(row), fraction))
        }
        Kind::Interval => {
            let values = array.as_primitive::<IntervalMonthDayNanoType>().clone();
            Box::new(move |row, out| Interval::from_arrow(values.value(row)).write(out, fraction))
        }
        Kind::TimestampTz => {
            let values = array.as_primitive::<TimestampMicrosecondType>().clone();
            Box::new(move |row, out| write_timestamptz(out, values.value(row), &zone, fraction))
        }
        _ => {
            let values = array.as_primitive::<TimestampMicrosecondType>().clone();
            Box::new(move |row, out| write_timestamp(out, values.value(row), fraction))
        }
    })
}

/// How the dates, times, timestamps or intervals of an array read in a result, with six digits of a second or none;
/// `None` for other types.
///
/// A TIMESTAMPTZ reads as clocks of its Arrow type's zone show it, which in results is the session's.
pub fn time_formatter(array: &dyn Array) -> Option<Formatter<'_>> {
    let zone = match array.data_type() {
        DataType::Timestamp(_, Some(zone)) => Zone::of_arrow(zone),
        _ => Zone::UTC,
    };
    formatter(array, zone, Fraction::Six)
}

/// Durations of any unit are intervals of time alone.
fn durations<'a>(array: &dyn Array, fraction: Fraction) -> Option<Formatter<'a>> {
    let values: ArrayRef = cast(array, &DataType::Duration(TimeUnit::Microsecond)).ok()?;
    let values: DurationMicrosecondArray = values.as_any().downcast_ref::<DurationMicrosecondArray>()?.clone();
    Some(Box::new(move |row, out| Interval { micros: values.value(row), ..Default::default() }.write(out, fraction)))
}
