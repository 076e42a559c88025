//! Rows as delimited text that reads back as it was.
//!
//! NULL is the empty field (or what the option says) and never quoted; a text that would be taken for NULL is quoted,
//! the empty text above all. Timestamps are `2013-01-31 10:15:00[.123456]`, those with a zone end in `+00`; bytes are
//! `\x` and hexadecimal digits; lists and structs are JSON.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, FieldRef, Int64Type, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::writer::{NullableEncoder, make_encoder};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::{Counted, IntoFileError, JSON, Packed};
use crate::base::error::Result;
use crate::base::time::display::{Formatter, formatter};
use crate::base::time::text::Fraction;
use crate::base::time::zone::Zone;
use crate::connector::options::WriteOptions;

/// Bytes gathered before they are passed on.
const PIECE_BYTES: usize = 1 << 16;

struct Style {
    delimiter: char,
    quote: char,
    null: String,
    force_quote: bool,
}

pub(super) fn write<I: Iterator<Item = Result<RecordBatch>>>(
    mut out: Packed<'_>,
    options: &WriteOptions,
    path: &Path,
    schema: &SchemaRef,
    mut sink: Counted<'_, I>,
) -> Result<u64> {
    let style = Style {
        delimiter: char::from(options.delimiter.unwrap_or_else(|| delimiter_of(path))),
        quote: char::from(options.quote.unwrap_or(b'"')),
        null: options.null.clone().unwrap_or_default(),
        force_quote: options.force_quote,
    };
    let mut text = String::new();
    if options.header.unwrap_or(true) {
        for (column, field) in schema.fields().iter().enumerate() {
            if column > 0 {
                text.push(style.delimiter);
            }
            style.text(&mut text, field.name());
        }
        text.push('\n');
    }
    sink.each(|batch| write_batch(&mut out, &mut text, &style, batch))?;
    out.write_all(text.as_bytes()).map_err(|error| error.in_file(path))?;
    out.finish()?;
    Ok(sink.rows)
}

fn delimiter_of(path: &Path) -> u8 {
    let name = path.to_string_lossy().to_ascii_lowercase();
    let stem = name.strip_suffix(".gz").or(name.strip_suffix(".zst")).unwrap_or(&name);
    match stem.rsplit_once('.') {
        Some((_, "tsv" | "tab")) => b'\t',
        Some((_, "psv")) => b'|',
        _ => b',',
    }
}

fn write_batch(out: &mut impl Write, text: &mut String, style: &Style, batch: &RecordBatch) -> Result<(), ArrowError> {
    // A cell that cannot be shown is an error, not the word ERROR in the file.
    let format = FormatOptions::new().with_display_error(false);
    let schema = batch.schema();
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(array, field)| Column::new(array.as_ref(), field, &format));
    let mut columns = columns.collect::<Result<Vec<_>, _>>()?;
    let mut cell = String::new();
    for row in 0..batch.num_rows() {
        for (number, column) in columns.iter_mut().enumerate() {
            if number > 0 {
                text.push(style.delimiter);
            }
            column.write(text, &mut cell, style, row)?;
        }
        text.push('\n');
        if text.len() >= PIECE_BYTES {
            out.write_all(text.as_bytes())?;
            text.clear();
        }
    }
    Ok(())
}

struct Column<'a> {
    array: &'a dyn Array,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Text(&'a arrow::array::StringViewArray),
    Integer(&'a arrow::array::Int64Array),
    Time(Formatter<'a>),
    Bytes(&'a arrow::array::BinaryViewArray),
    Json(NullableEncoder<'a>),
    Other(ArrayFormatter<'a>),
}

impl<'a> Column<'a> {
    fn new(array: &'a dyn Array, field: &'a FieldRef, format: &FormatOptions<'a>) -> Result<Self, ArrowError> {
        let kind = match array.data_type() {
            DataType::Utf8View => Kind::Text(array.as_string_view()),
            DataType::Int64 => Kind::Integer(array.as_primitive::<Int64Type>()),
            DataType::BinaryView => Kind::Bytes(array.as_binary_view()),
            nested if nested.is_nested() => Kind::Json(make_encoder(field, array, &JSON)?),
            _ => match formatter(array, Zone::UTC, Fraction::Six) {
                Some(times) => Kind::Time(times),
                None => Kind::Other(ArrayFormatter::try_new(array, format)?),
            },
        };
        Ok(Column { array, kind })
    }

    fn write(&mut self, text: &mut String, cell: &mut String, style: &Style, row: usize) -> Result<(), ArrowError> {
        // A column of nothing but untyped NULL has no bits that say so.
        if self.array.is_null(row) || *self.array.data_type() == DataType::Null {
            text.push_str(&style.null);
            return Ok(());
        }
        cell.clear();
        match &mut self.kind {
            Kind::Text(values) => {
                style.text(text, values.value(row));
                return Ok(());
            }
            Kind::Integer(values) => append(cell, format_args!("{}", values.value(row))),
            Kind::Time(write) => write(row, cell),
            Kind::Bytes(values) => {
                cell.push_str("\\x");
                values.value(row).iter().for_each(|byte| append(cell, format_args!("{byte:02x}")));
            }
            Kind::Json(values) => {
                let mut json = Vec::new();
                values.encode(row, &mut json);
                cell.push_str(&String::from_utf8_lossy(&json));
            }
            Kind::Other(values) => values.value(row).write(cell)?,
        }
        style.text(text, cell);
        Ok(())
    }
}

fn append(cell: &mut String, text: std::fmt::Arguments<'_>) {
    cell.write_fmt(text).expect("a String takes all that is written to it");
}

impl Style {
    /// Appends a value that is not NULL, in quotes where it needs them.
    fn text(&self, out: &mut String, value: &str) {
        let special = |c: char| c == self.delimiter || c == self.quote || c == '\n' || c == '\r';
        let edge = value.starts_with(' ') || value.ends_with(' ');
        if !self.force_quote && !edge && !value.is_empty() && value != self.null && !value.contains(special) {
            out.push_str(value);
            return;
        }
        out.push(self.quote);
        for c in value.chars() {
            if c == self.quote {
                out.push(c);
            }
            out.push(c);
        }
        out.push(self.quote);
    }
}
