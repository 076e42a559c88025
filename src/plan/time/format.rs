//! Values by pattern: `to_char`, `to_date`, `to_timestamp`, `to_number` with PostgreSQL's patterns, `strftime` and
//! `strptime` with those of C.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, NaiveDate, NaiveDateTime};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::time::DAY;
use crate::base::time::calendar::split;
use crate::base::time::kind::{DATE, Kind, TIMESTAMP, timestamptz, type_of};
use crate::base::time::out_of_range;
use crate::base::time::pattern::number::{Decimal, NumberPattern};
use crate::base::time::pattern::{Found, Moment, Pattern};
use crate::base::time::strftime::{to_read, to_write};
use crate::plan::time::function::{Call, Definition, Literals, interval, literal_text};

pub(super) static FUNCTIONS: &[Definition] = &[
    Definition {
        name: "to_char",
        aliases: &[],
        takes: char_takes,
        gives: |_, _| DataType::Utf8View,
        zoned: true,
        evaluate: to_char,
    },
    Definition {
        name: "to_date",
        aliases: &[],
        takes: texts,
        gives: |_, _| DATE,
        zoned: false,
        evaluate: |call| {
            read(call, |pattern, text| {
                i32::try_from(split(pattern.read(text)?.local).0).map_err(|_| out_of_range("date"))
            })
            .map(|days| Arc::new(days.into_iter().collect::<arrow::array::PrimitiveArray<Date32Type>>()) as ArrayRef)
        },
    },
    Definition {
        name: "to_number",
        aliases: &[],
        takes: texts,
        gives: number_gives,
        zoned: false,
        evaluate: to_number,
    },
    Definition {
        name: "strftime",
        aliases: &[],
        takes: |types| match types {
            [one, other] => {
                // Either order, as in DuckDB.
                let moment = |data_type: &DataType| match Kind::of(data_type) {
                    Kind::Date | Kind::Timestamp => Some(TIMESTAMP),
                    Kind::TimestampTz => Some(timestamptz()),
                    _ => None,
                };
                match (moment(one), moment(other)) {
                    (Some(moment), None) if Kind::of(other) == Kind::Text => Some(vec![moment, other.clone()]),
                    (None, Some(moment)) if Kind::of(one) == Kind::Text => Some(vec![one.clone(), moment]),
                    _ => None,
                }
            }
            _ => None,
        },
        gives: |_, _| DataType::Utf8View,
        zoned: true,
        evaluate: strftime,
    },
    Definition {
        name: "strptime",
        aliases: &[],
        takes: texts,
        gives: |_, _| TIMESTAMP,
        zoned: false,
        evaluate: |call| {
            let (values, formats) = (call.texts(0)?, call.texts(1)?);
            call.collect::<TimestampMicrosecondType>(|row| match values.is_valid(row) && formats.is_valid(row) {
                true => strptime(values.value(row), formats.value(row)).map(Some),
                false => Ok(None),
            })
        },
    },
];

fn texts(types: &[DataType]) -> Option<Vec<DataType>> {
    let all = types.len() == 2 && types.iter().all(|one| matches!(Kind::of(one), Kind::Text | Kind::Null));
    let taken = types.iter().map(|one| if one.is_null() { DataType::Utf8View } else { one.clone() });
    all.then(|| taken.collect())
}

fn char_takes(types: &[DataType]) -> Option<Vec<DataType>> {
    let [value, pattern] = types else { return None };
    let pattern = match Kind::of(pattern) {
        Kind::Text => pattern.clone(),
        Kind::Null => DataType::Utf8View,
        _ => return None,
    };
    let value = match Kind::of(value) {
        Kind::Date => TIMESTAMP,
        Kind::Null => TIMESTAMP,
        kind if kind.is_time() => type_of(kind),
        kind if kind.is_number() => value.clone(),
        _ => return None,
    };
    Some(vec![value, pattern])
}

/// The last pattern that was read: patterns are constants, mostly.
struct Last<P>(Option<(String, P)>);

impl<P> Last<P> {
    fn get(&mut self, text: &str, parse: impl Fn(&str) -> Result<P>) -> Result<&P> {
        if self.0.as_ref().is_none_or(|(known, _)| known != text) {
            self.0 = Some((text.to_string(), parse(text)?));
        }
        match &self.0 {
            Some((_, pattern)) => Ok(pattern),
            None => Err(Error::internal("a pattern was lost")),
        }
    }
}

fn to_char(call: &Call<'_>) -> Result<ArrayRef> {
    if call.kind(0).is_number() {
        return number_to_char(call);
    }
    let patterns = call.texts(1)?;
    let mut last = Last(None);
    let mut write = |row: usize, moment: Moment| last.get(patterns.value(row), Pattern::parse)?.write(moment).map(Some);
    if matches!(call.kind(0), Kind::Interval | Kind::Time) {
        let values = call.intervals(0)?;
        return call.collect_text(|row| match values.is_valid(row) && patterns.is_valid(row) {
            true => write(row, Moment::Interval(interval(&values, row))),
            false => Ok(None),
        });
    }
    let values = call.timestamps(0)?;
    let zoned = call.kind(0) == Kind::TimestampTz;
    call.collect_text(|row| {
        if values.is_null(row) || patterns.is_null(row) {
            return Ok(None);
        }
        let instant = values.value(row);
        let moment = match zoned {
            true => {
                let local = call.zone.to_local(instant).ok_or_else(|| out_of_range("timestamp"))?;
                Moment::Timestamp(local, Some((call.zone, instant)))
            }
            false => Moment::Timestamp(instant, None),
        };
        write(row, moment)
    })
}

fn number_to_char(call: &Call<'_>) -> Result<ArrayRef> {
    let patterns = call.texts(1)?;
    let numbers = call.arguments.first().ok_or_else(|| Error::internal("to_char misses an argument"))?;
    let doubles = if call.kind(0) == Kind::Double { Some(call.doubles(0)?) } else { None };
    let options = FormatOptions::default();
    let format = ArrayFormatter::try_new(numbers, &options)?;
    let mut last = Last(None);
    call.collect_text(|row| {
        if numbers.is_null(row) || patterns.is_null(row) {
            return Ok(None);
        }
        let pattern = last.get(patterns.value(row), NumberPattern::parse)?;
        let text = format.value(row).try_to_string()?;
        let written = match &doubles {
            Some(doubles) => pattern.write_double(doubles.value(row)),
            None => Decimal::parse(&text).map(|number| pattern.write(&number)),
        };
        let error = || Error::data(format!("to_char cannot write {text} by a pattern")).with_sqlstate("22003");
        written.map(Some).ok_or_else(error)
    })
}

/// Every text by its pattern.
fn read<V>(call: &Call<'_>, value: impl Fn(&Pattern, &str) -> Result<V>) -> Result<Vec<Option<V>>> {
    let (values, patterns): (StringViewArray, StringViewArray) = (call.texts(0)?, call.texts(1)?);
    let mut last = Last(None);
    let one = |row: usize| match values.is_valid(row) && patterns.is_valid(row) {
        true => value(last.get(patterns.value(row), Pattern::parse)?, values.value(row)).map(Some),
        false => Ok(None),
    };
    (0..call.rows).map(one).collect()
}

/// `to_timestamp(text, pattern)`: in the session's zone where the text has none.
pub(super) fn to_timestamp(call: &Call<'_>) -> Result<ArrayRef> {
    let instants = read(call, |pattern, text| {
        let Found { local, offset } = pattern.read(text)?;
        let instant = match offset {
            Some(seconds) => local.checked_sub(seconds * 1_000_000),
            None => call.zone.to_utc(local),
        };
        instant.ok_or_else(|| out_of_range("timestamp"))
    })?;
    let array: arrow::array::PrimitiveArray<TimestampMicrosecondType> = instants.into_iter().collect();
    Ok(Arc::new(array.with_data_type(call.result.clone())))
}

fn number_gives(_types: &[DataType], literals: Literals<'_>) -> DataType {
    // The places of a pattern that is not known stay open.
    let places = literal_text(literals, 1).and_then(|text| NumberPattern::parse(text).ok()).map(|one| one.places());
    match places {
        Some((_, behind)) if behind <= 30 => DataType::Decimal128(38, behind as i8),
        _ => DataType::Float64,
    }
}

fn to_number(call: &Call<'_>) -> Result<ArrayRef> {
    let (values, patterns) = (call.texts(0)?, call.texts(1)?);
    let mut last = Last(None);
    let numbers = call.collect_text(|row| match values.is_valid(row) && patterns.is_valid(row) {
        true => last.get(patterns.value(row), NumberPattern::parse)?.read(values.value(row)).map(Some),
        false => Ok(None),
    })?;
    Ok(cast(&numbers, call.result)?)
}

/// The items of a `strftime` pattern.
fn items(format: &str) -> Result<Vec<Item<'_>>> {
    StrftimeItems::new(format).parse().map_err(|_| {
        Error::new(ErrorKind::Invalid, format!("\"{format}\" is not a pattern of strftime")).with_sqlstate("22023")
    })
}

fn strftime(call: &Call<'_>) -> Result<ArrayRef> {
    let (at, pattern) = if call.kind(0) == Kind::Text { (1, 0) } else { (0, 1) };
    let (values, formats) = (call.timestamps(at)?, call.texts(pattern)?);
    let zoned = call.kind(at) == Kind::TimestampTz;
    call.collect_text(|row| {
        if values.is_null(row) || formats.is_null(row) {
            return Ok(None);
        }
        let instant = values.value(row);
        let offset = if zoned { call.zone.offset_at(instant) } else { 0 };
        let offset = chrono::FixedOffset::east_opt(offset as i32);
        let moment = DateTime::from_timestamp_micros(instant).zip(offset);
        let (moment, offset) = moment.ok_or_else(|| out_of_range("timestamp"))?;
        let mut out = String::new();
        let format = to_write(formats.value(row));
        let items = items(&format)?;
        let written = write!(out, "{}", moment.with_timezone(&offset).format_with_items(items.iter()));
        written.map(|()| Some(out)).map_err(|_| {
            let message = format!("a timestamp cannot be written as \"{}\"", formats.value(row));
            Error::new(ErrorKind::Invalid, message).with_sqlstate("22023")
        })
    })
}

fn strptime(text: &str, format: &str) -> Result<i64> {
    let pattern = to_read(format);
    items(&pattern)?;
    let zoned = DateTime::parse_from_str(text, &pattern).map(|moment| moment.timestamp_micros());
    let local = || NaiveDateTime::parse_from_str(text, &pattern).map(|moment| moment.and_utc().timestamp_micros());
    let day = || NaiveDate::parse_from_str(text, &pattern).map(|day| i64::from(day.to_epoch_days()) * DAY);
    zoned
        .or_else(|_| local())
        .or_else(|_| day())
        .map_err(|_| Error::data(format!("\"{text}\" does not fit the pattern \"{format}\"")).with_sqlstate("22007"))
}
