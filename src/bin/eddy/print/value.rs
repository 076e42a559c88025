//! Values as text: the one place that decides how a value of each type reads.
//!
//! Text follows PostgreSQL: `true`, `2013-01-01 10:15:00`, `1 day 02:00:00`, `\x0aff`; decimals are exact, floats the
//! shortest text that reads back as the same number, lists `[1, 2]`, structs `{a: 1}`. A formatter is made once for a
//! column of a batch and then called for each row. It never fails and knows nothing of quoting or of colour.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, GenericListArray, OffsetSizeTrait};
use arrow::datatypes::*;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// Appends the text of the value in a row; the row must not be NULL.
pub type Formatter<'a> = Box<dyn Fn(usize, &mut String) + 'a>;

/// How the values of `array` read.
pub fn formatter(array: &dyn Array) -> Formatter<'_> {
    match array.data_type() {
        DataType::Boolean => {
            let array = array.as_boolean();
            Box::new(move |row, out| out.push_str(if array.value(row) { "true" } else { "false" }))
        }
        DataType::Int8 => integers::<Int8Type>(array),
        DataType::Int16 => integers::<Int16Type>(array),
        DataType::Int32 => integers::<Int32Type>(array),
        DataType::Int64 => integers::<Int64Type>(array),
        DataType::UInt8 => integers::<UInt8Type>(array),
        DataType::UInt16 => integers::<UInt16Type>(array),
        DataType::UInt32 => integers::<UInt32Type>(array),
        DataType::UInt64 => integers::<UInt64Type>(array),
        DataType::Float32 => {
            let array = array.as_primitive::<Float32Type>();
            // Through its own shortest text, not through f64, which would show digits that were never there.
            Box::new(move |row, out| {
                let value = array.value(row);
                if value.is_finite() { write_to(out, format_args!("{value:?}")) } else { write_f64(value.into(), out) }
            })
        }
        DataType::Float64 => {
            let array = array.as_primitive::<Float64Type>();
            Box::new(move |row, out| write_f64(array.value(row), out))
        }
        DataType::Decimal128(..) => {
            let array = array.as_primitive::<Decimal128Type>();
            Box::new(move |row, out| out.push_str(&array.value_as_string(row)))
        }
        DataType::Decimal256(..) => {
            let array = array.as_primitive::<Decimal256Type>();
            Box::new(move |row, out| out.push_str(&array.value_as_string(row)))
        }
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            Box::new(move |row, out| out.push_str(array.value(row)))
        }
        DataType::LargeUtf8 => {
            let array = array.as_string::<i64>();
            Box::new(move |row, out| out.push_str(array.value(row)))
        }
        DataType::Utf8View => {
            let array = array.as_string_view();
            Box::new(move |row, out| out.push_str(array.value(row)))
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            Box::new(move |row, out| write_bytes(array.value(row), out))
        }
        DataType::BinaryView => {
            let array = array.as_binary_view();
            Box::new(move |row, out| write_bytes(array.value(row), out))
        }
        DataType::Date32 => {
            let array = array.as_primitive::<Date32Type>();
            Box::new(move |row, out| write_date(array.value(row).into(), out))
        }
        DataType::Timestamp(..) | DataType::Time32(_) | DataType::Time64(_) => times(array),
        DataType::Interval(_) | DataType::Duration(_) => intervals(array),
        DataType::List(_) => list(array.as_list::<i32>()),
        DataType::LargeList(_) => list(array.as_list::<i64>()),
        DataType::Struct(_) => structs(array),
        _ => other(array),
    }
}

/// Whether the value in a row is NULL, also for the type that holds nothing else.
pub fn is_null(array: &dyn Array, row: usize) -> bool {
    array.is_null(row) || *array.data_type() == DataType::Null
}

/// Whether the values are numbers, which stand to the right.
pub fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

fn integers<T: ArrowPrimitiveType>(array: &dyn Array) -> Formatter<'_>
where
    T::Native: std::fmt::Display,
{
    let array = array.as_primitive::<T>();
    Box::new(move |row, out| write_to(out, format_args!("{}", array.value(row))))
}

/// The text of a float as PostgreSQL spells it; `{:?}` is the shortest that reads back, with `.0` for whole numbers.
fn write_f64(value: f64, out: &mut String) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    } else {
        write_to(out, format_args!("{value:?}"));
    }
}

fn write_bytes(bytes: &[u8], out: &mut String) {
    out.push_str("\\x");
    for byte in bytes {
        write_to(out, format_args!("{byte:02x}"));
    }
}

/// Timestamps and times of day, all through microseconds; finer digits do not occur in relations and are cut.
fn times(array: &dyn Array) -> Formatter<'_> {
    let micros = microseconds(array);
    match array.data_type() {
        DataType::Timestamp(_, zone) => {
            let zone = zone.is_some();
            Box::new(move |row, out| {
                let value = micros(row);
                write_date(value.div_euclid(DAY_US) as i64, out);
                out.push(' ');
                write_time(value.rem_euclid(DAY_US), out);
                if zone {
                    out.push_str("+00");
                }
            })
        }
        _ => Box::new(move |row, out| write_time(micros(row), out)),
    }
}

/// The value of a row in microseconds; i128, because seconds near the end of their range do not fit otherwise.
fn microseconds<'a>(array: &'a dyn Array) -> Box<dyn Fn(usize) -> i128 + 'a> {
    fn of<'a, T: ArrowPrimitiveType>(array: &'a dyn Array, times: i128, over: i128) -> Box<dyn Fn(usize) -> i128 + 'a>
    where
        T::Native: Into<i64>,
    {
        let array = array.as_primitive::<T>();
        Box::new(move |row| (i128::from(array.value(row).into()) * times).div_euclid(over))
    }
    use TimeUnit::*;
    match array.data_type() {
        DataType::Timestamp(Second, _) => of::<TimestampSecondType>(array, 1_000_000, 1),
        DataType::Timestamp(Millisecond, _) => of::<TimestampMillisecondType>(array, 1_000, 1),
        DataType::Timestamp(Nanosecond, _) => of::<TimestampNanosecondType>(array, 1, 1_000),
        DataType::Time32(Second) => of::<Time32SecondType>(array, 1_000_000, 1),
        DataType::Time32(_) => of::<Time32MillisecondType>(array, 1_000, 1),
        DataType::Time64(Nanosecond) => of::<Time64NanosecondType>(array, 1, 1_000),
        DataType::Time64(_) => of::<Time64MicrosecondType>(array, 1, 1),
        DataType::Duration(Second) => of::<DurationSecondType>(array, 1_000_000, 1),
        DataType::Duration(Millisecond) => of::<DurationMillisecondType>(array, 1_000, 1),
        DataType::Duration(Microsecond) => of::<DurationMicrosecondType>(array, 1, 1),
        DataType::Duration(Nanosecond) => of::<DurationNanosecondType>(array, 1, 1_000),
        _ => of::<TimestampMicrosecondType>(array, 1, 1),
    }
}

fn intervals(array: &dyn Array) -> Formatter<'_> {
    match array.data_type() {
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let array = array.as_primitive::<IntervalMonthDayNanoType>();
            Box::new(move |row, out| {
                let value = array.value(row);
                write_interval(value.months, value.days, i128::from(value.nanoseconds) / 1_000, out);
            })
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            let array = array.as_primitive::<IntervalDayTimeType>();
            Box::new(move |row, out| {
                let value = array.value(row);
                write_interval(0, value.days, i128::from(value.milliseconds) * 1_000, out);
            })
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            let array = array.as_primitive::<IntervalYearMonthType>();
            Box::new(move |row, out| write_interval(array.value(row), 0, 0, out))
        }
        _ => {
            let micros = microseconds(array);
            Box::new(move |row, out| write_interval(0, 0, micros(row), out))
        }
    }
}

const DAY_US: i128 = 86_400_000_000;

/// A date from its days since 1970-01-01: the civil calendar by eras of 400 years (Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms"), which holds for every number of days.
fn write_date(days: i64, out: &mut String) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    write_to(out, format_args!("{year:04}-{month:02}-{day:02}"));
}

fn write_time(micros: i128, out: &mut String) {
    let (seconds, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    write_to(out, format_args!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60));
    if fraction != 0 {
        write_to(out, format_args!(".{fraction:06}"));
    }
}

fn write_interval(months: i32, days: i32, micros: i128, out: &mut String) {
    let start = out.len();
    for (count, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if count != 0 {
            let space = if out.len() > start { " " } else { "" };
            let plural = if count == 1 { "" } else { "s" };
            write_to(out, format_args!("{space}{count} {unit}{plural}"));
        }
    }
    if micros != 0 || out.len() == start {
        if out.len() > start {
            out.push(' ');
        }
        if micros < 0 {
            out.push('-');
        }
        write_time(micros.abs(), out);
    }
}

/// The text of a value inside another one, where NULL has to be told from nothing.
fn inner<'a>(array: &'a ArrayRef) -> Formatter<'a> {
    let values = formatter(array.as_ref());
    Box::new(move |row, out| if is_null(array.as_ref(), row) { out.push_str("NULL") } else { values(row, out) })
}

fn list<O: OffsetSizeTrait>(array: &GenericListArray<O>) -> Formatter<'_> {
    let values = inner(array.values());
    Box::new(move |row, out| {
        let offsets = array.value_offsets();
        out.push('[');
        for (position, index) in (offsets[row].as_usize()..offsets[row + 1].as_usize()).enumerate() {
            if position > 0 {
                out.push_str(", ");
            }
            values(index, out);
        }
        out.push(']');
    })
}

fn structs(array: &dyn Array) -> Formatter<'_> {
    let array = array.as_struct();
    let fields: Vec<_> =
        array.fields().iter().map(|field| field.name()).zip(array.columns().iter().map(inner)).collect();
    Box::new(move |row, out| {
        out.push('{');
        for (position, (name, value)) in fields.iter().enumerate() {
            write_to(out, format_args!("{}{name}: ", if position > 0 { ", " } else { "" }));
            value(row, out);
        }
        out.push('}');
    })
}

/// Types that relations do not hold (dictionaries, unions, maps ..) read as Arrow shows them.
fn other(array: &dyn Array) -> Formatter<'_> {
    let options = FormatOptions::new().with_null("NULL").with_display_error(true);
    match ArrayFormatter::try_new(array, &options) {
        Ok(formatter) => {
            let texts = (0..array.len()).map(|row| formatter.value(row).to_string()).collect::<Vec<_>>();
            Box::new(move |row, out| out.push_str(texts.get(row).map_or("", String::as_str)))
        }
        Err(_) => Box::new(|_, out| out.push('?')),
    }
}

/// Writing to a String cannot fail.
fn write_to(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("a String takes any text");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::*;
    use arrow::buffer::OffsetBuffer;

    use super::*;

    fn texts(array: &dyn Array) -> Vec<String> {
        let format = formatter(array);
        let text = |row| {
            let mut out = String::new();
            format(row, &mut out);
            out
        };
        (0..array.len()).map(text).collect()
    }

    #[test]
    fn floats_are_the_shortest_text_that_reads_back() {
        let values = [1.0, 0.1, 1e16, 1e-7, -2.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        assert_eq!(
            texts(&Float64Array::from(values.to_vec())),
            ["1.0", "0.1", "1e16", "1e-7", "-2.5", "NaN", "Infinity", "-Infinity"]
        );
        assert_eq!(texts(&Float32Array::from(vec![0.1f32, 16777216.0])), ["0.1", "16777216.0"]);
    }

    #[test]
    fn decimals_are_exact() {
        let array = Decimal128Array::from(vec![5, -12345, 10_i128.pow(37)]).with_precision_and_scale(38, 2).unwrap();
        assert_eq!(texts(&array), ["0.05", "-123.45", "100000000000000000000000000000000000.00"]);
    }

    #[test]
    fn timestamps_show_six_digits_or_none() {
        let micros = vec![1_357_035_300_000_000, 1_357_035_300_500_000, -1, i64::MIN];
        let array = TimestampMicrosecondArray::from(micros);
        let shown = texts(&array);
        assert_eq!(shown[0], "2013-01-01 10:15:00");
        assert_eq!(shown[1], "2013-01-01 10:15:00.500000");
        assert_eq!(shown[2], "1969-12-31 23:59:59.999999");
        assert!(shown[3].starts_with('-'), "the far past has a year too: {}", shown[3]);
        assert_eq!(texts(&array.with_timezone("UTC"))[0], "2013-01-01 10:15:00+00");
        assert!(!texts(&TimestampSecondArray::from(vec![i64::MAX]))[0].is_empty());
    }

    #[test]
    fn dates_follow_the_calendar() {
        assert_eq!(
            texts(&Date32Array::from(vec![0, 15_706, -719_468, 11_016, i32::MAX])),
            ["1970-01-01", "2013-01-01", "0000-03-01", "2000-02-29", "5881580-07-11"]
        );
        assert_eq!(texts(&Time64MicrosecondArray::from(vec![0, 36_900_000_001])), ["00:00:00", "10:15:00.000001"]);
    }

    #[test]
    fn intervals_name_their_units() {
        let value = IntervalMonthDayNanoType::make_value;
        let array = IntervalMonthDayNanoArray::from(vec![
            value(14, 1, 0),
            value(0, 0, 0),
            value(0, 2, 3_600_000_000_000),
            value(0, 0, -1_500_000_000),
        ]);
        assert_eq!(texts(&array), ["1 year 2 mons 1 day", "00:00:00", "2 days 01:00:00", "-00:00:01.500000"]);
    }

    #[test]
    fn nested_values_show_their_nulls() {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
        let offsets = OffsetBuffer::from_lengths([2, 0, 1]);
        let field = Arc::new(Field::new("item", DataType::Int64, true));
        let lists: ArrayRef = Arc::new(ListArray::new(field, offsets, values, None));
        assert_eq!(texts(&lists), ["[1, NULL]", "[]", "[3]"]);
        let names: ArrayRef = Arc::new(StringViewArray::from(vec![Some("x"), None, Some("z")]));
        let array = StructArray::try_from(vec![("a", lists), ("b", names)]).unwrap();
        assert_eq!(texts(&array), ["{a: [1, NULL], b: x}", "{a: [], b: NULL}", "{a: [3], b: z}"]);
    }

    #[test]
    fn other_types_read_as_text() {
        assert_eq!(texts(&BinaryArray::from(vec![&b"\x0a\xff"[..]])), ["\\x0aff"]);
        assert_eq!(texts(&BooleanArray::from(vec![true, false])), ["true", "false"]);
        assert!(is_null(&NullArray::new(1), 0));
        let dictionary: DictionaryArray<Int32Type> = vec!["a", "b", "a"].into_iter().collect();
        assert_eq!(texts(&dictionary), ["a", "b", "a"]);
    }
}
