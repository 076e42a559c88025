//! Grids of results that never end: each row is printed as it comes.
//!
//! The head is printed once, before the first rows. Columns start as wide as their type usually needs and only ever
//! grow, so most rows stand under each other. On a terminal, rows that came are green and rows that went are red,
//! where the result has a column `_weight` to tell them by.

use std::io::{self, Write};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use unicode_width::UnicodeWidthStr;

use super::value::{formatter, is_null, is_number};
use super::{Printer, Style, push_printable};

/// What stands between and around cells.
#[derive(Debug, Clone, Copy)]
pub struct Marks {
    edge: &'static str,
    bar: &'static str,
    line: &'static str,
    cross: &'static str,
}

impl Marks {
    /// Unicode lines.
    pub const BOX: Marks = Marks { edge: "", bar: "│", line: "─", cross: "┼" };
    /// Plain ASCII.
    pub const TABLE: Marks = Marks { edge: "", bar: "|", line: "-", cross: "+" };
    /// Markdown.
    pub const MARKDOWN: Marks = Marks { edge: "|", bar: "|", line: "-", cross: "|" };
}

/// Prints rows as they come.
pub struct LivePrinter {
    marks: Marks,
    schema: SchemaRef,
    style: Style,
    widths: Vec<usize>,
    headed: bool,
}

impl LivePrinter {
    /// A printer that has printed nothing yet.
    pub fn new(marks: Marks, schema: SchemaRef, style: Style) -> Self {
        let widths = schema
            .fields()
            .iter()
            .map(|field| {
                let usual = match field.data_type() {
                    DataType::Boolean => 5,
                    DataType::Utf8View | DataType::Utf8 => 16,
                    DataType::Timestamp(..) => 19,
                    _ => 10,
                };
                let usual = if field.name().starts_with('_') { 0 } else { usual };
                field.name().width().max(usual)
            })
            .collect();
        LivePrinter { marks, schema, style, widths, headed: false }
    }

    fn head(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.headed {
            return Ok(());
        }
        self.headed = true;
        let names: Vec<_> = self.schema.fields().iter().map(|field| field.name().clone()).collect();
        let line = self.line(&names);
        writeln!(out, "{line}")?;
        let rules: Vec<_> = self.widths.iter().map(|width| self.marks.line.repeat(width + 2)).collect();
        writeln!(out, "{edge}{}{edge}", rules.join(self.marks.cross), edge = self.marks.edge)
    }

    fn line(&mut self, cells: &[String]) -> String {
        let mut padded = vec![];
        for ((cell, width), field) in cells.iter().zip(&mut self.widths).zip(self.schema.fields()) {
            *width = (*width).max(cell.width());
            let space = " ".repeat(*width - cell.width());
            let right = is_number(field.data_type());
            padded.push(if right { format!(" {space}{cell} ") } else { format!(" {cell}{space} ") });
        }
        let line = format!("{edge}{}{edge}", padded.join(self.marks.bar), edge = self.marks.edge);
        line.trim_end().to_string()
    }
}

impl Printer for LivePrinter {
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> io::Result<()> {
        self.head(out)?;
        let columns: Vec<_> = batch.columns().iter().map(|array| (array, formatter(array.as_ref()))).collect();
        let weights = batch.column_by_name("_weight").and_then(|array| array.as_primitive_opt::<Int64Type>());
        for row in 0..batch.num_rows() {
            let mut cells = vec![];
            for (array, format) in &columns {
                let mut text = String::new();
                if is_null(array.as_ref(), row) {
                    text.push_str("NULL");
                } else {
                    let mut raw = String::new();
                    format(row, &mut raw);
                    push_printable(&raw, &mut text);
                }
                cells.push(text);
            }
            let line = self.line(&cells);
            let line = match weights.filter(|weights| weights.is_valid(row)).map(|weights| weights.value(row)) {
                Some(weight) if weight > 0 => self.style.paint("32", &line),
                Some(weight) if weight < 0 => self.style.paint("31", &line),
                _ => line,
            };
            writeln!(out, "{line}")?;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.head(out)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::super::testing::printed;
    use super::super::{Format, streaming};
    use super::*;

    fn changes() -> RecordBatch {
        let columns: [(&str, ArrayRef); 3] = [
            ("_epoch", Arc::new(Int64Array::from(vec![7, 7]))),
            ("_weight", Arc::new(Int64Array::from(vec![-1, 1]))),
            ("name", Arc::new(StringArray::from(vec![Some("ann"), None]))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn the_head_comes_once() {
        let text = printed(streaming(Format::Box, changes().schema(), Style::default()), &[changes(), changes()]);
        assert_eq!(text.lines().filter(|line| line.contains("_epoch")).count(), 1);
        assert!(text.contains("      7 │      -1 │ ann\n      7 │       1 │ NULL\n"), "{text}");
    }

    #[test]
    fn changes_have_the_colour_of_their_sign() {
        let style = Style { colour: true, width: None };
        let text = printed(streaming(Format::Table, changes().schema(), style), &[changes()]);
        assert!(text.contains("\x1b[31m") && text.contains("\x1b[32m"), "{text}");
    }
}
