//! Values as text, the way a file's author wrote them down.
//!
//! Classic printing follows SQLite's corpus: the declared column type decides (`I` truncates, `R` has three decimals),
//! NULL is `NULL`, the empty string `(empty)`. Native printing follows DataFusion's files: the value decides.
//! Timestamps are `2013-01-01 10:15:00[.ffffff]` in classic files and `2013-01-01T10:15:00` in native ones.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::util::display::{ArrayFormatter, DurationFormat, FormatOptions};

use crate::arguments::Printing;
use crate::record::ColumnType;

/// Rows of printed values.
pub type Rows = Vec<Vec<String>>;

/// Prints `batches`; columns beyond the declared types print as text.
pub fn print(batches: &[RecordBatch], types: &[ColumnType], printing: Printing) -> Result<Rows, String> {
    let mut rows = Vec::new();
    for batch in batches {
        let start = rows.len();
        rows.resize_with(start + batch.num_rows(), Vec::new);
        for (index, column) in batch.columns().iter().enumerate() {
            let declared = types.get(index).unwrap_or(&ColumnType::Any);
            let cells = match printing {
                Printing::Classic => classic_column(column, declared),
                Printing::Native => native_column(column),
            }?;
            for (row, cell) in rows[start..].iter_mut().zip(cells) {
                row.push(cell);
            }
        }
    }
    Ok(rows)
}

fn classic_column(column: &ArrayRef, declared: &ColumnType) -> Result<Vec<String>, String> {
    let text = match eddydb::time_formatter(column.as_ref()) {
        Some(write) => {
            let written = |row| {
                let mut out = String::new();
                write(row, &mut out);
                out
            };
            (0..column.len()).map(|row| if column.is_null(row) { String::new() } else { written(row) }).collect()
        }
        None => format_column(column, "%Y-%m-%d %H:%M:%S%.6f", "%Y-%m-%d %H:%M:%S%.6f+00", DurationFormat::ISO8601)?,
    };
    let data_type = column.data_type();
    let cell = |row: usize| -> String {
        if column.is_null(row) {
            return "NULL".to_string();
        }
        match declared {
            ColumnType::Integer => classic_integer(column, row, &text[row]),
            ColumnType::FloatingPoint => classic_real(column, row, &text[row]),
            _ if is_float(data_type) => float_text(float_at(column, row)),
            _ => classic_text(data_type, &text[row]),
        }
    };
    Ok((0..column.len()).map(cell).collect())
}

/// `I`: integers as they are, truth as 1 and 0, other numbers without their fraction.
fn classic_integer(column: &ArrayRef, row: usize, text: &str) -> String {
    match column.data_type() {
        DataType::Boolean => i32::from(column.as_boolean().value(row)).to_string(),
        data_type if is_float(data_type) => {
            let value = float_at(column, row);
            if value.is_finite() { format!("{:.0}", value.trunc() + 0.0) } else { float_text(value) }
        }
        data_type if data_type.is_decimal() => text.split('.').next().unwrap_or(text).to_string(),
        data_type => classic_text(data_type, text),
    }
}

/// `R`: any number with three decimals.
fn classic_real(column: &ArrayRef, row: usize, text: &str) -> String {
    let data_type = column.data_type();
    if !data_type.is_numeric() {
        return classic_text(data_type, text);
    }
    let value = if is_float(data_type) { float_at(column, row) } else { text.parse().unwrap_or(f64::NAN) };
    if value.is_finite() { format!("{value:.3}") } else { float_text(value) }
}

/// `T`: text with control characters as `@`, so that a value never breaks a line.
fn classic_text(data_type: &DataType, text: &str) -> String {
    if matches!(data_type, DataType::Timestamp(..)) {
        return text.to_string();
    }
    if text.is_empty() {
        return "(empty)".to_string();
    }
    text.chars().map(|c| if c.is_control() { '@' } else { c }).collect()
}

fn native_column(column: &ArrayRef) -> Result<Vec<String>, String> {
    let text = format_column(column, "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.fZ", DurationFormat::Pretty)?;
    let data_type = column.data_type();
    let cell = |row: usize| -> String {
        if column.is_null(row) {
            return "NULL".to_string();
        }
        match data_type {
            data_type if is_float(data_type) => native_float(float_at(column, row), data_type),
            data_type if data_type.is_decimal() => match without_trailing_zeros(&text[row]) {
                zeros if zeros.bytes().all(|byte| byte == b'0') => "0".to_string(),
                text => text,
            },
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => match text[row].trim_end_matches('\n') {
                _ if text[row].is_empty() => "(empty)".to_string(),
                text => text.replace('\0', "\\0"),
            },
            _ => text[row].clone(),
        }
    };
    Ok((0..column.len()).map(cell).collect())
}

/// Up to twelve decimals, no exponent, as DataFusion's own runner prints floats.
fn native_float(value: f64, data_type: &DataType) -> String {
    if !value.is_finite() {
        return float_text(value);
    }
    let shortest = if *data_type == DataType::Float64 { format!("{value}") } else { format!("{}", value as f32) };
    let decimals = shortest.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let plain = if decimals > 12 { format!("{value:.12}") } else { shortest };
    let plain = without_trailing_zeros(&plain);
    if plain == "-0" { "0".to_string() } else { plain }
}

fn without_trailing_zeros(text: &str) -> String {
    if !text.contains('.') {
        return text.to_string();
    }
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

fn format_column(
    column: &ArrayRef,
    timestamp: &str,
    timestamp_tz: &str,
    duration: DurationFormat,
) -> Result<Vec<String>, String> {
    let options = FormatOptions::default()
        .with_display_error(true)
        .with_null("NULL")
        .with_duration_format(duration)
        .with_timestamp_format(Some(timestamp))
        .with_timestamp_tz_format(Some(timestamp_tz));
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options).map_err(|error| error.to_string())?;
    Ok((0..column.len()).map(|row| formatter.value(row).to_string()).collect())
}

fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64)
}

fn float_at(column: &ArrayRef, row: usize) -> f64 {
    match column.data_type() {
        DataType::Float32 => f64::from(column.as_primitive::<Float32Type>().value(row)),
        _ => column.as_primitive::<Float64Type>().value(row),
    }
}

/// The shortest text that reads back as the same number, with a fraction; the words for what is no number.
fn float_text(value: f64) -> String {
    match value {
        value if value.is_nan() => "NaN".to_string(),
        f64::INFINITY => "Infinity".to_string(),
        f64::NEG_INFINITY => "-Infinity".to_string(),
        value => format!("{value:?}"),
    }
}
