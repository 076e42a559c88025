//! Dates, times and timestamps as text, in ISO order with a space before the time, as PostgreSQL writes them.
//!
//! Years before 1 are written with BC. A fraction of a second has as few digits as it needs, or always six where
//! columns are to line up.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray, DurationMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, IntervalMonthDayNanoType, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};

use super::calendar::{civil, split};
use super::interval::Interval;
use super::kind::{Kind, type_of};
use super::zone::{Zone, offset_text};
use super::{HOUR, MINUTE, SECOND};

/// How many digits a fraction of a second has that is not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fraction {
    /// As few as it needs.
    Short,
    /// Six.
    Six,
}

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

/// Appends a date: `2013-01-31`.
pub fn write_date(out: &mut String, day: i64) {
    let before_christ = write_day(out, day);
    if before_christ {
        out.push_str(" BC");
    }
}

/// Appends a time of day: `10:15:00.5`.
pub fn write_time(out: &mut String, micros: i64, fraction: Fraction) {
    let (hours, minutes, seconds) = (micros / HOUR, micros / MINUTE % 60, micros / SECOND % 60);
    append(out, format_args!("{hours:02}:{minutes:02}:{seconds:02}"));
    write_fraction(out, micros.rem_euclid(SECOND), fraction);
}

/// Appends a timestamp: `2013-01-31 10:15:00.5`.
pub fn write_timestamp(out: &mut String, micros: i64, fraction: Fraction) {
    let (day, time) = split(micros);
    let before_christ = write_day(out, day);
    out.push(' ');
    write_time(out, time, fraction);
    if before_christ {
        out.push_str(" BC");
    }
}

/// Appends an instant as clocks in `zone` show it, with the offset: `2013-01-31 10:15:00+01`.
pub fn write_timestamptz(out: &mut String, micros: i64, zone: &Zone, fraction: Fraction) {
    let local = zone.to_local(micros).unwrap_or(micros);
    let (day, time) = split(local);
    let before_christ = write_day(out, day);
    out.push(' ');
    write_time(out, time, fraction);
    out.push_str(&offset_text((local - micros) / SECOND));
    if before_christ {
        out.push_str(" BC");
    }
}

/// Appends `.5` for half a second, nothing for none.
pub(super) fn write_fraction(out: &mut String, micros: i64, fraction: Fraction) {
    if micros == 0 {
        return;
    }
    append(out, format_args!(".{micros:06}"));
    if fraction == Fraction::Short {
        out.truncate(out.trim_end_matches('0').len());
    }
}

fn write_day(out: &mut String, day: i64) -> bool {
    let name = civil(day);
    let before_christ = name.year <= 0;
    let year = if before_christ { 1 - name.year } else { name.year };
    append(out, format_args!("{year:04}-{:02}-{:02}", name.month, name.day));
    before_christ
}

/// Writing to a String cannot fail.
pub(super) fn append(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes all that is written to it");
}
