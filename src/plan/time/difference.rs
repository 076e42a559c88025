//! Times compared: `age`, `date_diff`, `date_sub`, OVERLAPS.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, PrimitiveArray};
use arrow::datatypes::{DataType, Int64Type, IntervalMonthDayNanoType, TimestampMicrosecondType};

use crate::base::error::Result;
use crate::base::time::DAY;
use crate::base::time::calendar::{add_months, civil, iso_weekday, month_length, split};
use crate::base::time::interval::{Interval, Unit};
use crate::base::time::kind::{INTERVAL, Kind, TIME, TIMESTAMP, timestamptz};
use crate::base::time::out_of_range;
use crate::plan::time::function::{Call, Definition, interval};
use crate::plan::time::operators::moved;
use crate::plan::time::shift::{text, timestamps, unit_at};

pub(super) static FUNCTIONS: &[Definition] = &[
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
        name: "overlaps",
        aliases: &[],
        takes: overlaps_takes,
        gives: |_, _| DataType::Boolean,
        zoned: true,
        evaluate: overlaps,
    },
];

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

/// Timestamps as what clocks of the session's zone show.
fn locals(call: &Call<'_>, at: usize) -> Result<PrimitiveArray<TimestampMicrosecondType>> {
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

// ---- spans ----

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
    use crate::base::time::calendar::days;
    use crate::base::time::{HOUR, MINUTE};

    #[test]
    fn ages_count_months_by_the_calendar() {
        let at = |year, month, day| days(year, month, day) * DAY;
        assert_eq!(age(at(2024, 3, 1), at(2024, 1, 1)).unwrap().to_string(), "2 mons");
        assert_eq!(age(at(2001, 4, 10), at(1957, 6, 13)).unwrap().to_string(), "43 years 9 mons 27 days");
        assert_eq!(age(at(1957, 6, 13), at(2001, 4, 10)).unwrap().to_string(), "-43 years -9 mons -27 days");
        assert_eq!(age(at(2024, 3, 1) + HOUR, at(2024, 2, 29) + 2 * HOUR + MINUTE).unwrap().to_string(), "22:59:00");
    }
}
