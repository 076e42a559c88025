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
        DataType::List(_) => list(array.as_list::<i32>()),
        DataType::LargeList(_) => list(array.as_list::<i64>()),
        DataType::Struct(_) => structs(array),
        _ => eddydb::time_formatter(array).unwrap_or_else(|| other(array)),
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
        assert!(shown[3].ends_with(" BC"), "the far past has a year too: {}", shown[3]);
        assert_eq!(texts(&array.clone().with_timezone("UTC"))[0], "2013-01-01 10:15:00+00");
        assert_eq!(texts(&array.with_timezone("Europe/Berlin"))[0], "2013-01-01 11:15:00+01");
        assert!(!texts(&TimestampSecondArray::from(vec![i64::MAX]))[0].is_empty());
    }

    #[test]
    fn dates_follow_the_calendar() {
        assert_eq!(
            texts(&Date32Array::from(vec![0, 15_706, -719_468, 11_016, i32::MAX])),
            ["1970-01-01", "2013-01-01", "0001-03-01 BC", "2000-02-29", "5881580-07-11"]
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
