//! Times cut: `date_trunc`, `date_bin`, `time_bucket`.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Date32Type, IntervalMonthDayNanoType, TimestampMicrosecondType};

use crate::base::error::{Error, Result};
use crate::base::time::calendar::{add_months, civil, days, iso_weekday, split};
use crate::base::time::interval::{Interval, Unit};
use crate::base::time::kind::{DATE, INTERVAL, Kind, TIMESTAMP, timestamptz, type_of};
use crate::base::time::out_of_range;
use crate::base::time::zone::Zone;
use crate::base::time::{DAY, SECOND};
use crate::plan::time::function::{Call, Definition, Literals, interval, literal_text};
use crate::plan::time::shift::{Zones, text, timestamps, unit_at};

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
];

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_of_months_begin_where_the_origin_says() {
        let origin = days(2024, 1, 15) * DAY;
        let start = |day| bin(Interval { months: 1, ..Default::default() }, days(2024, 3, day) * DAY, origin).unwrap();
        assert_eq!(start(14), days(2024, 2, 15) * DAY);
        assert_eq!(start(15), days(2024, 3, 15) * DAY);
    }
}
