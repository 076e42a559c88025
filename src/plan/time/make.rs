//! Dates, times, timestamps and intervals made of numbers.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{
    DataType, Date32Type, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};

use crate::base::error::{Error, Result};
use crate::base::time::calendar::checked_days;
use crate::base::time::convert::convert;
use crate::base::time::interval::{Interval, Unit};
use crate::base::time::kind::{DATE, INTERVAL, Kind, TIME, TIMESTAMP, timestamptz};
use crate::base::time::out_of_range;
use crate::base::time::zone::Zone;
use crate::base::time::{DAY, HOUR, MINUTE, SECOND, parse};
use crate::plan::time::function::{Call, Definition, interval};
use crate::plan::time::operators::moved;

macro_rules! to_unit {
    ($name:literal, $unit:expr) => {
        Definition {
            name: $name,
            aliases: &[],
            takes: |types| match types {
                [number] if Kind::of(number).is_number() => Some(vec![DataType::Float64]),
                _ => None,
            },
            gives: |_, _| INTERVAL,
            zoned: false,
            evaluate: |call| of_unit(call, $unit),
        }
    };
}

pub(super) static FUNCTIONS: &[Definition] = &[
    Definition {
        name: "make_date",
        aliases: &[],
        takes: |types| numbers(types, &[DataType::Int64, DataType::Int64, DataType::Int64]),
        gives: |_, _| DATE,
        zoned: false,
        evaluate: make_date,
    },
    Definition {
        name: "make_time",
        aliases: &[],
        takes: |types| numbers(types, &[DataType::Int64, DataType::Int64, DataType::Float64]),
        gives: |_, _| TIME,
        zoned: false,
        evaluate: |call| {
            call.collect::<Time64MicrosecondType>(|row| {
                let Some([hour, minute]) = integers(call, 0, row)? else { return Ok(None) };
                let Some(second) = double(call, 2, row)? else { return Ok(None) };
                clock(hour, minute, second).map(Some)
            })
        },
    },
    Definition {
        name: "make_timestamp",
        aliases: &[],
        takes: timestamp_takes,
        gives: |_, _| TIMESTAMP,
        zoned: false,
        evaluate: |call| make_timestamp(call, |local, _| Ok(local)),
    },
    Definition {
        name: "make_timestamptz",
        aliases: &[],
        takes: |types| match types {
            [parts @ .., zone] if types.len() == 7 && Kind::of(zone) == Kind::Text => {
                let mut taken = timestamp_takes(parts)?;
                taken.push(zone.clone());
                Some(taken)
            }
            _ => timestamp_takes(types),
        },
        gives: |_, _| timestamptz(),
        zoned: true,
        evaluate: |call| {
            let zones = if call.arguments.len() == 7 { Some(call.texts(6)?) } else { None };
            make_timestamp(call, |local, row| {
                let zone = match &zones {
                    Some(zones) => Zone::parse(zones.value(row))?,
                    None => call.zone,
                };
                zone.to_utc(local).ok_or_else(|| out_of_range("timestamp"))
            })
        },
    },
    Definition {
        name: "make_interval",
        aliases: &[],
        takes: |types| {
            let whole = types.iter().take(6).all(|data_type| Kind::of(data_type) == Kind::Integer);
            let seconds = types.get(6).is_none_or(|data_type| Kind::of(data_type).is_number());
            let all = [vec![DataType::Int64; 6], vec![DataType::Float64]].concat();
            (types.len() <= 7 && whole && seconds).then(|| all.into_iter().take(types.len()).collect())
        },
        gives: |_, _| INTERVAL,
        zoned: false,
        evaluate: make_interval,
    },
    Definition {
        name: "to_timestamp",
        aliases: &[],
        takes: |types| match types {
            [one] => Some(vec![match Kind::of(one) {
                Kind::Integer => DataType::Int64,
                Kind::Decimal | Kind::Double => DataType::Float64,
                Kind::Text => one.clone(),
                Kind::Null => DataType::Float64,
                Kind::Date | Kind::Timestamp | Kind::TimestampTz => timestamptz(),
                _ => return None,
            }]),
            [text, pattern]
                if [text, pattern].into_iter().all(|one| matches!(Kind::of(one), Kind::Text | Kind::Null)) =>
            {
                Some(types.iter().map(|one| if one.is_null() { DataType::Utf8View } else { one.clone() }).collect())
            }
            _ => None,
        },
        gives: |_, _| timestamptz(),
        zoned: true,
        evaluate: to_timestamp,
    },
    Definition {
        name: "date",
        aliases: &[],
        takes: |types| match types {
            [one] => match Kind::of(one) {
                Kind::Date | Kind::Timestamp | Kind::TimestampTz | Kind::Text => Some(types.to_vec()),
                _ => None,
            },
            _ => None,
        },
        gives: |_, _| DATE,
        zoned: true,
        evaluate: |call| match call.arguments {
            [argument] => convert(argument, &DATE, &call.zone, false),
            _ => Err(Error::internal("date() takes one argument")),
        },
    },
    Definition {
        name: "date_add",
        aliases: &[],
        takes: |types| match types {
            [at, by] if matches!(Kind::of(by), Kind::Interval | Kind::Text) => match Kind::of(at) {
                Kind::Date | Kind::Timestamp => Some(vec![TIMESTAMP, INTERVAL]),
                Kind::TimestampTz => Some(vec![timestamptz(), INTERVAL]),
                _ => None,
            },
            _ => None,
        },
        gives: |types, _| match types {
            [at, _] if Kind::of(at) == Kind::TimestampTz => timestamptz(),
            _ => TIMESTAMP,
        },
        zoned: true,
        evaluate: |call| {
            let (times, steps) = (call.timestamps(0)?, call.intervals(1)?);
            let zone = (call.kind(0) == Kind::TimestampTz).then_some(call.zone);
            call.collect::<TimestampMicrosecondType>(|row| match times.is_valid(row) && steps.is_valid(row) {
                true => moved(times.value(row), interval(&steps, row), zone.as_ref()).map(Some),
                false => Ok(None),
            })
        },
    },
    to_unit!("to_microseconds", Unit::Microsecond),
    to_unit!("to_milliseconds", Unit::Millisecond),
    to_unit!("to_seconds", Unit::Second),
    to_unit!("to_minutes", Unit::Minute),
    to_unit!("to_hours", Unit::Hour),
    to_unit!("to_days", Unit::Day),
    to_unit!("to_weeks", Unit::Week),
    to_unit!("to_months", Unit::Month),
    to_unit!("to_quarters", Unit::Quarter),
    to_unit!("to_years", Unit::Year),
    to_unit!("to_decades", Unit::Decade),
    to_unit!("to_centuries", Unit::Century),
    to_unit!("to_millennia", Unit::Millennium),
];

/// Numbers of given types, none of them a fraction where a whole number is asked for.
fn numbers(types: &[DataType], wanted: &[DataType]) -> Option<Vec<DataType>> {
    let fits = |(given, wanted): (&DataType, &DataType)| match Kind::of(given) {
        Kind::Integer | Kind::Null => true,
        Kind::Decimal | Kind::Double => *wanted == DataType::Float64,
        _ => false,
    };
    (types.len() == wanted.len() && types.iter().zip(wanted).all(fits)).then(|| wanted.to_vec())
}

fn timestamp_takes(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        // Microseconds since 1970.
        [one] if Kind::of(one) == Kind::Integer => Some(vec![DataType::Int64]),
        _ => numbers(types, &[vec![DataType::Int64; 5], vec![DataType::Float64]].concat()),
    }
}

fn integers<const N: usize>(call: &Call<'_>, from: usize, row: usize) -> Result<Option<[i64; N]>> {
    let mut values = [0; N];
    for (at, value) in values.iter_mut().enumerate() {
        let column = call.integers(from + at)?;
        if column.is_null(row) {
            return Ok(None);
        }
        *value = column.value(row);
    }
    Ok(Some(values))
}

fn double(call: &Call<'_>, at: usize, row: usize) -> Result<Option<f64>> {
    let column = call.doubles(at)?;
    Ok(column.is_valid(row).then(|| column.value(row)))
}

fn day(year: i64, month: i64, day: i64) -> Result<i64> {
    // A negative year is one before Christ; there is no year 0.
    let astronomical = if year < 0 { year + 1 } else { year };
    let exists = checked_days(astronomical, month, day).filter(|_| year != 0);
    exists.ok_or_else(|| {
        Error::data(format!("date field value out of range: {year}-{month:02}-{day:02}")).with_sqlstate("22008")
    })
}

fn clock(hour: i64, minute: i64, second: f64) -> Result<i64> {
    let micros = (second * 1e6).round_ties_even();
    let fits = (0..=24).contains(&hour) && (0..60).contains(&minute) && (0.0..=6e7).contains(&micros);
    let time = if fits { hour * HOUR + minute * MINUTE + micros as i64 } else { -1 };
    match (0..=DAY).contains(&time) {
        true => Ok(time),
        false => {
            let message = format!("time field value out of range: {hour}:{minute:02}:{second:02}");
            Err(Error::data(message).with_sqlstate("22008"))
        }
    }
}

fn make_date(call: &Call<'_>) -> Result<ArrayRef> {
    call.collect::<Date32Type>(|row| match integers(call, 0, row)? {
        Some([year, month, of_month]) => {
            i32::try_from(day(year, month, of_month)?).map(Some).map_err(|_| out_of_range("date"))
        }
        None => Ok(None),
    })
}

fn make_timestamp(call: &Call<'_>, shift: impl Fn(i64, usize) -> Result<i64>) -> Result<ArrayRef> {
    if call.arguments.len() == 1 {
        let numbers = call.integers(0)?;
        return call.collect::<TimestampMicrosecondType>(|row| Ok(numbers.is_valid(row).then(|| numbers.value(row))));
    }
    call.collect::<TimestampMicrosecondType>(|row| {
        let Some([year, month, of_month, hour, minute]) = integers(call, 0, row)? else { return Ok(None) };
        let Some(second) = double(call, 5, row)? else { return Ok(None) };
        if call.arguments.get(6).is_some_and(|zone| zone.is_null(row)) {
            return Ok(None);
        }
        let midnight = day(year, month, of_month)?.checked_mul(DAY);
        let local = midnight.and_then(|midnight| midnight.checked_add(clock(hour, minute, second).ok()?));
        match local {
            Some(local) => shift(local, row).map(Some),
            None => Err(clock(hour, minute, second).err().unwrap_or_else(|| out_of_range("timestamp"))),
        }
    })
}

fn make_interval(call: &Call<'_>) -> Result<ArrayRef> {
    let given = call.arguments.len();
    let whole: Vec<_> = (0..given.min(6)).map(|at| call.integers(at)).collect::<Result<_>>()?;
    let seconds = if given == 7 { Some(call.doubles(6)?) } else { None };
    call.collect::<IntervalMonthDayNanoType>(|row| {
        if whole.iter().any(|column| column.is_null(row)) || seconds.as_ref().is_some_and(|column| column.is_null(row))
        {
            return Ok(None);
        }
        let value = |at: usize| whole.get(at).map_or(0, |column| i128::from(column.value(row)));
        let micros = (seconds.as_ref().map_or(0.0, |column| column.value(row)) * 1e6).round_ties_even();
        if !micros.is_finite() {
            return Err(out_of_range("interval"));
        }
        let time = value(4) * i128::from(HOUR) + value(5) * i128::from(MINUTE) + micros as i128;
        Interval::new(value(0) * 12 + value(1), value(2) * 7 + value(3), time)?.to_arrow().map(Some)
    })
}

fn of_unit(call: &Call<'_>, unit: Unit) -> Result<ArrayRef> {
    let numbers = call.doubles(0)?;
    let one = match unit {
        Unit::Day => Interval { days: 1, ..Default::default() },
        Unit::Week => Interval { days: 7, ..Default::default() },
        unit => match unit.micros() {
            Some(micros) => Interval { micros, ..Default::default() },
            None => Interval { months: unit.months().unwrap_or(1) as i32, ..Default::default() },
        },
    };
    call.collect::<IntervalMonthDayNanoType>(|row| match numbers.is_valid(row) {
        true => one.times(numbers.value(row))?.to_arrow().map(Some),
        false => Ok(None),
    })
}

/// Seconds since 1970 as an instant, or text as one.
fn to_timestamp(call: &Call<'_>) -> Result<ArrayRef> {
    if call.arguments.len() == 2 {
        return crate::plan::time::format::to_timestamp(call);
    }
    match call.kind(0) {
        Kind::TimestampTz => Ok(std::sync::Arc::new(call.timestamps(0)?)),
        Kind::Text => {
            let texts = call.texts(0)?;
            call.collect::<TimestampMicrosecondType>(|row| match texts.is_valid(row) {
                true => parse::timestamptz(texts.value(row), &call.zone).map(Some),
                false => Ok(None),
            })
        }
        Kind::Integer => {
            let numbers = call.integers(0)?;
            call.collect::<TimestampMicrosecondType>(|row| match numbers.is_valid(row) {
                true => numbers.value(row).checked_mul(SECOND).map(Some).ok_or_else(|| out_of_range("timestamp")),
                false => Ok(None),
            })
        }
        _ => {
            let numbers = call.doubles(0)?;
            call.collect::<TimestampMicrosecondType>(|row| match numbers.is_valid(row) {
                true => {
                    let seconds = numbers.value(row);
                    // Whole seconds and their fraction apart, so that the fraction keeps its digits.
                    let micros = (seconds.fract() * 1e6).round_ties_even() as i64;
                    let fits = seconds.abs() < 9.2e12;
                    let whole = fits.then(|| seconds.trunc() as i64 * SECOND);
                    whole.and_then(|whole| whole.checked_add(micros)).map(Some).ok_or_else(|| out_of_range("timestamp"))
                }
                false => Ok(None),
            })
        }
    }
}
