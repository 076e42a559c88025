//! Fields of dates, times, timestamps and intervals: `extract`, `date_part`, and the functions named after a field.
//!
//! Seconds and epoch are DOUBLE, because they have fractions; milliseconds too; all else is BIGINT. Fields of a
//! TIMESTAMPTZ are those that clocks of the session's zone show.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, PrimitiveArray};
use arrow::datatypes::{DataType, Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::time::calendar::{civil, day_of_year, iso_week, iso_weekday, month_length, split, weekday};
use crate::base::time::interval::{Interval, Unit};
use crate::base::time::kind::{DATE, INTERVAL, Kind, TIME, TIMESTAMP, timestamptz};
use crate::base::time::names::{MONTHS, WEEKDAYS};
use crate::base::time::out_of_range;
use crate::base::time::zone::Zone;
use crate::base::time::{DAY, HOUR, MINUTE, SECOND};
use crate::catalog::suggest::nearest;
use crate::plan::time::function::{Call, Definition, Literals, interval, literal_text};

/// A part of a date, time or interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Unit(Unit),
    Weekday,
    IsoWeekday,
    DayOfYear,
    IsoYear,
    Julian,
    Epoch,
    Zone,
    ZoneHour,
    ZoneMinute,
    YearWeek,
}

/// Names of fields beyond those of units.
const NAMES: [(&str, Field); 16] = [
    ("dow", Field::Weekday),
    ("dayofweek", Field::Weekday),
    ("weekday", Field::Weekday),
    ("isodow", Field::IsoWeekday),
    ("doy", Field::DayOfYear),
    ("dayofyear", Field::DayOfYear),
    ("isoyear", Field::IsoYear),
    ("julian", Field::Julian),
    ("epoch", Field::Epoch),
    ("timezone", Field::Zone),
    ("timezone_hour", Field::ZoneHour),
    ("timezone_h", Field::ZoneHour),
    ("timezone_minute", Field::ZoneMinute),
    ("timezone_m", Field::ZoneMinute),
    ("yearweek", Field::YearWeek),
    ("weekofyear", Field::Unit(Unit::Week)),
];

impl Field {
    pub(crate) fn named(name: &str) -> Option<Field> {
        let name = name.trim().to_ascii_lowercase();
        let other = NAMES.iter().find(|(known, _)| *known == name).map(|(_, field)| *field);
        other.or_else(|| Unit::named(&name).map(Field::Unit))
    }

    fn is_double(self) -> bool {
        matches!(self, Field::Epoch | Field::Julian | Field::Unit(Unit::Second | Unit::Millisecond))
    }
}

/// The error for a field that does not exist.
pub(crate) fn unknown_field(name: &str) -> Error {
    let error = Error::new(ErrorKind::Invalid, format!("unit \"{name}\" not recognized")).with_sqlstate("22023");
    let known = ["microseconds", "milliseconds", "second", "minute", "hour", "day", "week", "month", "quarter", "year"];
    let more = ["decade", "century", "millennium", "dow", "isodow", "doy", "isoyear", "epoch", "julian", "timezone"];
    match nearest(name, known.into_iter().chain(more)) {
        Some(near) => error.with_hint(format!("did you mean \"{near}\"?")),
        None => error,
    }
}

fn not_in(field: &str, kind: Kind) -> Error {
    let name = match kind {
        Kind::Time => "time",
        Kind::Interval => "interval",
        Kind::Timestamp => "timestamp without time zone",
        _ => "date",
    };
    let message = format!("unit \"{field}\" not supported for type {name}");
    Error::new(ErrorKind::Unsupported, message)
}

/// EXTRACT, which the binder plans by this definition.
pub(crate) static EXTRACT: &Definition = &FUNCTIONS[0];

macro_rules! field_function {
    ($name:literal, $aliases:expr, $field:expr) => {
        Definition {
            name: $name,
            aliases: $aliases,
            takes: |types| match types {
                [one] => Some(vec![moment(one)?]),
                _ => None,
            },
            gives: |_, _| if $field.is_double() { DataType::Float64 } else { DataType::Int64 },
            zoned: true,
            evaluate: |call| evaluate(call, 0, &|_| Ok(Some($field))),
        }
    };
}

pub(crate) static FUNCTIONS: &[Definition] = &[
    Definition {
        name: "date_part",
        aliases: &["datepart"],
        takes: part_takes,
        gives: part_gives,
        zoned: true,
        evaluate: date_part,
    },
    field_function!("year", &[], Field::Unit(Unit::Year)),
    field_function!("month", &[], Field::Unit(Unit::Month)),
    field_function!("day", &["dayofmonth"], Field::Unit(Unit::Day)),
    field_function!("hour", &[], Field::Unit(Unit::Hour)),
    field_function!("minute", &[], Field::Unit(Unit::Minute)),
    field_function!("second", &[], Field::Unit(Unit::Second)),
    field_function!("millisecond", &[], Field::Unit(Unit::Millisecond)),
    field_function!("microsecond", &[], Field::Unit(Unit::Microsecond)),
    field_function!("quarter", &[], Field::Unit(Unit::Quarter)),
    field_function!("week", &["weekofyear"], Field::Unit(Unit::Week)),
    field_function!("decade", &[], Field::Unit(Unit::Decade)),
    field_function!("century", &[], Field::Unit(Unit::Century)),
    field_function!("millennium", &[], Field::Unit(Unit::Millennium)),
    field_function!("dayofweek", &["weekday"], Field::Weekday),
    field_function!("isodow", &[], Field::IsoWeekday),
    field_function!("dayofyear", &[], Field::DayOfYear),
    field_function!("isoyear", &[], Field::IsoYear),
    field_function!("yearweek", &[], Field::YearWeek),
    field_function!("julian", &[], Field::Julian),
    field_function!("epoch", &[], Field::Epoch),
    Definition {
        name: "dayname",
        aliases: &[],
        takes: one_moment,
        gives: |_, _| DataType::Utf8View,
        zoned: true,
        evaluate: |call| name_of(call, |day| WEEKDAYS[weekday(day) as usize]),
    },
    Definition {
        name: "monthname",
        aliases: &[],
        takes: one_moment,
        gives: |_, _| DataType::Utf8View,
        zoned: true,
        evaluate: |call| name_of(call, |day| MONTHS[civil(day).month as usize - 1]),
    },
    Definition {
        name: "last_day",
        aliases: &[],
        takes: one_moment,
        gives: |_, _| DATE,
        zoned: true,
        evaluate: |call| {
            let locals = locals(call, 0)?;
            call.collect::<Date32Type>(|row| {
                let last = locals.is_valid(row).then(|| {
                    let day = split(locals.value(row)).0;
                    let name = civil(day);
                    day - name.day + month_length(name.year, name.month)
                });
                last.map(|day| i32::try_from(day).map_err(|_| out_of_range("date"))).transpose()
            })
        },
    },
    Definition {
        name: "epoch_ms",
        aliases: &[],
        takes: moment_or_number,
        gives: epoch_gives,
        zoned: false,
        evaluate: |call| epoch(call, 1_000, 1),
    },
    Definition {
        name: "epoch_us",
        aliases: &[],
        takes: one_moment,
        gives: epoch_gives,
        zoned: false,
        evaluate: |call| epoch(call, 1, 1),
    },
    Definition {
        name: "epoch_ns",
        aliases: &[],
        takes: one_moment,
        gives: epoch_gives,
        zoned: false,
        evaluate: |call| epoch(call, 1, 1_000),
    },
    Definition {
        name: "isfinite",
        aliases: &[],
        takes: |types| match types {
            [one] if Kind::of(one).is_time() => Some(types.to_vec()),
            [DataType::Float64 | DataType::Float32] => Some(vec![DataType::Float64]),
            _ => None,
        },
        gives: |_, _| DataType::Boolean,
        zoned: false,
        evaluate: |call| {
            let values = call.arguments.first().ok_or_else(|| Error::internal("isfinite misses an argument"))?;
            let floats = if call.kind(0) == Kind::Double { Some(call.doubles(0)?) } else { None };
            let finite = (0..call.rows).map(|row| {
                let is_finite = floats.as_ref().is_none_or(|floats| floats.value(row).is_finite());
                values.is_valid(row).then_some(is_finite)
            });
            Ok(Arc::new(arrow::array::BooleanArray::from_iter(finite)))
        },
    },
];

/// The type in which a function of a moment takes an argument; text is read as a timestamp.
fn moment(data_type: &DataType) -> Option<DataType> {
    Some(match Kind::of(data_type) {
        Kind::Date => DATE,
        Kind::Time => TIME,
        Kind::Timestamp | Kind::Text | Kind::Null => TIMESTAMP,
        Kind::TimestampTz => timestamptz(),
        Kind::Interval => INTERVAL,
        _ => return None,
    })
}

fn one_moment(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [one] if !matches!(Kind::of(one), Kind::Time | Kind::Interval) => Some(vec![moment(one)?]),
        _ => None,
    }
}

fn part_takes(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [name, value] if matches!(Kind::of(name), Kind::Text | Kind::Null) => {
            let name = if *name == DataType::Null { DataType::Utf8View } else { name.clone() };
            Some(vec![name, moment(value)?])
        }
        _ => None,
    }
}

fn part_gives(_types: &[DataType], literals: Literals<'_>) -> DataType {
    // A field that is told row by row may have fractions.
    match literal_text(literals, 0).and_then(Field::named) {
        Some(field) if !field.is_double() => DataType::Int64,
        _ => DataType::Float64,
    }
}

fn date_part(call: &Call<'_>) -> Result<ArrayRef> {
    let names = call.texts(0)?;
    evaluate(call, 1, &|row| match names.is_valid(row) {
        true => Field::named(names.value(row)).map(Some).ok_or_else(|| unknown_field(names.value(row))),
        false => Ok(None),
    })
}

/// A field as a whole number and millionths.
type Parts = (i64, i64);

fn evaluate(call: &Call<'_>, at: usize, field: &dyn Fn(usize) -> Result<Option<Field>>) -> Result<ArrayRef> {
    let kind = call.kind(at);
    let part: Box<dyn Fn(usize, Field) -> Result<Option<Parts>>> = match kind {
        Kind::Interval => {
            let values = call.intervals(at)?;
            Box::new(move |row, field| {
                values.is_valid(row).then(|| of_interval(interval(&values, row), field)).transpose()
            })
        }
        Kind::Time => {
            let values = call.times(at)?;
            Box::new(move |row, field| values.is_valid(row).then(|| of_time(values.value(row), field)).transpose())
        }
        _ => {
            let (instants, locals) = (instants(call, at)?, locals(call, at)?);
            let zone = (kind == Kind::TimestampTz).then_some(call.zone);
            Box::new(move |row, field| {
                let value = || of_timestamp(locals.value(row), instants.value(row), zone.as_ref(), field);
                instants.is_valid(row).then(value).transpose()
            })
        }
    };
    if *call.result == DataType::Int64 {
        return call.collect::<Int64Type>(|row| match field(row)? {
            Some(field) => Ok(part(row, field)?.map(|(whole, _)| whole)),
            None => Ok(None),
        });
    }
    call.collect::<Float64Type>(|row| match field(row)? {
        Some(field) => Ok(part(row, field)?.map(|(whole, millionths)| as_double(whole, millionths))),
        None => Ok(None),
    })
}

/// The number nearest to a whole and millionths: exact up to 2^53 millionths, rounded once beyond.
fn as_double(whole: i64, millionths: i64) -> f64 {
    if millionths == 0 {
        return whole as f64;
    }
    (i128::from(whole) * 1_000_000 + i128::from(millionths)) as f64 / 1e6
}

/// Timestamps as what clocks show: those with a zone in the session's.
fn locals(call: &Call<'_>, at: usize) -> Result<PrimitiveArray<TimestampMicrosecondType>> {
    let instants = instants(call, at)?;
    if call.kind(at) != Kind::TimestampTz {
        return Ok(instants);
    }
    let local = |micros: i64| call.zone.to_local(micros).ok_or_else(|| out_of_range("timestamp"));
    instants.try_unary(local)
}

fn instants(call: &Call<'_>, at: usize) -> Result<PrimitiveArray<TimestampMicrosecondType>> {
    if call.kind(at) != Kind::Date {
        return call.timestamps(at);
    }
    let midnight = |day: i32| i64::from(day).checked_mul(DAY).ok_or_else(|| out_of_range("timestamp"));
    call.dates(at)?.try_unary(midnight)
}

fn of_timestamp(local: i64, instant: i64, zone: Option<&Zone>, field: Field) -> Result<Parts> {
    let (day, time) = split(local);
    let name = civil(day);
    // There is no year 0: what precedes year 1 is -1.
    let year = if name.year > 0 { name.year } else { name.year - 1 };
    let hundreds = |length: i64| if year > 0 { (year + length - 1) / length } else { -((length - 1 - year) / length) };
    let offset = |zone: &Zone| zone.offset_at(instant);
    let whole = match field {
        Field::Unit(unit) => match unit {
            Unit::Year => year,
            Unit::Month => name.month,
            Unit::Quarter => (name.month - 1) / 3 + 1,
            Unit::Day => name.day,
            Unit::Week => iso_week(day).1,
            Unit::Decade => name.year.div_euclid(10),
            Unit::Century => hundreds(100),
            Unit::Millennium => hundreds(1000),
            _ => return of_time(time, field),
        },
        Field::Weekday => weekday(day),
        Field::IsoWeekday => iso_weekday(day),
        Field::DayOfYear => day_of_year(day),
        Field::IsoYear => {
            let year = iso_week(day).0;
            if year > 0 { year } else { year - 1 }
        }
        Field::YearWeek => {
            let (year, week) = iso_week(day);
            year * 100 + week
        }
        Field::Julian => {
            let millionths = (time as f64 / DAY as f64 * 1e6).round() as i64;
            return Ok((day + 2_440_588, millionths));
        }
        Field::Epoch => return Ok((instant.div_euclid(SECOND), instant.rem_euclid(SECOND))),
        Field::Zone => zone.map(offset).ok_or_else(|| not_in("timezone", Kind::Timestamp))?,
        Field::ZoneHour => zone.map(offset).ok_or_else(|| not_in("timezone_hour", Kind::Timestamp))? / 3600,
        Field::ZoneMinute => zone.map(offset).ok_or_else(|| not_in("timezone_minute", Kind::Timestamp))? / 60 % 60,
    };
    Ok((whole, 0))
}

fn of_time(time: i64, field: Field) -> Result<Parts> {
    let in_minute = time % MINUTE;
    Ok(match field {
        Field::Unit(Unit::Hour) => (time / HOUR, 0),
        Field::Unit(Unit::Minute) => (time / MINUTE % 60, 0),
        Field::Unit(Unit::Second) => (in_minute / SECOND, in_minute % SECOND),
        Field::Unit(Unit::Millisecond) => (in_minute / 1000, in_minute % 1000 * 1000),
        Field::Unit(Unit::Microsecond) => (in_minute, 0),
        Field::Epoch => (time / SECOND, time % SECOND),
        _ => return Err(not_in(field_name(field), Kind::Time)),
    })
}

fn of_interval(value: Interval, field: Field) -> Result<Parts> {
    let (months, years) = (i64::from(value.months), i64::from(value.months) / 12);
    let whole = match field {
        Field::Unit(unit) => match unit {
            Unit::Year => years,
            Unit::Month => months % 12,
            Unit::Quarter => months % 12 / 3 + 1,
            Unit::Day => value.days.into(),
            Unit::Week => i64::from(value.days) / 7,
            Unit::Decade => years / 10,
            Unit::Century => years / 100,
            Unit::Millennium => years / 1000,
            _ => return of_time(value.micros, field),
        },
        Field::Epoch => {
            // A year has 365.25 days, a month of its own 30.
            let seconds = years * 31_557_600 + months % 12 * 2_592_000 + i64::from(value.days) * 86_400;
            return Ok((seconds + value.micros / SECOND, value.micros % SECOND));
        }
        _ => return Err(not_in(field_name(field), Kind::Interval)),
    };
    Ok((whole, 0))
}

fn field_name(field: Field) -> &'static str {
    match field {
        Field::Unit(Unit::Day) => "day",
        Field::Unit(Unit::Week) => "week",
        Field::Unit(Unit::Month) => "month",
        Field::Unit(Unit::Quarter) => "quarter",
        Field::Unit(Unit::Year) => "year",
        Field::Unit(Unit::Decade) => "decade",
        Field::Unit(Unit::Century) => "century",
        Field::Unit(_) => "millennium",
        other => NAMES.iter().find(|(_, field)| *field == other).map_or("field", |(name, _)| *name),
    }
}

fn name_of(call: &Call<'_>, name: impl Fn(i64) -> &'static str) -> Result<ArrayRef> {
    let locals = locals(call, 0)?;
    call.collect_text(|row| Ok(locals.is_valid(row).then(|| name(split(locals.value(row)).0).to_string())))
}

fn moment_or_number(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [one] if Kind::of(one) == Kind::Integer => Some(vec![DataType::Int64]),
        _ => one_moment(types),
    }
}

fn epoch_gives(types: &[DataType], _literals: Literals<'_>) -> DataType {
    match types {
        [one] if Kind::of(one) == Kind::Integer => TIMESTAMP,
        _ => DataType::Int64,
    }
}

/// Units of `over` microseconds, or `times` for each microsecond, since 1970; or such a number as a timestamp.
fn epoch(call: &Call<'_>, over: i64, times: i64) -> Result<ArrayRef> {
    if call.kind(0) == Kind::Integer {
        let numbers = call.integers(0)?;
        return call.collect::<TimestampMicrosecondType>(|row| {
            let micros = numbers.is_valid(row).then(|| numbers.value(row).checked_mul(over));
            micros.map(|micros| micros.ok_or_else(|| out_of_range("timestamp"))).transpose()
        });
    }
    let instants = instants(call, 0)?;
    let number = |micros: i64| micros.div_euclid(over).checked_mul(times).ok_or_else(|| out_of_range("bigint"));
    Ok(Arc::new(instants.try_unary::<_, Int64Type, Error>(number)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_before_the_first() {
        let day = crate::base::time::calendar::days(0, 12, 31) * DAY;
        let part = |field| of_timestamp(day, day, None, field).unwrap().0;
        assert_eq!(part(Field::Unit(Unit::Year)), -1);
        assert_eq!(part(Field::Unit(Unit::Century)), -1);
        assert_eq!(part(Field::Unit(Unit::Millennium)), -1);
        assert_eq!(part(Field::Unit(Unit::Decade)), 0);
    }
}
