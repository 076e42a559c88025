//! Times moved, cut and compared: `date_trunc`, `date_bin`, `time_bucket`, AT TIME ZONE, `age`, `date_diff`,
//! `justify_*`, OVERLAPS.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, StringViewArray};
use arrow::datatypes::{DataType, Date32Type, Int64Type, IntervalMonthDayNanoType, TimestampMicrosecondType};

use crate::base::error::{Error, Result};
use crate::base::time::calendar::{add_months, civil, days, iso_weekday, month_length, split};
use crate::base::time::interval::{Interval, Unit};
use crate::base::time::kind::{DATE, INTERVAL, Kind, TIME, TIMESTAMP, timestamptz, type_of};
use crate::base::time::out_of_range;
use crate::base::time::zone::Zone;
use crate::base::time::{DAY, SECOND};
use crate::plan::time::fields::unknown_field;
use crate::plan::time::function::{Call, Definition, Literals, interval, literal_text};
use crate::plan::time::operators::moved;

pub(super) static FUNCTIONS: &[Definition] = &[
    Definition {
        name: "date_trunc",
        aliases: &["datetrunc"],
        takes: trunc_takes,
        gives: trunc_gives,
        zoned: true,
        evaluate: date_trunc,
    },
    Definition {
        name: "date_bin",
        aliases: &[],
        takes: bin_takes,
        gives: bin_gives,
        zoned: false,
        evaluate: |call| bucket(call, 0, 0),
    },
    Definition {
        name: "time_bucket",
        aliases: &[],
        takes: bin_takes,
        gives: bin_gives,
        zoned: false,
        // Buckets of days begin on a Monday, those of months with the millennium.
        evaluate: |call| bucket(call, days(2000, 1, 3), days(2000, 1, 1)),
    },
    Definition {
        name: "timezone",
        aliases: &[],
        takes: zone_takes,
        gives: |types, _| match types {
            [_, value] if Kind::of(value) == Kind::TimestampTz => TIMESTAMP,
            _ => timestamptz(),
        },
        zoned: false,
        evaluate: at_time_zone,
    },
    Definition {
        name: "age",
        aliases: &[],
        takes: age_takes,
        gives: |_, _| INTERVAL,
        zoned: true,
        evaluate: |call| {
            let (left, right) = (locals(call, 0)?, locals(call, 1)?);
            call.collect::<IntervalMonthDayNanoType>(|row| match (left.is_valid(row), right.is_valid(row)) {
                (true, true) => age(left.value(row), right.value(row))?.to_arrow().map(Some),
                _ => Ok(None),
            })
        },
    },
    Definition {
        name: "date_diff",
        aliases: &["datediff"],
        takes: diff_takes,
        gives: |_, _| DataType::Int64,
        zoned: true,
        evaluate: |call| differences(call, boundaries),
    },
    Definition {
        name: "date_sub",
        aliases: &["datesub"],
        takes: diff_takes,
        gives: |_, _| DataType::Int64,
        zoned: true,
        evaluate: |call| differences(call, whole_units),
    },
    Definition {
        name: "justify_hours",
        aliases: &[],
        takes: one_interval,
        gives: |_, _| INTERVAL,
        zoned: false,
        evaluate: |call| justify(call, Interval::justify_hours),
    },
    Definition {
        name: "justify_days",
        aliases: &[],
        takes: one_interval,
        gives: |_, _| INTERVAL,
        zoned: false,
        evaluate: |call| justify(call, Interval::justify_days),
    },
    Definition {
        name: "justify_interval",
        aliases: &[],
        takes: one_interval,
        gives: |_, _| INTERVAL,
        zoned: false,
        evaluate: |call| justify(call, Interval::justify),
    },
    Definition {
        name: "overlaps",
        aliases: &[],
        takes: overlaps_takes,
        gives: |_, _| DataType::Boolean,
        zoned: true,
        evaluate: overlaps,
    },
];

// ---- truncation ----

/// Names as they are, a value in its canonical type.
fn text(data_type: &DataType) -> Option<DataType> {
    match Kind::of(data_type) {
        Kind::Text => Some(data_type.clone()),
        Kind::Null => Some(DataType::Utf8View),
        _ => None,
    }
}

fn trunc_takes(types: &[DataType]) -> Option<Vec<DataType>> {
    let value = |data_type: &DataType| {
        Some(match Kind::of(data_type) {
            Kind::Date => DATE,
            Kind::Timestamp | Kind::Null => TIMESTAMP,
            Kind::TimestampTz | Kind::Text => timestamptz(),
            Kind::Interval => INTERVAL,
            _ => return None,
        })
    };
    match types {
        [unit, given] => Some(vec![text(unit)?, value(given)?]),
        [unit, given, zone] if !matches!(Kind::of(given), Kind::Interval | Kind::Time) => {
            Some(vec![text(unit)?, timestamptz(), text(zone)?])
        }
        _ => None,
    }
}

fn trunc_gives(types: &[DataType], literals: Literals<'_>) -> DataType {
    match types {
        [_, value] if Kind::of(value) == Kind::Date => {
            // The first of a month is a date; the first hour of a day is not.
            let unit = literal_text(literals, 0).and_then(Unit::named);
            if unit.is_some_and(|unit| unit.micros().is_none()) { DATE } else { TIMESTAMP }
        }
        [_, value] => type_of(Kind::of(value)),
        _ => timestamptz(),
    }
}

fn unit_at(names: &StringViewArray, row: usize) -> Result<Unit> {
    Unit::named(names.value(row)).ok_or_else(|| unknown_field(names.value(row)))
}

fn date_trunc(call: &Call<'_>) -> Result<ArrayRef> {
    let names = call.texts(0)?;
    match call.kind(1) {
        Kind::Interval => {
            let values = call.intervals(1)?;
            call.collect::<IntervalMonthDayNanoType>(|row| match names.is_valid(row) && values.is_valid(row) {
                true => cut_interval(interval(&values, row), unit_at(&names, row)?)?.to_arrow().map(Some),
                false => Ok(None),
            })
        }
        Kind::Date if *call.result == DATE => {
            let dates = call.dates(1)?;
            call.collect::<Date32Type>(|row| match names.is_valid(row) && dates.is_valid(row) {
                true => {
                    let day = cut_day(dates.value(row).into(), unit_at(&names, row)?);
                    i32::try_from(day).map(Some).map_err(|_| out_of_range("date"))
                }
                false => Ok(None),
            })
        }
        kind => {
            let zones = if call.arguments.len() > 2 { Some(Zones::new(call.texts(2)?)) } else { None };
            let values = timestamps(call, 1)?;
            call.collect::<TimestampMicrosecondType>(|row| {
                if names.is_null(row) || values.is_null(row) || zones.as_ref().is_some_and(|zones| zones.is_null(row)) {
                    return Ok(None);
                }
                let zone = match &zones {
                    Some(zones) => Some(zones.at(row)?),
                    None => (kind == Kind::TimestampTz).then_some(call.zone),
                };
                cut(values.value(row), unit_at(&names, row)?, zone.as_ref()).map(Some)
            })
        }
    }
}

/// A timestamp cut to the start of its unit, on the clocks of a zone where there is one.
fn cut(micros: i64, unit: Unit, zone: Option<&Zone>) -> Result<i64> {
    let cut_local = |local: i64| -> Option<i64> {
        match unit.micros() {
            Some(length) => local.checked_sub(local.rem_euclid(length)),
            None => cut_day(split(local).0, unit).checked_mul(DAY),
        }
    };
    let shift = || match zone {
        None => cut_local(micros),
        // Below a day the offset stays what it is, so that the hour that comes twice is cut within itself.
        Some(zone) if unit.micros().is_some() => {
            let offset = zone.offset_at(micros) * SECOND;
            cut_local(micros.checked_add(offset)?)?.checked_sub(offset)
        }
        Some(zone) => zone.to_utc(cut_local(zone.to_local(micros)?)?),
    };
    shift().ok_or_else(|| out_of_range("timestamp"))
}

/// The first day of a unit of at least a day.
fn cut_day(day: i64, unit: Unit) -> i64 {
    let name = civil(day);
    match unit {
        Unit::Week => day - iso_weekday(day) + 1,
        Unit::Month => days(name.year, name.month, 1),
        Unit::Quarter => days(name.year, (name.month - 1) / 3 * 3 + 1, 1),
        Unit::Year => days(name.year, 1, 1),
        Unit::Decade => days(name.year.div_euclid(10) * 10, 1, 1),
        Unit::Century => days((name.year - 1).div_euclid(100) * 100 + 1, 1, 1),
        Unit::Millennium => days((name.year - 1).div_euclid(1000) * 1000 + 1, 1, 1),
        _ => day,
    }
}

fn cut_interval(value: Interval, unit: Unit) -> Result<Interval> {
    let months = |length: i32| Interval { months: value.months / length * length, ..Default::default() };
    Ok(match unit {
        Unit::Month => months(1),
        Unit::Quarter => months(3),
        Unit::Year => months(12),
        Unit::Decade => months(120),
        Unit::Century => months(1200),
        Unit::Millennium => months(12_000),
        Unit::Day => Interval { micros: 0, ..value },
        Unit::Week => {
            let message = "unit \"week\" not supported for type interval: months do not have whole weeks";
            return Err(Error::unsupported(message));
        }
        _ => {
            let length = unit.micros().unwrap_or(1);
            Interval { micros: value.micros / length * length, ..value }
        }
    })
}

// ---- bins ----

fn bin_takes(types: &[DataType]) -> Option<Vec<DataType>> {
    let value = |data_type: &DataType| {
        Some(match Kind::of(data_type) {
            Kind::Date | Kind::Timestamp | Kind::Text | Kind::Null => TIMESTAMP,
            Kind::TimestampTz => timestamptz(),
            _ => return None,
        })
    };
    let width = |data_type: &DataType| {
        matches!(Kind::of(data_type), Kind::Interval | Kind::Text | Kind::Null).then_some(INTERVAL)
    };
    match types {
        [stride, given] => Some(vec![width(stride)?, value(given)?]),
        [stride, given, origin] => {
            value(origin)?;
            Some(vec![width(stride)?, value(given)?, value(given)?])
        }
        _ => None,
    }
}

fn bin_gives(types: &[DataType], _literals: Literals<'_>) -> DataType {
    types.get(1).map_or(TIMESTAMP, |data_type| match Kind::of(data_type) {
        Kind::TimestampTz => timestamptz(),
        _ => TIMESTAMP,
    })
}

/// The start of the bin in which a timestamp lies; without an origin bins begin on a given day, those of months on
/// another.
fn bucket(call: &Call<'_>, day_origin: i64, month_origin: i64) -> Result<ArrayRef> {
    let (strides, values) = (call.intervals(0)?, call.timestamps(1)?);
    let origins = if call.arguments.len() > 2 { Some(call.timestamps(2)?) } else { None };
    call.collect::<TimestampMicrosecondType>(|row| {
        if strides.is_null(row) || values.is_null(row) || origins.as_ref().is_some_and(|origins| origins.is_null(row)) {
            return Ok(None);
        }
        let stride = interval(&strides, row);
        let default = if stride.months != 0 { month_origin } else { day_origin } * DAY;
        let origin = origins.as_ref().map_or(default, |origins| origins.value(row));
        bin(stride, values.value(row), origin).map(Some)
    })
}

fn bin(stride: Interval, micros: i64, origin: i64) -> Result<i64> {
    if stride.length() <= 0 {
        let error = Error::data(format!("the width of a bin must be greater than zero, not {stride}"));
        return Err(error.with_sqlstate("22008"));
    }
    if stride.months == 0 {
        let length = stride.length();
        let from_origin = i128::from(micros) - i128::from(origin);
        let start = i128::from(origin) + from_origin.div_euclid(length) * length;
        return i64::try_from(start).map_err(|_| out_of_range("timestamp"));
    }
    if stride.days != 0 || stride.micros != 0 {
        return Err(Error::unsupported("bins of months and days are not supported")
            .with_hint("the width is either months or days and time"));
    }
    let ((day, _), (from, time)) = (split(micros), split(origin));
    let (name, first) = (civil(day), civil(from));
    let months = (name.year - first.year) * 12 + name.month - first.month;
    let length = i64::from(stride.months);
    // A bin of a million years begins before all time.
    let start = |count: i64| i128::from(add_months(from, count * length)) * i128::from(DAY) + i128::from(time);
    let count = months.div_euclid(length);
    // The bin of the month may begin later in the month than the value lies.
    let start = if start(count) > i128::from(micros) { start(count - 1) } else { start(count) };
    i64::try_from(start).map_err(|_| out_of_range("timestamp"))
}

// ---- zones ----

/// Zones by name, the last one remembered.
struct Zones {
    names: StringViewArray,
    last: std::cell::Cell<Option<(usize, Zone)>>,
}

impl Zones {
    fn new(names: StringViewArray) -> Self {
        Zones { names, last: std::cell::Cell::new(None) }
    }

    fn is_null(&self, row: usize) -> bool {
        self.names.is_null(row)
    }

    fn at(&self, row: usize) -> Result<Zone> {
        let name = self.names.value(row);
        if let Some((known, zone)) = self.last.get()
            && self.names.value(known) == name
        {
            return Ok(zone);
        }
        let zone = Zone::parse(name)?;
        self.last.set(Some((row, zone)));
        Ok(zone)
    }
}

fn zone_takes(types: &[DataType]) -> Option<Vec<DataType>> {
    let [zone, value] = types else { return None };
    let zone = match Kind::of(zone) {
        Kind::Interval => INTERVAL,
        _ => text(zone)?,
    };
    let value = match Kind::of(value) {
        Kind::Timestamp => TIMESTAMP,
        Kind::TimestampTz | Kind::Date | Kind::Text | Kind::Null => timestamptz(),
        _ => return None,
    };
    Some(vec![zone, value])
}

fn at_time_zone(call: &Call<'_>) -> Result<ArrayRef> {
    let values = call.timestamps(1)?;
    let to_local = call.kind(1) == Kind::TimestampTz;
    let shift = |zone: Zone, micros: i64| {
        let shifted = if to_local { zone.to_local(micros) } else { zone.to_utc(micros) };
        shifted.map(Some).ok_or_else(|| out_of_range("timestamp"))
    };
    if call.kind(0) == Kind::Interval {
        let offsets = call.intervals(0)?;
        return call.collect::<TimestampMicrosecondType>(|row| match offsets.is_valid(row) && values.is_valid(row) {
            true => {
                let offset = interval(&offsets, row);
                let zone = (offset.months == 0 && offset.days == 0).then(|| Zone::fixed(offset.micros / SECOND));
                let error = || {
                    Error::data(format!("interval time zone \"{offset}\" must not include months or days"))
                        .with_sqlstate("22023")
                };
                shift(zone.flatten().ok_or_else(error)?, values.value(row))
            }
            false => Ok(None),
        });
    }
    let zones = Zones::new(call.texts(0)?);
    call.collect::<TimestampMicrosecondType>(|row| match zones.is_null(row) || values.is_null(row) {
        true => Ok(None),
        false => shift(zones.at(row)?, values.value(row)),
    })
}

// ---- differences ----

/// Two moments of one type.
fn same(left: &DataType, right: &DataType) -> Option<DataType> {
    use Kind::{Date, Null, Text, Timestamp, TimestampTz};
    Some(match (Kind::of(left), Kind::of(right)) {
        (TimestampTz, TimestampTz | Timestamp | Date | Text | Null) | (Timestamp | Date | Text | Null, TimestampTz) => {
            timestamptz()
        }
        (Timestamp | Date | Text | Null, Timestamp | Date | Text | Null) => TIMESTAMP,
        _ => return None,
    })
}

fn age_takes(types: &[DataType]) -> Option<Vec<DataType>> {
    let [left, right] = types else { return None };
    same(left, right).map(|data_type| vec![data_type; 2])
}

fn diff_takes(types: &[DataType]) -> Option<Vec<DataType>> {
    let [unit, left, right] = types else { return None };
    if (Kind::of(left), Kind::of(right)) == (Kind::Time, Kind::Time) {
        return Some(vec![text(unit)?, TIME, TIME]);
    }
    let data_type = same(left, right)?;
    Some(vec![text(unit)?, data_type.clone(), data_type])
}

/// Timestamps and dates in microseconds.
fn timestamps(call: &Call<'_>, at: usize) -> Result<arrow::array::PrimitiveArray<TimestampMicrosecondType>> {
    match call.kind(at) {
        Kind::Date => {
            call.dates(at)?.try_unary(|day| i64::from(day).checked_mul(DAY).ok_or_else(|| out_of_range("timestamp")))
        }
        Kind::Time => Ok(call.times(at)?.unary(|micros| micros)),
        _ => call.timestamps(at),
    }
}

/// Timestamps as what clocks of the session's zone show.
fn locals(call: &Call<'_>, at: usize) -> Result<arrow::array::PrimitiveArray<TimestampMicrosecondType>> {
    let values = timestamps(call, at)?;
    match call.kind(at) {
        Kind::TimestampTz => {
            values.try_unary(|micros| call.zone.to_local(micros).ok_or_else(|| out_of_range("timestamp")))
        }
        _ => Ok(values),
    }
}

/// The difference of two timestamps field by field: years and months as the calendar counts them.
fn age(left: i64, right: i64) -> Result<Interval> {
    let negative = left < right;
    let (later, earlier) = if negative { (right, left) } else { (left, right) };
    let ((later_day, later_time), (earlier_day, earlier_time)) = (split(later), split(earlier));
    let (end, start) = (civil(later_day), civil(earlier_day));
    let mut months = (end.year - start.year) * 12 + end.month - start.month;
    let mut day = end.day - start.day;
    let mut time = later_time - earlier_time;
    if time < 0 {
        time += DAY;
        day -= 1;
    }
    if day < 0 {
        // The month in which the span begins lends its days.
        day += month_length(start.year, start.month);
        months -= 1;
    }
    let age = Interval::new(months.into(), day.into(), time.into())?;
    if negative { age.negated() } else { Ok(age) }
}

fn differences(call: &Call<'_>, difference: fn(i64, i64, Unit) -> i64) -> Result<ArrayRef> {
    let names = call.texts(0)?;
    let (from, to) = (locals(call, 1)?, locals(call, 2)?);
    call.collect::<Int64Type>(|row| match names.is_valid(row) && from.is_valid(row) && to.is_valid(row) {
        true => Ok(Some(difference(from.value(row), to.value(row), unit_at(&names, row)?))),
        false => Ok(None),
    })
}

/// How many starts of a unit lie between two timestamps.
fn boundaries(from: i64, to: i64, unit: Unit) -> i64 {
    if let Some(length) = unit.micros() {
        return to.div_euclid(length) - from.div_euclid(length);
    }
    let ((first, _), (last, _)) = (split(from), split(to));
    let (start, end) = (civil(first), civil(last));
    let years = |length: i64| end.year.div_euclid(length) - start.year.div_euclid(length);
    match unit {
        Unit::Week => (last - iso_weekday(last) - first + iso_weekday(first)) / 7,
        Unit::Month => (end.year - start.year) * 12 + end.month - start.month,
        Unit::Quarter => (end.year - start.year) * 4 + (end.month - 1) / 3 - (start.month - 1) / 3,
        Unit::Year => years(1),
        Unit::Decade => years(10),
        Unit::Century => (end.year - 1).div_euclid(100) - (start.year - 1).div_euclid(100),
        Unit::Millennium => (end.year - 1).div_euclid(1000) - (start.year - 1).div_euclid(1000),
        _ => last - first,
    }
}

/// How many whole units lie between two timestamps.
fn whole_units(from: i64, to: i64, unit: Unit) -> i64 {
    let length = match unit {
        Unit::Day => DAY,
        Unit::Week => 7 * DAY,
        unit => unit.micros().unwrap_or(0),
    };
    if length > 0 {
        return (to - from) / length;
    }
    if to < from {
        return -whole_units(to, from, unit);
    }
    let ((first, start_time), (last, end_time)) = (split(from), split(to));
    let (start, end) = (civil(first), civil(last));
    let mut months = (end.year - start.year) * 12 + end.month - start.month;
    if (add_months(first, months), start_time) > (last, end_time) {
        months -= 1;
    }
    months
        / match unit {
            Unit::Quarter => 3,
            Unit::Year => 12,
            Unit::Decade => 120,
            Unit::Century => 1200,
            Unit::Millennium => 12_000,
            _ => 1,
        }
}

// ---- intervals and spans ----

fn one_interval(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [one] if matches!(Kind::of(one), Kind::Interval | Kind::Text | Kind::Null) => Some(vec![INTERVAL]),
        _ => None,
    }
}

fn justify(call: &Call<'_>, justify: fn(Interval) -> Result<Interval>) -> Result<ArrayRef> {
    let values = call.intervals(0)?;
    call.collect::<IntervalMonthDayNanoType>(|row| match values.is_valid(row) {
        true => justify(interval(&values, row))?.to_arrow().map(Some),
        false => Ok(None),
    })
}

fn overlaps_takes(types: &[DataType]) -> Option<Vec<DataType>> {
    let [start, end, other, other_end] = types else { return None };
    let moment = match (Kind::of(start), Kind::of(other)) {
        (Kind::Time, Kind::Time) => TIME,
        _ => same(start, other)?,
    };
    let bound = |data_type: &DataType| if Kind::of(data_type) == Kind::Interval { INTERVAL } else { moment.clone() };
    Some(vec![moment.clone(), bound(end), moment.clone(), bound(other_end)])
}

/// Whether two spans share a moment; each is [start, end), a span of no length its one moment. Where a bound is NULL
/// and the others do not decide, so is the answer.
fn overlaps(call: &Call<'_>) -> Result<ArrayRef> {
    let (first, second) = (timestamps(call, 0)?, timestamps(call, 2)?);
    let end = |at: usize, row: usize, start: Option<i64>| -> Result<Option<i64>> {
        if call.kind(at) == Kind::Interval {
            let values = call.intervals(at)?;
            let zone = (call.kind(0) == Kind::TimestampTz).then_some(call.zone);
            return match (start, values.is_valid(row)) {
                (Some(start), true) => moved(start, interval(&values, row), zone.as_ref()).map(Some),
                _ => Ok(None),
            };
        }
        let values = timestamps(call, at)?;
        Ok(values.is_valid(row).then(|| values.value(row)))
    };
    let values = (0..call.rows).map(|row| {
        let start = first.is_valid(row).then(|| first.value(row));
        let other = second.is_valid(row).then(|| second.value(row));
        Ok(share((start, end(1, row, start)?), (other, end(3, row, other)?)))
    });
    Ok(Arc::new(BooleanArray::from(values.collect::<Result<Vec<_>>>()?)))
}

type Span = (Option<i64>, Option<i64>);

fn share(left: Span, right: Span) -> Option<bool> {
    // Each span from its earlier bound; a missing bound counts as the later one.
    let ordered = |(start, end): Span| match (start, end) {
        (Some(start), Some(end)) => Some((start.min(end), Some(start.max(end)))),
        (Some(one), None) | (None, Some(one)) => Some((one, None)),
        (None, None) => None,
    };
    let (left, right) = (ordered(left)?, ordered(right)?);
    let ((start, end), (other, _)) = if left.0 <= right.0 { (left, right) } else { (right, left) };
    if start == other {
        return Some(true).filter(|_| left.1.is_some() && right.1.is_some());
    }
    end.map(|end| other < end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::{HOUR, MINUTE};

    #[test]
    fn ages_count_months_by_the_calendar() {
        let at = |year, month, day| days(year, month, day) * DAY;
        assert_eq!(age(at(2024, 3, 1), at(2024, 1, 1)).unwrap().to_string(), "2 mons");
        assert_eq!(age(at(2001, 4, 10), at(1957, 6, 13)).unwrap().to_string(), "43 years 9 mons 27 days");
        assert_eq!(age(at(1957, 6, 13), at(2001, 4, 10)).unwrap().to_string(), "-43 years -9 mons -27 days");
        assert_eq!(age(at(2024, 3, 1) + HOUR, at(2024, 2, 29) + 2 * HOUR + MINUTE).unwrap().to_string(), "22:59:00");
    }

    #[test]
    fn bins_of_months_begin_where_the_origin_says() {
        let origin = days(2024, 1, 15) * DAY;
        let start = |day| bin(Interval { months: 1, ..Default::default() }, days(2024, 3, day) * DAY, origin).unwrap();
        assert_eq!(start(14), days(2024, 2, 15) * DAY);
        assert_eq!(start(15), days(2024, 3, 15) * DAY);
    }
}
