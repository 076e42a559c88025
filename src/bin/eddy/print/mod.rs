//! Results as text: seven formats behind one trait.
//!
//! A [`Printer`] takes the batches of one result in order and then its end. What streams (csv, ndjson, json, line)
//! writes each batch as it comes and holds nothing; a grid has to see its rows first to know how wide they are, and
//! a box keeps no more rows than it shows. Printers write data only: messages are the shell's.
//!
//! - `value`: how a value of each type reads
//! - `grid`: box, table, markdown
//! - `live`: the same three for a result that never ends
//! - `csv`, `json`, `line`: one file each

mod csv;
mod grid;
mod json;
mod line;
mod live;
pub mod value;

pub use grid::cut;

use std::io::{self, Write};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use clap::ValueEnum;

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Lines drawn around cells, at most 40 rows
    Box,
    /// The same in plain ASCII, all rows
    Table,
    /// Comma separated, one header line a result
    Csv,
    /// An array of objects
    Json,
    /// One object a line
    Ndjson,
    /// A table for Markdown
    Markdown,
    /// One value a line
    Line,
}

impl Format {
    /// The name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Format::Box => "box",
            Format::Table => "table",
            Format::Csv => "csv",
            Format::Json => "json",
            Format::Ndjson => "ndjson",
            Format::Markdown => "markdown",
            Format::Line => "line",
        }
    }

    /// The format of that name.
    pub fn named(name: &str) -> Option<Format> {
        Format::value_variants().iter().copied().find(|format| format.name().eq_ignore_ascii_case(name))
    }
}

/// What the place printed to can show.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style {
    /// Whether it understands colours.
    pub colour: bool,
    /// How many characters fit on a line, where that is known.
    pub width: Option<usize>,
}

impl Style {
    /// `text`, dimmed where that can be shown.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// `text` in the colour of an ANSI code, where that can be shown.
    pub fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

/// Prints one result.
pub trait Printer {
    /// The next rows.
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> io::Result<()>;

    /// There are no more rows.
    fn end(&mut self, out: &mut dyn Write) -> io::Result<()>;
}

/// A printer for a result that ends.
pub fn printer(format: Format, schema: SchemaRef, style: Style) -> Box<dyn Printer> {
    match format {
        Format::Box => Box::new(grid::GridPrinter::new(grid::BOX, schema, style)),
        Format::Table => Box::new(grid::GridPrinter::new(grid::TABLE, schema, style)),
        Format::Markdown => Box::new(grid::GridPrinter::new(grid::MARKDOWN, schema, style)),
        other => streaming(other, schema, style),
    }
}

/// A printer for a result that may never end: nothing is held back.
pub fn streaming(format: Format, schema: SchemaRef, style: Style) -> Box<dyn Printer> {
    match format {
        Format::Box => Box::new(live::LivePrinter::new(live::Marks::BOX, schema, style)),
        Format::Table => Box::new(live::LivePrinter::new(live::Marks::TABLE, schema, style)),
        Format::Markdown => Box::new(live::LivePrinter::new(live::Marks::MARKDOWN, schema, style)),
        Format::Csv => Box::new(csv::CsvPrinter::new(schema)),
        Format::Json => Box::new(json::JsonPrinter::array()),
        Format::Ndjson => Box::new(json::JsonPrinter::lines()),
        Format::Line => Box::new(line::LinePrinter::new(style)),
    }
}

/// `text` for a cell of a grid or a line: control characters are spelt out, so that a value can neither break the
/// layout nor speak to the terminal.
fn push_printable(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other if other.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(other))),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::*;
    use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

    use super::*;

    /// Ids, names with a NULL and an empty text, amounts with cents, times.
    pub fn batch() -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("name", DataType::Utf8View, true),
            Field::new("amount", DataType::Decimal128(12, 2), true),
            Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        ]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![1, 20, 300])),
            Arc::new(StringViewArray::from(vec![Some("a \"b\", c"), None, Some("")])),
            Arc::new(Decimal128Array::from(vec![Some(1050), Some(-5), None]).with_precision_and_scale(12, 2).unwrap()),
            Arc::new(TimestampMicrosecondArray::from(vec![Some(0), Some(1_500_000), None])),
        ];
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    }

    /// The numbers from 0 in a column `n`.
    pub fn numbers(rows: i64) -> RecordBatch {
        let schema = Schema::new(vec![Field::new("n", DataType::Int64, false)]);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int64Array::from_iter_values(0..rows))]).unwrap()
    }

    /// What a format makes of some batches.
    pub fn printed(mut printer: Box<dyn Printer>, batches: &[RecordBatch]) -> String {
        let mut out = Vec::new();
        for batch in batches {
            printer.batch(batch, &mut out).unwrap();
        }
        printer.end(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn formats_have_the_names_of_the_command_line() {
        for format in Format::value_variants() {
            assert_eq!(Format::named(format.name()), Some(*format));
            assert_eq!(format.to_possible_value().unwrap().get_name(), format.name());
        }
        assert_eq!(Format::named("NDJSON"), Some(Format::Ndjson));
        assert_eq!(Format::named("xml"), None);
    }

    #[test]
    fn control_characters_are_spelt_out() {
        let mut out = String::new();
        push_printable("a\nb\t\u{1b}[2J é", &mut out);
        assert_eq!(out, "a\\nb\\t\\x1b[2J é");
    }
}
